"""Judge new scores of clips by the simulator's events, people's labels and the clips' previous labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vlmrb.analysis.agreement import Agreement, Flips, flips, judge
from vlmrb.errors import ConfigError
from vlmrb.truths import PROGRESS, choices, truths_for, truths_of
from vlmrb.types import ClipScore, ClipSummary, Prompt, Rule, Vote


@dataclass(frozen=True, slots=True)
class JudgedQuestion:
    """One question of a set, its answers judged by the truth that fits it."""

    question: str
    truth: str
    events: Agreement


@dataclass(frozen=True, slots=True)
class AgreementReport:
    """New scores compared with the simulator's events, people's labels and the clips' previous labels.

    Attributes:
        clips: number of clips scored.
        events: agreement with the simulator's events, by `truth`; always present.
        people: agreement with people's labels, over the clips that have one; None if none has.
        flips: from the previous labels to the new ones.
        first_error: why the first unknown answer is unknown, or ''.
        answers: number of answers per clip. Of several, everything here is about the one P(yes) that the set's rule makes.
        by: the set's rule.
        truth: what `events` judges by (`vlmrb.truths`).
        questions: of a set, each question judged by the truth that fits it; empty for a single one.
        missing_votes: which members of a vote or cascade gave no answer about how many clips, and why; or ''.
    """

    clips: int
    events: Agreement
    people: Agreement | None
    flips: Flips
    first_error: str
    answers: int = 1
    by: Rule = "any"
    truth: str = PROGRESS
    questions: tuple[JudgedQuestion, ...] = ()
    missing_votes: str = ""

    @property
    def rule(self) -> str:
        """How a clip's answers become its label, in words; '' if it has only one."""
        words = {
            "any": "at least one of its {} answers is yes",
            "all": "all of its {} answers are yes",
            "mean": "the mean of its {} answers, by weight, reaches the threshold",
        }
        return "" if self.answers == 1 else f"a clip is yes if {words[self.by].format(self.answers)} (rule '{self.by}')"


def report(
    clips: Sequence[ClipSummary], scores: Sequence[ClipScore], prompt: Prompt | None, truth: str | None = None
) -> AgreementReport:
    """Compare new scores with the simulator's events, people's labels and the clips' previous labels.

    Args:
        clips: the clips with their previous labels; at least one.
        scores: of the same clips, in the same order.
        prompt: what was asked; None for control scorers.
        truth: what the events are to show; None for what fits a single question, and progress otherwise.

    Raises:
        ConfigError: no clip shows it and it is no kind of progress.
    """
    shown = [truths_of(clip.events) for clip in clips]
    asked = () if prompt is None else prompt.questions
    known = choices(shown)
    fitting = truths_for(asked, known)
    truth = chosen_truth(truth, prompt, known)
    labels, probabilities = [score.label for score in scores], [score.probability for score in scores]
    judged = [(clip.human_label, score) for clip, score in zip(clips, scores, strict=True) if clip.human_label is not None]
    people = None
    if judged:
        people = judge(
            [score.label for _, score in judged], [score.probability for _, score in judged], [human for human, _ in judged]
        )
    return AgreementReport(
        clips=len(clips),
        events=judge(labels, probabilities, [truth in truths for truths in shown]),
        people=people,
        flips=flips([None if clip.score is None else clip.score.label for clip in clips], labels),
        first_error=next((score.error for score in scores if score.error), ""),
        answers=max(len(score.answers) for score in scores),
        by="any" if prompt is None else prompt.rule,
        truth=truth,
        questions=tuple(_judged(*each, scores, shown) for each in zip(asked, fitting, range(len(asked)), strict=True))
        if len(asked) > 1
        else (),
        missing_votes=_missing_votes(scores),
    )


def chosen_truth(truth: str | None, prompt: Prompt | None, known: Sequence[str]) -> str:
    """The truth to judge a prompt's answers by: the given one, else what fits a single question, else progress.

    Args:
        truth: what somebody chose, or None.
        prompt: what was asked; None for control scorers.
        known: the truths to choose from.

    Raises:
        ConfigError: the given one is not among them.
    """
    if truth is not None and truth not in known:
        raise ConfigError(f"truth: got {truth!r}; allowed: {', '.join(known)}")
    asked = () if prompt is None else prompt.questions
    return truth or (truths_for(asked, known)[0] if len(asked) == 1 else PROGRESS)


def _judged(
    question: str, truth: str, number: int, scores: Sequence[ClipScore], shown: Sequence[frozenset[str]]
) -> JudgedQuestion:
    answers = [score.answers[number] if number < len(score.answers) else None for score in scores]
    labels = [None if answer is None else answer >= score.threshold for answer, score in zip(answers, scores, strict=True)]
    return JudgedQuestion(question, truth, judge(labels, answers, [truth in truths for truths in shown]))


def _missing_votes(scores: Sequence[ClipScore]) -> str:
    by_member: dict[str, list[Vote]] = {}
    for vote in (vote for score in scores for vote in score.votes):
        by_member.setdefault(vote.member, []).append(vote)
    said = []
    for member, votes in by_member.items():
        if missing := [vote for vote in votes if all(answer is None for answer in vote.answers)]:
            said.append(f"{member} gave no answer about {len(missing)} of {len(votes)} clips ({missing[-1].error})")
    return "; ".join(said)
