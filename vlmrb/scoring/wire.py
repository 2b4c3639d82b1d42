"""What a shared scorer's clients and server send each other: clips with questions one way, answers the other.

A request is a safetensors file, which is data alone: tensor '0', '1', … holds a clip's frames, and its metadata 'ask' the rest
as JSON. Simulated frames repeat themselves, in time and in space: of a `Mosaic`, '0.blocks' holds the squares and '0.index' which
one is where. Nothing is lost. A reply is JSON. Both sides check all that they read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from vlmrb.errors import ScorerError
from vlmrb.scoring.yes_no import Answer
from vlmrb.types import Clip, Mosaic, ScoringRequest

ABOUT, SCORE, HEALTH, NOTICES = "/about", "/score", "/health", "/notices"

PROTOCOL = 2
"""What this module writes and reads; client and server must agree."""

CONTENT_TYPE = "application/octet-stream"
CLIENT = "X-VLMRB-Client"
"""Header that says whose clips these are, so that the server can be fair: up to 100 characters."""

RUN, NAME = "X-VLMRB-Run", "X-VLMRB-Name"
"""Headers with the number of the run, if it is one, and its name, percent-encoded: shown to people."""

PICTURES = "X-VLMRB-Pictures"
"""Header with the kind of the client's pictures, as in a run's `render_spec`, for servers that hold a model for each."""

MAX_BODY = 64 * 2**20
"""Bytes of a request."""

MAX_CLIPS, MAX_ASKED, MAX_FRAMES, MAX_SIDE, MAX_STEPS, MAX_TEXT = 64, 64, 256, 1024, 1024, 1_000_000
"""Per request: clips and questions; per clip: frames, their sides in pixels, steps, and characters of its transcript."""

MAX_DECODED = 512 * 2**20
"""Bytes of all frames of a request; clients send less at once."""

_SIDES = (32, 16, 8)  # of the squares, in pixels, that are looked for in frames
_MAX_ERROR = 500


class Asked(NamedTuple):
    """A request: clips, and questions about each of them."""

    requests: list[ScoringRequest]
    questions: tuple[str, ...]
    pictures: str = ""


class WireError(ScorerError):
    """What was sent is not what this module writes."""


def pack_request(requests: Sequence[ScoringRequest], questions: Sequence[str], pictures: str = "") -> bytes:
    """The request as bytes."""
    from safetensors.numpy import save

    clips = [
        {"length": len(request.clip), "indices": list(request.frame_indices), "transcript": request.transcript}
        for request in requests
    ]
    tensors: dict[str, np.ndarray] = {}
    for number, request in enumerate(requests):
        tensors |= _pack_frames(str(number), request.frames)
    ask = {"protocol": PROTOCOL, "clips": clips, "questions": list(questions), "pictures": pictures}
    return save(tensors, {"ask": json.dumps(ask)})


def _pack_frames(name: str, frames: np.ndarray | Mosaic) -> dict[str, np.ndarray]:
    if not isinstance(frames, Mosaic):
        side = next((side for side in _SIDES if not (frames.shape[1] % side or frames.shape[2] % side)), 0)
        mosaic = Mosaic.of(frames, side) if side else None
        if mosaic is None:
            return {name: np.ascontiguousarray(frames)}
        frames = mosaic
    return {f"{name}.blocks": np.ascontiguousarray(frames.squares), f"{name}.index": frames.index.astype(np.uint32)}


def _unpack_frames(number: int, tensors: dict[str, np.ndarray]) -> np.ndarray | Mosaic:
    """A clip's frames, however they were sent.

    Raises:
        WireError: there are none.
    """
    if (whole := tensors.get(str(number))) is not None:
        return whole
    blocks, index = tensors.get(f"{number}.blocks"), tensors.get(f"{number}.index")
    if blocks is None or index is None:
        raise WireError(f"clip {number} has no frames")
    side = blocks.shape[1] if blocks.ndim == 4 else 0
    if (
        blocks.dtype != np.uint8
        or blocks.shape[1:] != (side, side, 3)
        or not 1 <= side <= MAX_SIDE
        or index.dtype != np.uint32
        or index.ndim != 3
    ):
        raise WireError(f"clip {number}: its frames are not in squares")
    count, rows, columns = index.shape
    if count > MAX_FRAMES or max(rows, columns) * side > MAX_SIDE or not index.size or int(index.max()) >= len(blocks):
        raise WireError(
            f"clip {number}: up to {MAX_FRAMES} frames with sides of up to {MAX_SIDE} pixels are allowed, all squares sent"
        )
    return Mosaic(blocks, index)


def _decoded_size(number: int, tensors: dict[str, np.ndarray]) -> int:
    """Bytes of a clip's frames, before they are made."""
    blocks, index = tensors.get(f"{number}.blocks"), tensors.get(f"{number}.index")
    if blocks is None or index is None or len(blocks) == 0:
        return 0
    return int(index.size) * (blocks.nbytes // len(blocks))


def unpack_request(body: bytes) -> Asked:
    """The request in these bytes; a clip's id is its number in it.

    Raises:
        WireError: they are none, or ask for more than is allowed.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        size = int.from_bytes(body[:8], "little")
        ask = json.loads(json.loads(body[8 : 8 + min(size, len(body))])["__metadata__"]["ask"])
        tensors = load(body)
        assert ask["protocol"] == PROTOCOL
        clips, questions, pictures = ask["clips"], ask["questions"], ask["pictures"]
        assert isinstance(clips, list) and isinstance(questions, list) and isinstance(pictures, str)
    except (SafetensorError, ValueError, KeyError, TypeError, AssertionError, RecursionError, OverflowError):
        raise WireError("this is no request of a shared scorer; clients and server need the same version of VLM-RB") from None
    if not 1 <= len(clips) <= MAX_CLIPS:
        raise WireError(f"{len(clips)} clips; 1 to {MAX_CLIPS} are allowed in a request")
    if sum(_decoded_size(number, tensors) for number in range(len(clips))) > MAX_DECODED:
        raise WireError(f"the frames of a request may take {MAX_DECODED} bytes together")
    if not 1 <= len(questions) <= MAX_ASKED or not all(isinstance(each, str) and 0 < len(each) <= MAX_TEXT for each in questions):
        raise WireError(f"{len(questions)} questions; 1 to {MAX_ASKED} texts are allowed")
    requests = [_request(number, clip, _unpack_frames(number, tensors)) for number, clip in enumerate(clips)]
    return Asked(requests, tuple(questions), pictures)


def _request(number: int, clip: Any, pictures: np.ndarray | Mosaic) -> ScoringRequest:
    try:
        length, indices, transcript = clip["length"], clip["indices"], clip["transcript"]
    except (KeyError, TypeError):
        raise WireError(f"clip {number} has no length, indices or transcript") from None
    if not isinstance(length, int) or isinstance(length, bool) or not 1 <= length <= MAX_STEPS:
        raise WireError(f"clip {number} has {length!r:.40} steps; 1 to {MAX_STEPS} are allowed")
    if not isinstance(transcript, str) or len(transcript) > MAX_TEXT:
        raise WireError(f"clip {number}: a transcript is a text of up to {MAX_TEXT} characters")
    height, width = pictures.shape[1:3] if len(pictures.shape) == 4 else (0, 0)
    is_picture = isinstance(pictures, Mosaic) or (pictures.dtype == np.uint8 and pictures.ndim == 4 and pictures.shape[3] == 3)
    has_size = len(pictures) == 0 or (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE)
    if not is_picture or not has_size or len(pictures) > MAX_FRAMES:
        raise WireError(
            f"clip {number}: frames are uint8 [F, H, W, 3] with F up to {MAX_FRAMES} and sides of 1 to {MAX_SIDE} pixels; got "
            f"{getattr(pictures, 'dtype', 'squares')} {list(pictures.shape)}"
        )
    good = isinstance(indices, list) and all(isinstance(at, int) and 0 <= at < length for at in indices)
    if not good or (len(pictures) and len(indices) != len(pictures)) or indices != sorted(set(indices)):
        raise WireError(f"clip {number}: there is one index for each frame, ascending, from 0 to {length - 1}")
    nothing = np.zeros((length, 0), np.uint8)
    whole = Clip(number, 0, 0, np.arange(length), nothing, np.zeros(length, np.float32), (), "length")
    return ScoringRequest(whole, pictures, tuple(indices), transcript)


def pack_reply(answers: Sequence[Sequence[Answer]], revision: str) -> dict[str, Any]:
    """The reply as what JSON can say: per clip and question P(yes), both logits and an error."""
    return {"revision": revision, "answers": [[[*map(_finite, answer[:3]), answer.error] for answer in row] for row in answers]}


def unpack_reply(reply: Any, clips: int, questions: int) -> tuple[list[list[Answer]], str]:
    """Answers per clip and question, and the model's revision.

    Raises:
        WireError: it does not answer so many questions about so many clips.
    """
    try:
        revision, rows = reply["revision"], reply["answers"]
        answers = [[_answer(each) for each in row] for row in rows]
        assert isinstance(revision, str) and len(rows) == clips and all(len(row) == questions for row in rows)
    except (KeyError, TypeError, ValueError, AssertionError):
        raise WireError("the shared scorer's reply has not one answer per clip and question") from None
    return answers, revision[:100]


def _answer(given: Any) -> Answer:
    probability, yes, no, error = given
    for number in (probability, yes, no):
        assert number is None or (isinstance(number, (int, float)) and not isinstance(number, bool) and math.isfinite(number))
    assert isinstance(error, str) and (probability is None or 0.0 <= probability <= 1.0)
    return Answer(probability, yes, no, error[:_MAX_ERROR])


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
