"""The prompt bench: trials of the same clips, or single questions of them, each with a threshold and a truth, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vlmrb.analysis.agreement import Agreement, Flips, ReliabilityBin, flips, judge, reliability
from vlmrb.errors import ConfigError
from vlmrb.rescoring.judging import chosen_truth
from vlmrb.rescoring.trials import threshold_matters
from vlmrb.store import Store
from vlmrb.truths import choices, truths_of
from vlmrb.types import ClipScore, ClipSummary, Prompt, Trial

MAX_CONTESTANTS = 12


@dataclass(frozen=True, slots=True)
class Entry:
    """A trial on the bench.

    Attributes:
        threshold: label a clip yes if P(yes) reaches this; None for the trial's own.
        truth: what its answers are judged by (`vlmrb.truths`); None for what fits its question.
        question: which question of the trial's set competes, from 1; None for what the set's rule makes of all answers.
    """

    trial_id: int
    threshold: float | None = None
    truth: str | None = None
    question: int | None = None


@dataclass(frozen=True, slots=True)
class SameClips:
    """Trials of the same clips, with their answers.

    Attributes:
        trials: each once, in the order asked for.
        prompts: what each of them asked; None for scorers that read none.
        clips: those that every trial with any answer has scored, by id.
        scores: of each trial, one per clip; empty while it has none.
        shown: what the events of each clip show.
        truths: what the answers can be judged by.
    """

    trials: tuple[Trial, ...]
    prompts: tuple[Prompt | None, ...]
    clips: tuple[ClipSummary, ...]
    scores: tuple[tuple[ClipScore, ...], ...]
    shown: tuple[frozenset[str], ...]
    truths: list[str]

    def fitting_truth(self, at: int) -> str:
        """The truth that fits the prompt of a trial."""
        return chosen_truth(None, self.prompts[at], self.truths)

    def seconds(self, at: int) -> float | None:
        """A trial's mean time per clip, rendering included; None without answers."""
        own = self.scores[at]
        return sum(score.latency_s for score in own) / len(own) if own else None


@dataclass(frozen=True, slots=True)
class Contestant:
    """An entry with what its answers are worth.

    Attributes:
        prompt: the whole one, of which `question` competes, if that is a number (from 1).
        agreement: with the truth; None while it has no answers.
        reliability: how often the truth holds, by P(yes).
        seconds: the scorer's mean time per clip, rendering included; None while it has no answers.
    """

    trial: Trial
    prompt: Prompt | None
    threshold: float
    truth: str
    agreement: Agreement | None
    reliability: tuple[ReliabilityBin, ...]
    seconds: float | None
    question: int | None = None


@dataclass(frozen=True, slots=True)
class BenchReport:
    """Contestants compared on the clips that all of them have answered.

    Attributes:
        contestants: in the order of the entries.
        clips: by id.
        scores: of each contestant, one per clip, at its threshold; empty while it has none.
        differences: `differences[i][j]` leads from the labels of contestant i to those of j.
    """

    contestants: tuple[Contestant, ...]
    clips: tuple[ClipSummary, ...]
    scores: tuple[tuple[ClipScore, ...], ...]
    differences: tuple[tuple[Flips, ...], ...]

    def apart(self, i: int, j: int) -> list[int]:
        """Ids of the clips that contestants i and j label differently; unknown answers differ from none."""
        pairs = zip(self.clips, self.scores[i], self.scores[j], strict=False)
        return [clip.clip_id for clip, a, b in pairs if None not in (a.label, b.label) and a.label != b.label]


def same_clips(store: Store, trial_ids: Sequence[int]) -> SameClips:
    """Read trials of the same clips.

    Raises:
        ConfigError: none or too many, or they are of different clips.
        NotFoundError: one of them does not exist.
    """
    ids = list(dict.fromkeys(trial_ids))
    if not 0 < len(ids) <= MAX_CONTESTANTS:
        raise ConfigError(f"bench: got {len(ids)} trials; allowed: 1 to {MAX_CONTESTANTS}")
    trials = tuple(store.trial(trial_id) for trial_id in ids)
    for other in trials[1:]:
        if other.clip_ids != trials[0].clip_ids:
            raise ConfigError(
                f"bench: trial {other.trial_id} is of other clips than trial {ids[0]}; "
                f"try its prompt on the same ones with `vlmrb trial --same-clips-as {ids[0]}`"
            )
    found = [{score.clip_id: score for score in store.trial_scores(trial_id)} for trial_id in ids]
    scored = [set(each) for each in found if each]
    ready = sorted(set.intersection(*scored) & set(trials[0].clip_ids)) if scored else []
    clips = tuple(store.clip_summaries(ready))
    shown = tuple(truths_of(clip.events) for clip in clips)
    return SameClips(
        trials=trials,
        prompts=tuple(None if trial.prompt_id is None else store.prompt(trial.prompt_id) for trial in trials),
        clips=clips,
        scores=tuple(tuple(each[clip_id] for clip_id in ready) if each else () for each in found),
        shown=shown,
        truths=choices(shown),
    )


def bench_report(store: Store, entries: Sequence[Entry]) -> BenchReport:
    """Compare trials of the same clips.

    Args:
        store: holds the trials.
        entries: one per contestant; a trial may be in several, with different thresholds, truths or questions.

    Raises:
        ConfigError: as for `same_clips`; a threshold is out of range or part of what a panel's answers depend on; there is
            no such truth or question.
        NotFoundError: a trial does not exist.
    """
    if len(entries) > MAX_CONTESTANTS:
        raise ConfigError(f"bench: got {len(entries)} contestants; allowed: 1 to {MAX_CONTESTANTS}")
    found = same_clips(store, [entry.trial_id for entry in entries])
    contestants, scores = [], []
    for entry in entries:
        at = [trial.trial_id for trial in found.trials].index(entry.trial_id)
        trial, prompt = found.trials[at], found.prompts[at]
        threshold = _threshold(entry, trial)
        asked = question_asked(entry, prompt)
        truth = chosen_truth(entry.truth, asked, found.truths)
        own = tuple(_competing(replace(score, threshold=threshold), entry.question) for score in found.scores[at])
        probabilities, holds = [score.probability for score in own], [truth in truths for truths in found.shown]
        contestants.append(
            Contestant(
                trial, prompt, threshold, truth,
                agreement=judge([score.label for score in own], probabilities, holds) if own else None,
                reliability=reliability(probabilities, holds) if own else (),
                seconds=found.seconds(at),
                question=entry.question,
            )
        )  # fmt: skip
        scores.append(own)
    labels = [[score.label for score in own] or [None] * len(found.clips) for own in scores]
    differences = tuple(tuple(flips(before, after) for after in labels) for before in labels)
    return BenchReport(tuple(contestants), found.clips, tuple(scores), differences)


def question_asked(entry: Entry, prompt: Prompt | None) -> Prompt | None:
    """What competes: the trial's prompt, or a prompt of the one question of it that the entry names.

    Raises:
        ConfigError: there is no such question.
    """
    number = entry.question
    if number is None:
        return prompt
    if prompt is None:
        raise ConfigError(f"question: trial {entry.trial_id} reads no prompt, so that it has no question {number}; leave it out")
    if not 1 <= number <= len(prompt.questions):
        raise ConfigError(
            f"question: got {number}; trial {entry.trial_id} asks {len(prompt.questions)}; allowed: 1 to {len(prompt.questions)}"
        )
    return replace(prompt, text=prompt.questions[number - 1])


def _competing(score: ClipScore, question: int | None) -> ClipScore:
    """The score, or the answer to one question of it as a score of its own."""
    if question is None:
        return score
    answer = score.answers[question - 1] if question <= len(score.answers) else None
    return replace(score, probability=answer, yes_logit=None, no_logit=None, answers=(answer,), logits=(), votes=())


def _threshold(entry: Entry, trial: Trial) -> float:
    if entry.threshold is None or entry.threshold == trial.threshold:
        return trial.threshold
    if not 0 <= entry.threshold <= 1:
        raise ConfigError(f"threshold: got {entry.threshold}; allowed: 0 to 1")
    if threshold_matters(trial.scorer):
        raise ConfigError(
            f"threshold: the answers of trial {trial.trial_id} ({trial.scorer}) depend on it and were given at "
            f"{trial.threshold:g}; try the prompt again with --threshold {entry.threshold:g}"
        )
    return entry.threshold
