"""Evaluate a model folder on clips that training never saw, through the real back end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vlmrb.analysis.agreement import Agreement, auc, judge
from vlmrb.errors import ConfigError
from vlmrb.pretrain.exam import Asked, Exam, HeldOut
from vlmrb.pretrain.questions import PRESETS, preset_texts
from vlmrb.pretrain.suites import suite_of
from vlmrb.scoring.embedded import MEASURED_FILE
from vlmrb.types import MAX_QUESTIONS, ClipScorer, Prompt

_AT_ONCE = 16
_HELD_OUT_PHRASINGS = 4
_ENOUGH = 10  # true clips


@dataclass(frozen=True, slots=True)
class Phrasings:
    """How well phrasings that training never saw are answered: means over them; None where it is not defined."""

    auc: float | None
    precision: float | None
    recall: float | None


@dataclass(frozen=True, slots=True)
class QuestionFigures:
    """How well one question is answered.

    Attributes:
        question: a preset's name or the text that was asked.
        n: number of clips.
        agreement: with the truth; the label is yes where P(yes) ≥ 0.5.
        by_env: AUC by environment; None where all true answers are the same.
        held_out: phrasings of it that training never saw; None for presets.
        held_out_opposite: likewise of the opposite question; None for presets.
        opposite_differs: share of clips where the opposite question gets the opposite label; None for presets.
    """

    question: str
    n: int
    agreement: Agreement
    by_env: dict[str, float | None]
    held_out: Phrasings | None = None
    held_out_opposite: Phrasings | None = None
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


class _Wording(NamedTuple):
    """All the texts that one question of the exam is asked in."""

    asked: Asked
    held_out: tuple[str, ...]
    held_out_opposite: tuple[str, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        return self.asked.text, self.asked.opposite, *self.held_out, *self.held_out_opposite


def evaluate(
    folder: Path,
    *,
    suite: str = "grids",
    clips: int = 500,
    seed: int = 0,
    device: str = "auto",
    report: Callable[[float], None] = lambda _: None,
) -> Evaluation:
    """Measure a model folder.

    Args:
        folder: as for the scorer `hf:<folder>`.
        suite: name of the suite whose exam it takes.
        clips: to ask about.
        seed: of the clips and the held-out phrasings.
        device: torch device, or 'auto'.
        report: gets the finished share, in [0, 1].

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
    wordings = [_wording(exam, asked, rng) for asked in exam.questions]
    presets = dict(zip(PRESETS, preset_texts(), strict=True))
    texts = [*presets.values(), *(text for wording in wordings for text in wording.texts)]
    given = ask(scorer, exam, items, texts, report=lambda share: report(0.9 * share))
    progress = exam.questions[0]
    truths = {asked: truths_of(exam, items, asked) for asked in exam.questions}
    found = [_figures(name, items, truths[progress], given[text]) for name, text in presets.items()]
    found += [_question_figures(wording, items, truths[wording.asked], given) for wording in wordings]
    visuals = {}
    for name in exam.visuals:
        drawn = ask(scorer, exam, items, [progress.text], visuals=name)
        visuals[name] = auc(drawn[progress.text], truths[progress])
    rate = clips_per_second(scorer, exam, seed)
    scorer.close()
    report(1.0)
    return Evaluation(tuple(found), visuals, rate)


def record(found: Evaluation, folder: Path) -> None:
    """Keep with a model how right its labels are, so that a prompt that asks what it is weak at gets a notice.

    Presets, and questions that are true of fewer than _ENOUGH clips, are left out.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    figures = {
        entry.question: {"precision": entry.agreement.confusion.precision, "recall": entry.agreement.confusion.recall}
        for entry in found.questions
        if entry.question not in PRESETS and (entry.agreement.truth_rate or 0.0) * entry.n >= _ENOUGH
    }
    rounded = {question: {name: value and round(value, 3) for name, value in row.items()} for question, row in figures.items()}
    try:
        (folder / MEASURED_FILE).write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--record: {folder / MEASURED_FILE} cannot be written: {error.strerror}") from error


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


def _wording(exam: Exam, asked: Asked, rng: np.random.Generator) -> _Wording:
    def drawn(opposite: bool) -> tuple[str, ...]:
        phrase = exam.catalogue.phrase
        texts = {phrase(asked.matter, True, rng, "held_out", opposite=opposite).text for _ in range(_HELD_OUT_PHRASINGS)}
        return tuple(sorted(texts))

    return _Wording(asked, drawn(False), drawn(True))


def _question_figures(
    wording: _Wording, items: Sequence[HeldOut], truths: Sequence[bool], given: Mapping[str, Sequence[float | None]]
) -> QuestionFigures:
    asked = wording.asked
    pairs = zip(given[asked.text], given[asked.opposite], strict=True)
    differs = [(a >= 0.5) != (b >= 0.5) for a, b in pairs if a is not None and b is not None]
    return _figures(
        asked.text,
        items,
        truths,
        given[asked.text],
        held_out=_phrasings([given[text] for text in wording.held_out], truths),
        held_out_opposite=_phrasings([given[text] for text in wording.held_out_opposite], [not truth for truth in truths]),
        opposite_differs=float(np.mean(differs)) if differs else None,
    )


def _phrasings(given: Sequence[Sequence[float | None]], truths: Sequence[bool]) -> Phrasings:
    judged = [judge(_labels(answers), answers, truths) for answers in given]

    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    return Phrasings(
        mean(each.auc for each in judged),
        mean(each.confusion.precision for each in judged),
        mean(each.confusion.recall for each in judged),
    )


def _labels(given: Sequence[float | None]) -> list[bool | None]:
    return [None if probability is None else probability >= 0.5 for probability in given]


def _figures(
    question: str, items: Sequence[HeldOut], truths: Sequence[bool], given: Sequence[float | None], **more: Any
) -> QuestionFigures:
    by_env = {}
    for env in dict.fromkeys(item.env for item in items):
        rows = [row for row, item in enumerate(items) if item.env == env]
        by_env[env] = auc([given[row] for row in rows], [truths[row] for row in rows])
    return QuestionFigures(question, len(items), judge(_labels(given), given, truths), by_env, **more)


def truths_of(exam: Exam, items: Sequence[HeldOut], asked: Asked) -> list[bool]:
    """What is true of each clip, for a question of the exam."""
    return [bool(exam.catalogue.answer(asked.matter, item.truth)) for item in items]


def ask(
    scorer: ClipScorer,
    exam: Exam,
    items: Sequence[HeldOut],
    texts: Sequence[str],
    *,
    visuals: str = "normal",
    report: Callable[[float], None] = lambda _: None,
) -> dict[str, list[float | None]]:
    """The scorer's P(yes) for each text and clip, drawn with these visuals; None where it is unknown.

    Texts are asked in sets, so that most of the work on a clip is done once.
    """
    distinct = list(dict.fromkeys(texts))
    prompts = [distinct[start : start + MAX_QUESTIONS] for start in range(0, len(distinct), MAX_QUESTIONS)]
    given: dict[str, list[float | None]] = {text: [] for text in distinct}
    for start in range(0, len(items), _AT_ONCE):
        requests = [exam.request(item, visuals) for item in items[start : start + _AT_ONCE]]
        for asked in prompts:
            prompt = Prompt("custom", 1, asked[0] if len(asked) == 1 else "\n".join(f"- {text}" for text in asked))
            for score in scorer.score(requests, prompt):
                for text, probability in zip(asked, score.answers, strict=True):
                    given[text].append(probability)
        report(min(1.0, (start + _AT_ONCE) / len(items)))
    return given
