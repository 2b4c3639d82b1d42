"""What new scores of clips are worth: against what happened, what people said, and the labels that the clips had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vlmrb.analysis.agreement import Agreement, Flips, flips, judge
from vlmrb.types import ClipScore, ClipSummary


@dataclass(frozen=True, slots=True)
class AgreementReport:
    """Scores of clips against what happened, what people said, and the labels that the clips had.

    Attributes:
        clips: how many were scored.
        events: against the simulator's events; always there.
        people: against what people say that the label should be, over the clips of which they said so; else None.
        flips: from the labels that the clips had to the new ones.
        first_error: why the first unknown answer is unknown, or ''.
    """

    clips: int
    events: Agreement
    people: Agreement | None
    flips: Flips
    first_error: str


def report(clips: Sequence[ClipSummary], scores: Sequence[ClipScore]) -> AgreementReport:
    """Compare new scores with what happened, with people's word, and with the labels that the clips had before.

    Args:
        clips: as they were before; at least one.
        scores: of the same clips, in order.
    """
    labels, probabilities = [score.label for score in scores], [score.probability for score in scores]
    judged = [(clip.human_label, score) for clip, score in zip(clips, scores, strict=True) if clip.human_label is not None]
    people = None
    if judged:
        people = judge(
            [score.label for _, score in judged], [score.probability for _, score in judged], [word for word, _ in judged]
        )
    return AgreementReport(
        clips=len(clips),
        events=judge(labels, probabilities, [clip.progress for clip in clips]),
        people=people,
        flips=flips([None if clip.score is None else clip.score.label for clip in clips], labels),
        first_error=next((score.error for score in scores if score.error), ""),
    )
