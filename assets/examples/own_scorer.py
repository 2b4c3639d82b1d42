"""A scorer of your own, behind the protocol that `openai:` speaks: yes where a clip does not end as it began.

Start it in one terminal:

    python assets/examples/own_scorer.py

and train with it from another one:

    python -m vlmrb train --env DoorKey-5x5 --scorer openai:http://127.0.0.1:8765/v1#motion --total-steps 20000

`python -m vlmrb clips 1` lists the labels. About nine clips in ten get a yes; those in which the agent ended where it had begun
get a no. Ctrl-C ends the server; a run that still needs it then continues without new scores.

To use your own model, change `probability_of_yes`. It gets the frames and the question, and it may be slow: clips wait in a queue
and the agent never waits for an answer. It is called from several threads at once.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import math
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

ADDRESS = ("127.0.0.1", 8765)


def probability_of_yes(frames: list[np.ndarray], question: str) -> float:  # noqa: ARG001
    """P(yes) in [0, 1] for the evenly spaced frames of one clip (RGB uint8 [H, W, 3]). This one reads no question."""
    changed = np.any(frames[0] != frames[-1], axis=-1).mean()  # share of pixels
    return 1.0 / (1.0 + math.exp(-100.0 * (changed - 0.05)))


class Scorer(BaseHTTPRequestHandler):
    """Answers POST …/chat/completions as a model would whose first token is Yes or No."""

    def do_POST(self) -> None:
        """One clip: a message of several images and a text."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        parts = request["messages"][0]["content"]
        frames = [_decode(part["image_url"]["url"]) for part in parts if part["type"] == "image_url"]
        question = next(part["text"] for part in parts if part["type"] == "text")
        yes = min(max(probability_of_yes(frames, question), 1e-6), 1 - 1e-6)  # log(0) is no log-probability
        top = [{"token": "Yes", "logprob": math.log(yes)}, {"token": "No", "logprob": math.log(1 - yes)}]
        first = max(top, key=lambda each: each["logprob"])
        self._reply({"choices": [{"logprobs": {"content": [{**first, "top_logprobs": top}]}}]})

    def do_GET(self) -> None:
        """The list of models, which is asked for once, to see that the server is there."""
        self._reply({"data": [{"id": "motion"}]})

    def _reply(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing per request: there are thousands."""


def _decode(data_url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data_url.partition(",")[2]))).convert("RGB"))


if __name__ == "__main__":
    with ThreadingHTTPServer(ADDRESS, Scorer) as server:
        print(f"Scoring at http://{ADDRESS[0]}:{ADDRESS[1]}/v1 until Ctrl-C", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
