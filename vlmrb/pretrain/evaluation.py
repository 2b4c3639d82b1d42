"""Evaluate a model folder on clips that training never saw, through the real back end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlmrb.analysis.agreement import Agreement, auc, judge
from vlmrb.pretrain.exam import Asked, Exam, HeldOut
from vlmrb.pretrain.questions import PRESETS, preset_texts
from vlmrb.pretrain.suites import suite_of
from vlmrb.types import ClipScorer, Prompt

_AT_ONCE = 16
_HELD_OUT_PHRASINGS = 4


@dataclass(frozen=True, slots=True)
class QuestionFigures:
    """How well one question is answered.

    Attributes:
        question: a preset's name or the text that was asked.
        n: number of clips.
        agreement: with the truth; the label is yes where P(yes) ≥ 0.5.
        by_env: AUC by environment; None where all true answers are the same.
        held_out_auc: mean AUC of phrasings that training never saw; None for presets.
        opposite_differs: share of clips where the opposite question gets the opposite label; None for presets.
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
        visuals: AUC of 'meaningful progress' for each other way to draw the frames ('swapped', 'abstract'), if there are any.
        clips_per_second: of the real back end on one thread, including drawing.
    """

    questions: tuple[QuestionFigures, ...]
    visuals: dict[str, float | None]
    clips_per_second: float


def steps(suite: str) -> int:
    """How many parts an evaluation has: the questions, other ways to draw the frames, and the speed."""
    exam = suite_of(suite).make_exam()
    return len(PRESETS) + len(exam.questions) + len(exam.visuals) + 1


def evaluate(
    folder: Path,
    *,
    suite: str = "grids",
    clips: int = 500,
    seed: int = 0,
    device: str = "auto",
    report: Callable[[int], None] = lambda _: None,
) -> Evaluation:
    """Measure a model folder.

    Args:
        folder: as for the scorer `hf:<folder>`.
        suite: name of the suite whose exam it takes.
        clips: per question.
        seed: of the clips and the held-out phrasings.
        device: torch device, or 'auto'.
        report: called with the number of finished parts, out of `steps`.

    Raises:
        ConfigError: there is no such suite.
        ScorerError: the folder cannot be used.
    """
    from vlmrb.scoring.hf import HFScorer

    found_suite = suite_of(suite)
    exam = found_suite.make_exam()
    scorer = HFScorer(str(folder), scorer=f"hf:{folder}", frames_per_clip=found_suite.shape.frames, device=device)
    items = exam.held_out(clips, seed)
    rng = np.random.default_rng([seed, 1])
    progress = exam.questions[0]
    found = []
    for name, text in zip(PRESETS, preset_texts(), strict=True):
        found.append(_figures(name, items, _truths(exam, items, progress), ask(scorer, exam, items, text)))
        report(len(found))
    for asked in exam.questions:
        found.append(_question_figures(scorer, exam, items, asked, rng))
        report(len(found))
    visuals: dict[str, float | None] = {}
    for name in exam.visuals:
        given = ask(scorer, exam, items, progress.text, visuals=name)
        visuals[name] = auc(given, _truths(exam, items, progress))
        report(len(found) + len(visuals))
    rate = clips_per_second(scorer, exam, seed)
    scorer.close()
    report(len(found) + len(visuals) + 1)
    return Evaluation(tuple(found), visuals, rate)


def clips_per_second(scorer: ClipScorer, exam: Exam, seed: int = 0) -> float:
    """How many clips per second of wall-clock time the scorer answers on one thread, including drawing."""
    import torch

    items = exam.timed(seed)
    prompt = Prompt("custom", 1, exam.questions[0].text)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        scorer.score([exam.request(item) for item in items[:8]], prompt)  # warm up
        started = time.perf_counter()
        for start in range(8, len(items), 8):  # the frames of the first 8 may be cached
            scorer.score([exam.request(item) for item in items[start : start + 8]], prompt)
        return (len(items) - 8) / (time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)


def _question_figures(
    scorer: ClipScorer, exam: Exam, items: Sequence[HeldOut], asked: Asked, rng: np.random.Generator
) -> QuestionFigures:
    truths = _truths(exam, items, asked)
    given = ask(scorer, exam, items, asked.text)
    opposite = ask(scorer, exam, items, asked.opposite)
    differs = [(a >= 0.5) != (b >= 0.5) for a, b in zip(given, opposite, strict=True) if a is not None and b is not None]
    texts = {exam.catalogue.phrase(asked.matter, True, rng, "held_out", opposite=False).text for _ in range(_HELD_OUT_PHRASINGS)}
    aucs = [auc(ask(scorer, exam, items, text), truths) for text in sorted(texts)]
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


def _truths(exam: Exam, items: Sequence[HeldOut], asked: Asked) -> list[bool]:
    return [bool(exam.catalogue.answer(asked.matter, item.truth)) for item in items]


def ask(scorer: ClipScorer, exam: Exam, items: Sequence[HeldOut], text: str, visuals: str = "normal") -> list[float | None]:
    """The scorer's P(yes) for each clip, drawn with these visuals; None where it is unknown."""
    prompt, scores = Prompt("custom", 1, text), []
    for start in range(0, len(items), _AT_ONCE):
        scores += scorer.score([exam.request(item, visuals) for item in items[start : start + _AT_ONCE]], prompt)
    return [score.probability for score in scores]
