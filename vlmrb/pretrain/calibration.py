"""Find a threshold per question on clips that neither training nor any exam sees, and keep it with the model as an offset."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vlmrb.errors import ConfigError
from vlmrb.pretrain.evaluation import ask, truths_of
from vlmrb.pretrain.exam import Asked, Exam
from vlmrb.pretrain.questions import PRESETS, preset_texts
from vlmrb.pretrain.suites import suite_of
from vlmrb.scoring.offsets import LARGEST_OFFSET, OFFSETS_FILE, load_offsets

SEED = 1_000_003
"""Of the clips: no exam is given this seed by chance."""

_ENOUGH = 10  # clips where a matter is true, and where it is not


def calibrate(
    folder: Path,
    *,
    suite: str = "grids",
    clips: int = 500,
    device: str = "auto",
    report: Callable[[float], None] = lambda _: None,
) -> dict[str, float]:
    """Find the offsets of a model folder's questions on clips like those of its exam, from other layouts and other agents.

    Args:
        folder: as for the scorer `hf:<folder>`.
        suite: name of the suite that the model belongs to.
        clips: to ask about.
        device: torch device, or 'auto'.
        report: gets the finished share, in [0, 1].

    Returns:
        what to add to the logit of yes, for the questions of the exam and the presets that it helps, and for the same questions
        with other verbs and colours. Questions that are true, or false, of too few clips are left out.
    """
    from vlmrb.scoring.hf import HFScorer

    found_suite = suite_of(suite)
    exam = found_suite.make_exam()
    scorer = HFScorer(str(folder), scorer=f"hf:{folder}", frames_per_clip=found_suite.shape.frames, device=device)
    items = exam.held_out(clips, SEED)
    presets = dict(zip(PRESETS, preset_texts(), strict=True))
    given = ask(scorer, exam, items, [*presets.values(), *(asked.text for asked in exam.questions)], report=report)
    scorer.close()
    truths = {asked: truths_of(exam, items, asked) for asked in exam.questions}
    known, progress = load_offsets(folder), exam.questions[0]
    offsets: dict[str, float] = {}
    for texts, asked in [*(([text], progress) for text in presets.values()), *((_texts(exam, each), each) for each in truths)]:
        logits = [None if p is None else _logit(p) - known.of(texts[0]) for p in given[texts[0]]]
        offset = best_offset(logits, truths[asked])
        if offset:
            offsets |= dict.fromkeys(texts, round(offset, 2))
    return offsets


def keep(offsets: dict[str, float], clips: int, folder: Path) -> None:
    """Keep offsets with a model, in place of any that it has.

    Args:
        offsets: by question, in logits.
        clips: how many they were found on.
        folder: the model's.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    try:
        content = json.dumps({"clips": clips, "offsets": offsets}, indent=1)
        (folder / OFFSETS_FILE).write_text(content + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--record: {folder / OFFSETS_FILE} cannot be written: {error.strerror}") from error


def best_offset(logits: Sequence[float | None], truths: Sequence[bool]) -> float | None:
    """What to add to logits so that those of at least 0 are the best labels: the smaller of precision and recall is largest.

    Both are promised, and F1 would give one away for the other. It is 0 if that cannot be told from the best, and else the
    middle of the thresholds around the best that cannot.

    Args:
        logits: of yes minus no; None where unknown.
        truths: as many.

    Returns:
        the offset, in [−LARGEST_OFFSET, LARGEST_OFFSET]; None if there are too few clips of either kind.
    """
    pairs = [(logit, truth) for logit, truth in zip(logits, truths, strict=True) if logit is not None]
    values, order = np.unique([logit for logit, _ in pairs], return_inverse=True)
    true = np.bincount(order, weights=[truth for _, truth in pairs], minlength=len(values))
    if min(true.sum(), len(pairs) - true.sum()) < _ENOUGH:
        return None
    found = true[::-1].cumsum()[::-1]  # [values], how many true clips are at or above each value
    said = np.bincount(order, minlength=len(values))[::-1].cumsum()[::-1]  # and how many clips
    worth = np.minimum(found / said, found / found[0])
    best = worth.max()
    as_good = worth >= best - 2 * np.sqrt(best * (1 - best) / found[0])  # two standard errors
    below = np.concatenate([[values[0] - 1.0], values[:-1]])  # thresholds above `below`, up to the value, are worth the same
    none = int(np.searchsorted(values, 0.0))  # the value whose threshold 0 is
    if none < len(values) and as_good[none]:
        return 0.0
    first = last = int(worth.argmax())
    while first > 0 and as_good[first - 1]:
        first -= 1
    while last + 1 < len(values) and as_good[last + 1]:
        last += 1
    return float(np.clip(-(below[first] + values[last]) / 2, -LARGEST_OFFSET, LARGEST_OFFSET))


def _texts(exam: Exam, asked: Asked) -> list[str]:
    """The exam's question and, if it is a plain one, those about the same thing with any verb and in any colour."""
    alike = [each for each in exam.catalogue.matters if (each.family, each.object) == (asked.matter.family, asked.matter.object)]
    plain = [text for matter in alike for text in exam.catalogue.plain_wordings(matter)]
    return list(dict.fromkeys([asked.text, *plain])) if asked.text in plain else [asked.text]


def _logit(probability: float) -> float:
    p = min(max(probability, 1e-12), 1 - 1e-12)
    return float(np.log(p / (1 - p)))
