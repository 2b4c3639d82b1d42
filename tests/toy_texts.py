"""A language model and a server that tests make: both answer yes where a transcript shows FrozenLake's agent on the goal."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

WORDS = ["<pad>", "<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>", "Yes", "No", "[G]", "\n"]
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_goal_reader(folder: Path) -> Path:
    """A Llama of one layer with weights set by hand, in a tokenizer for which '[G]' is a word.

    Its attention is the mean over all tokens, so a number of the last position says how often '[G]' is among them. Yes has the
    logit of that number, and no a small constant one.
    """
    import torch
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, logging

    logging.disable_progress_bar()
    split = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>"))
    split.pre_tokenizer = pre_tokenizers.Split(Regex(r"\[.\]|\w+|\n|[^\w\n]"), "isolated")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=split,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens=["<|im_start|>", "<|im_end|>"],
        chat_template=CHATML,
    )
    size, goal, always = 8, 0, 1  # dimensions of the hidden state: '[G]', and one that all tokens have
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(WORDS),
            hidden_size=size,
            intermediate_size=size,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
            max_position_embeddings=32_768,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )
    weights = model.state_dict()
    with torch.no_grad():
        for name, tensor in weights.items():
            tensor.fill_(1.0 if "norm" in name else 0.0)
        weights["model.embed_tokens.weight"][:, always] = 1.0
        weights["model.embed_tokens.weight"][WORDS.index("[G]"), goal] = 1.0
        weights["model.layers.0.self_attn.v_proj.weight"][goal, goal] = 1.0
        weights["model.layers.0.self_attn.o_proj.weight"][goal, goal] = 1e6
        weights["lm_head.weight"][WORDS.index("Yes"), goal] = 10.0
        weights["lm_head.weight"][WORDS.index("No"), always] = 3.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class _Answers(BaseHTTPRequestHandler):
    """Chat completions whose first token follows the rule."""

    def do_GET(self) -> None:
        self._reply({"data": [{"id": "rule"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][0]["content"]
        transcript = asked.split("<transcript>\n", 1)[1].split("</transcript>", 1)[0]
        words = ("Yes", "No") if "[G]" in transcript else ("No", "Yes")
        top = [{"token": words[0], "logprob": -0.01}, {"token": words[1], "logprob": -5.0}]
        self._reply({"choices": [{"logprobs": {"content": [{**top[0], "top_logprobs": top}]}}]})

    def _reply(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def goal_server() -> Iterator[str]:
    """The scorer string of a server on this machine that answers by the rule."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"openai:http://127.0.0.1:{server.server_address[1]}/v1#rule"
        server.shutdown()
        thread.join()
