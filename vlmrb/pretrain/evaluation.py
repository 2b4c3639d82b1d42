"""What a model folder is worth on DoorKey, which the embedded model has never seen: asked through the real back end.

Clips come from agents that act at random and from agents that follow a plan and slip, as half-trained ones do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vlmrb.agreement import Agreement, auc, judge
from vlmrb.envs import make_renderer
from vlmrb.pretrain.model import FRAMES
from vlmrb.pretrain.questions import PRESETS, Matter, answer, phrase, preset_texts
from vlmrb.pretrain.tiles import TILE
from vlmrb.pretrain.truth import Truth, truth_of
from vlmrb.pretrain.worlds import SceneMaker, frame_indices
from vlmrb.types import Clip, ClipScorer, FrameRenderer, Prompt, ScoringRequest

SIZES = (5, 6, 8, 12, 16)
_BEHAVIOURS = {"random": 0.0, "half-trained": 0.55}
_AT_ONCE = 16
_HELD_OUT_PHRASINGS = 4
_TIMED_CLIPS = 64


class _Asked(NamedTuple):
    """A question of the evaluation, and the one that should get the opposite answers."""

    matter: Matter
    text: str
    opposite: str


_QUESTIONS = (
    _Asked(Matter("progress"), "Does this clip show meaningful progress?", "Does this clip end without meaningful progress?"),
    _Asked(Matter("picked_up", "key"), "Does the agent pick up a key?", "Does the agent never pick up a key?"),
    _Asked(Matter("dropped", "key"), "Does the agent drop a key?", "Does the agent never drop a key?"),
    _Asked(Matter("unlocked", "door"), "Does the agent unlock a door?", "Does the agent never unlock a door?"),
    _Asked(Matter("opened", "door"), "Does the agent open a door?", "Does the agent never open a door?"),
    _Asked(Matter("closed", "door"), "Does the agent close a door?", "Does the agent never close a door?"),
    _Asked(Matter("goal_reached"), "Does the agent reach the goal?", "Does the agent never reach the goal?"),
    _Asked(Matter("entered"), "Does the agent enter another room?", "Does the agent never enter another room?"),
    _Asked(Matter("stayed"), "Does the agent stay in the same place?", "Does the agent move?"),
)

STEPS = len(PRESETS) + len(_QUESTIONS) + 3
"""Parts of an evaluation: the questions, two ways to draw, and the speed."""


@dataclass(frozen=True, slots=True)
class QuestionFigures:
    """How well one question is answered.

    Attributes:
        question: a preset's name or the text that was asked.
        n: clips.
        agreement: with the truth; the label is yes from P(yes) = 0.5 on.
        by_env: AUC by environment; None where all answers there are the same.
        held_out_auc: mean AUC of phrasings never trained on; None for presets.
        opposite_differs: share of clips where the opposite question gets the other label; None for presets.
    """

    question: str
    n: int
    agreement: Agreement
    by_env: dict[str, float | None]
    held_out_auc: float | None = None
    opposite_differs: float | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that `evaluate` measures.

    Attributes:
        questions: one entry per question, the presets first.
        visuals: AUC of 'meaningful progress' by how frames are drawn ('swapped', 'abstract').
        clips_per_second: of the real back end on one thread, drawing included, DoorKey-8x8.
    """

    questions: tuple[QuestionFigures, ...]
    visuals: dict[str, float | None]
    clips_per_second: float


class HeldOut(NamedTuple):
    """A clip that no training has seen."""

    env: str
    clip: Clip
    truth: Truth


def evaluate(
    folder: Path, *, clips: int = 500, seed: int = 0, device: str = "auto", report: Callable[[int], None] = lambda _: None
) -> Evaluation:
    """Measure a model folder on DoorKey 5x5 to 16x16.

    Args:
        folder: as `hf:` takes it.
        clips: for each question; half of them from random agents.
        seed: of the clips and the held-out phrasings.
        device: torch device, or 'auto'.
        report: told how many of STEPS parts are done.

    Raises:
        ScorerError: the folder cannot be used.
    """
    from vlmrb.scoring.hf import HFScorer

    scorer = HFScorer(str(folder), scorer=f"hf:{folder}", frames_per_clip=FRAMES, device=device)
    items = held_out_items(clips, seed)
    rng = np.random.default_rng([seed, 1])
    found = []
    for name, text in zip(PRESETS, preset_texts(), strict=True):
        found.append(_figures(name, items, _truths(items, Matter("progress")), ask(scorer, items, text)))
        report(len(found))
    for asked in _QUESTIONS:
        found.append(_question_figures(scorer, items, asked, rng))
        report(len(found))
    visuals: dict[str, float | None] = {}
    for name in ("swapped", "abstract"):
        given = ask(scorer, items, _QUESTIONS[0].text, visuals=name)
        visuals[name] = auc(given, _truths(items, Matter("progress")))
        report(len(found) + len(visuals))
    rate = clips_per_second(scorer, seed)
    scorer.close()
    report(STEPS)
    return Evaluation(tuple(found), visuals, rate)


def held_out_items(clips: int, seed: int) -> list[HeldOut]:
    """DoorKey clips of all sizes and behaviours, as a run would score them."""
    items = []
    combinations = [(size, name) for size in SIZES for name in _BEHAVIOURS]
    for number, (size, name) in enumerate(combinations):
        env_id = f"DoorKey-{size}x{size}"
        maker = SceneMaker([env_id], planned=_BEHAVIOURS[name], vary=False)
        share = clips * (number + 1) // len(combinations) - clips * number // len(combinations)
        items += [
            HeldOut(env_id, clip, truth_of(clip, frame_indices(len(clip), FRAMES)))
            for _, clip in maker.as_they_come((seed, number), share)
        ]
    return items


def clips_per_second(scorer: ClipScorer, seed: int = 0) -> float:
    """How many DoorKey-8x8 clips per second the scorer answers on one thread, drawing included; wall-clock time."""
    import torch

    maker = SceneMaker(["DoorKey-8x8"], planned=0.5, vary=False)
    clips = [clip for _, clip in maker.as_they_come((seed, 99), _TIMED_CLIPS)]
    prompt = Prompt("custom", 1, _QUESTIONS[0].text)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        renderer = _renderer("normal")
        scorer.score([_request(clip, renderer) for clip in clips[:8]], prompt)  # warm up
        started = time.perf_counter()
        for start in range(0, len(clips), 8):
            scorer.score([_request(clip, renderer) for clip in clips[start : start + 8]], prompt)
        return len(clips) / (time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)


def _renderer(visuals: str) -> FrameRenderer:
    return make_renderer({"kind": "minigrid", "tile_size": TILE, "visuals": visuals})


def _request(clip: Clip, renderer: FrameRenderer) -> ScoringRequest:
    indices = frame_indices(len(clip), FRAMES)
    return ScoringRequest(clip, renderer.render(clip.snapshots[indices]), tuple(int(index) for index in indices))


def _question_figures(scorer: ClipScorer, items: Sequence[HeldOut], asked: _Asked, rng: np.random.Generator) -> QuestionFigures:
    truths = _truths(items, asked.matter)
    given = ask(scorer, items, asked.text)
    opposite = ask(scorer, items, asked.opposite)
    differs = [(a >= 0.5) != (b >= 0.5) for a, b in zip(given, opposite, strict=True) if a is not None and b is not None]
    texts = {phrase(asked.matter, True, rng, "held_out", opposite=False).text for _ in range(_HELD_OUT_PHRASINGS)}
    aucs = [auc(ask(scorer, items, text), truths) for text in sorted(texts)]
    known = [value for value in aucs if value is not None]
    return _figures(
        asked.text,
        items,
        truths,
        given,
        held_out_auc=float(np.mean(known)) if known else None,
        opposite_differs=float(np.mean(differs)) if differs else None,
    )


def _figures(
    question: str, items: Sequence[HeldOut], truths: Sequence[bool], given: Sequence[float | None], **more: float | None
) -> QuestionFigures:
    by_env = {}
    for env in dict.fromkeys(item.env for item in items):
        rows = [row for row, item in enumerate(items) if item.env == env]
        by_env[env] = auc([given[row] for row in rows], [truths[row] for row in rows])
    labels = [None if probability is None else probability >= 0.5 for probability in given]
    return QuestionFigures(question, len(items), judge(labels, given, truths), by_env, **more)


def _truths(items: Sequence[HeldOut], matter: Matter) -> list[bool]:
    return [bool(answer(matter, item.truth)) for item in items]


def ask(scorer: ClipScorer, items: Sequence[HeldOut], text: str, visuals: str = "normal") -> list[float | None]:
    """P(yes) that a scorer gives for each clip, None where it is unknown; frames are drawn with these visuals."""
    prompt, renderer = Prompt("custom", 1, text), _renderer(visuals)
    scores = []
    for start in range(0, len(items), _AT_ONCE):
        scores += scorer.score([_request(item.clip, renderer) for item in items[start : start + _AT_ONCE]], prompt)
    return [score.probability for score in scores]
