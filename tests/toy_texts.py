"""A language model that a test makes: it answers yes where a transcript shows FrozenLake's agent on the goal."""

from __future__ import annotations

from pathlib import Path

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
