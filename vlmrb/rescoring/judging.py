"""Judge new scores of clips by the simulator's events, people's labels and the clips' previous labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vlmrb.analysis.agreement import Agreement, Flips, flips, judge
from vlmrb.types import ClipScore, ClipSummary, Vote


@dataclass(frozen=True, slots=True)
class AgreementReport:
    """New scores compared with the simulator's events, people's labels and the clips' previous labels.

    Attributes:
        clips: number of clips scored.
        events: agreement with the simulator's events; always present.
        people: agreement with people's labels, over the clips that have one; None if none has.
        flips: from the previous labels to the new ones.
        first_error: why the first unknown answer is unknown, or ''.
        answers: number of answers per clip. Of several, the largest is the P(yes) that everything here is about.
        missing_votes: which members of a vote or cascade gave no answer about how many clips, and why; or ''.
    """

    clips: int
    events: Agreement
    people: Agreement | None
    flips: Flips
    first_error: str
    answers: int = 1
    missing_votes: str = ""

    @property
    def rule(self) -> str:
        """How a clip's answers become its label, in words; '' if it has only one."""
        return "" if self.answers == 1 else f"a clip is yes if at least one of its {self.answers} answers is yes (rule 'any')"


def report(clips: Sequence[ClipSummary], scores: Sequence[ClipScore]) -> AgreementReport:
    """Compare new scores with the simulator's events, people's labels and the clips' previous labels.

    Args:
        clips: the clips with their previous labels; at least one.
        scores: of the same clips, in the same order.
    """
    labels, probabilities = [score.label for score in scores], [score.probability for score in scores]
    judged = [(clip.human_label, score) for clip, score in zip(clips, scores, strict=True) if clip.human_label is not None]
    people = None
    if judged:
        people = judge(
            [score.label for _, score in judged], [score.probability for _, score in judged], [human for human, _ in judged]
        )
    return AgreementReport(
        clips=len(clips),
        events=judge(labels, probabilities, [clip.progress for clip in clips]),
        people=people,
        flips=flips([None if clip.score is None else clip.score.label for clip in clips], labels),
        first_error=next((score.error for score in scores if score.error), ""),
        answers=max(len(score.answers) for score in scores),
        missing_votes=_missing_votes(scores),
    )


def _missing_votes(scores: Sequence[ClipScore]) -> str:
    by_member: dict[str, list[Vote]] = {}
    for vote in (vote for score in scores for vote in score.votes):
        by_member.setdefault(vote.member, []).append(vote)
    said = []
    for member, votes in by_member.items():
        if missing := [vote for vote in votes if all(answer is None for answer in vote.answers)]:
            said.append(f"{member} gave no answer about {len(missing)} of {len(votes)} clips ({missing[-1].error})")
    return "; ".join(said)
