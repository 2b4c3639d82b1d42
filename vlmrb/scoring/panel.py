"""`vote:` and `cascade:` scorers: several back ends that answer together. `vlmrb.panels` says what their names and rules mean.

Members that name the same scorer share one back end, so that a model is loaded once, however often and with whatever frames and
prompts it is asked. Frames are drawn once for all members.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from vlmrb.config import DEFAULT_FRAMES
from vlmrb.errors import ScorerError, ScorerUnavailableError
from vlmrb.events import PROGRESS_KINDS
from vlmrb.panels import Member, Panel, combine, in_doubt, reads_prompt
from vlmrb.scoring.prompts import resolve_prompt
from vlmrb.scoring.reasons import checked
from vlmrb.scoring.worker import frames_at
from vlmrb.scoring.yes_no import Answer, decide
from vlmrb.types import ClipScore, ClipScorer, Prompt, ScoringRequest, Vote

REST = 9.0
"""A member that fails is left alone for this many times as long as its failure took: one that is down for long, with all the
retries of its back end, then takes a tenth of the time."""


class PanelScorer:
    """Scores clips with the members of a vote or cascade.

    A member that fails has no vote on the clips that it was asked about, and the others decide without it. It is asked again
    after a rest (`REST`), or before that if nobody else answers. The same goes for one whose server is down when it is created.

    Where the members do not all answer the same number of questions (`oracle` has an answer for each kind of progress, other
    controls have one), what each says of the clip as a whole is combined, and the score has one answer. Those about other
    missions, which all members are asked, follow it.

    Attributes:
        parts: number of its members.
        samplings: numbers of frames per clip that they look at.
        frames_per_clip: the largest of these.
    """

    def __init__(
        self, scorer: str, panel: Panel, threshold: float, make: Callable[[str], ClipScorer], frames: int = DEFAULT_FRAMES
    ) -> None:
        """Create the back ends of all members.

        Args:
            scorer: the string that selected this back end; stored with every score.
            panel: what it means.
            threshold: the label is yes if P(yes) ≥ threshold; for members as well as for their answer together.
            make: creates the back end of a scorer's string.
            frames: per clip, for a server that is down and has no number of its own.

        Raises:
            ScorerError: that of a member cannot be created, for another reason than a server that is down; or all servers are.
        """
        self._scorer, self._panel, self._threshold = scorer, panel, threshold
        self._backends: dict[str, ClipScorer] = {}
        for member in panel.members:
            if member.scorer not in self._backends:
                try:
                    self._backends[member.scorer] = _made(member.scorer, make, frames)
                except ScorerError as error:
                    self.close()
                    raise type(error)(f"scorer: the member {member} of {scorer} cannot be created: {error}") from error
        absent = [backend.reason for backend in self._backends.values() if isinstance(backend, _Absent)]
        if len(absent) == len(self._backends):
            raise ScorerUnavailableError(f"scorer {scorer}: no member answers: {'; '.join(absent)}")
        self._voters = [_Voter(member, self._backends[member.scorer]) for member in panel.members]
        self.parts = len(self._voters)
        self.samplings = tuple(sorted({voter.frames for voter in self._voters}))
        self.frames_per_clip = self.samplings[-1]
        self.reads_mosaics = all(voter.reads_mosaics for voter in self._voters)

    def score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
        """One score per request, in order; a clip that no member has an answer to is unknown.

        Raises:
            ScorerError: no member answers.
        """
        if not requests:
            return []
        counts = {voter.questions(prompt) for voter in self._voters}
        others = 0 if prompt.others is None else len(prompt.others.missions)
        wanted = _Wanted(counts.pop() if len(counts) == 1 else None, others)
        ask = self._ask_in_turn if self._panel.rule == "cascade" else self._ask_all
        votes = ask(requests, prompt, wanted)
        failed = [voter.failure for voter in self._voters if voter.failure]
        if len(failed) == len(self._voters):
            raise ScorerError(f"scorer {self._scorer}: no member answers: {'; '.join(failed)}")
        return [self._as_score(request, said, prompt) for request, said in zip(requests, votes, strict=True)]

    def close(self) -> None:
        """Release the back ends."""
        for backend in self._backends.values():
            backend.close()

    def _ask_all(self, requests: list[ScoringRequest], prompt: Prompt, wanted: _Wanted) -> list[list[Vote]]:
        """Each clip's votes."""
        resting = [voter for voter in self._voters if voter.rests]
        heard = {voter: voter.ask(requests, prompt, wanted) for voter in self._voters if voter not in resting}
        alone = all(voter.failure for voter in heard)
        heard |= {voter: voter.ask(requests, prompt, wanted) if alone else voter.missing(requests, wanted) for voter in resting}
        return [list(of_clip) for of_clip in zip(*(heard[voter] for voter in self._voters), strict=True)]

    def _ask_in_turn(self, requests: list[ScoringRequest], prompt: Prompt, wanted: _Wanted) -> list[list[Vote]]:
        """Each clip's votes: that of the small member and, if it is in doubt, that of the large one."""
        small, large = self._voters
        rested = small.rests
        firsts = small.missing(requests, wanted) if rested else small.ask(requests, prompt, wanted)
        doubtful = [at for at, vote in enumerate(firsts) if in_doubt(vote.answers, self._panel.doubt, self._threshold)]
        seconds: dict[int, Vote] = {}
        if doubtful:
            asked = [requests[at] for at in doubtful]
            said = large.missing(asked, wanted) if large.rests and not small.failure else large.ask(asked, prompt, wanted)
            seconds = dict(zip(doubtful, said, strict=True))
            if rested and large.failure:
                firsts = small.ask(requests, prompt, wanted)
        return [[vote, seconds[at]] if at in seconds else [vote] for at, vote in enumerate(firsts)]

    def _as_score(self, request: ScoringRequest, votes: Sequence[Vote], prompt: Prompt) -> ClipScore:
        answers = [self._answer(votes, number) for number in range(len(votes[0].answers))]
        answer = decide(answers, prompt, self._threshold)
        asked = self._voters[: len(votes)]
        revisions = dict.fromkeys(voter.revision for voter in self._voters if voter.revision)
        return ClipScore(
            clip_id=request.clip.clip_id,
            probability=answer.probability,
            yes_logit=None,
            no_logit=None,
            threshold=self._threshold,
            scorer=self._scorer,
            model=self._scorer,
            revision="|".join(revisions),
            prompt_id=prompt.prompt_id if reads_prompt(self._scorer) else None,
            frame_indices=tuple(sorted({at for voter in asked for at in voter.look(request).frame_indices})),
            error=answer.error,
            answers=tuple(each.probability for each in answers),
            votes=tuple(votes),
        )

    def _answer(self, votes: Sequence[Vote], number: int) -> Answer:
        """What the members' answers to one question come to."""
        probability = combine(self._panel, [vote.answers[number] for vote in votes], self._threshold)
        reasons = "; ".join(f"{vote.member}: {vote.error}" for vote in votes)
        return Answer(probability, None, None, f"no member has a usable answer: {reasons}" if probability is None else "")


def _made(scorer: str, make: Callable[[str], ClipScorer], frames: int) -> ClipScorer:
    try:
        return make(scorer)
    except ScorerUnavailableError as error:
        return _Absent(scorer, make, frames, str(error))


class _Absent:
    """The back end of a server that was down when it was to be created: each time that it is asked, it is tried again.

    Attributes:
        reason: why it could not be created.
    """

    def __init__(self, scorer: str, make: Callable[[str], ClipScorer], frames: int, reason: str) -> None:
        self._make, self.frames_per_clip, self.reason = partial(make, scorer), frames, reason
        self._backend: ClipScorer | None = None

    def score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
        """As the back end does.

        Raises:
            ScorerError: it still cannot be created, or fails.
        """
        if self._backend is None:
            self._backend = self._make()
        return self._backend.score(requests, prompt)

    def close(self) -> None:
        """Release the back end."""
        if self._backend is not None:
            self._backend.close()


class _Wanted(NamedTuple):
    """Number of answers that a vote has: to the prompt's questions, None for one about the clip as a whole; then to others."""

    own: int | None
    others: int

    @property
    def total(self) -> int:
        return (self.own or 1) + self.others


class _Voter:
    """A member with its back end.

    Attributes:
        member: its name and settings.
        frames: number of frames per clip that it looks at.
        revision: of its model, from its latest score.
        failure: why it could not be asked last time, or ''.
    """

    def __init__(self, member: Member, backend: ClipScorer) -> None:
        self.member, self._backend = member, backend
        self.frames = 0 if member.is_control else member.frames or backend.frames_per_clip
        self.reads_mosaics = member.is_control or bool(getattr(backend, "reads_mosaics", False))
        self._prompt = resolve_prompt(member.prompt) if member.prompt else None
        self.revision, self.failure = "", ""
        self._rests_until = 0.0

    @property
    def rests(self) -> bool:
        """Whether it has failed a short time ago."""
        return time.monotonic() < self._rests_until

    def questions(self, prompt: Prompt) -> int:
        """Number of answers that it gives about a clip, without those about other missions."""
        if self.member.is_control:
            return len(PROGRESS_KINDS) if self.member.scorer == "oracle" else 1
        return len((self._prompt or replace(prompt, others=None)).questions)

    def look(self, request: ScoringRequest) -> ScoringRequest:
        """The request with this member's frames alone, of those that were drawn for all."""
        indices = frames_at(len(request.clip), self.frames)
        if request.transcript or indices == request.frame_indices or not set(indices) <= set(request.frame_indices):
            return request
        rows = np.searchsorted(request.frame_indices, indices) if indices else np.zeros(0, np.int64)
        return replace(request, frames=request.frames[rows], frame_indices=indices)

    def ask(self, requests: list[ScoringRequest], prompt: Prompt, wanted: _Wanted) -> list[Vote]:
        """Its votes, one per request, with as many answers as are wanted.

        If it fails, they have no answers, and `failure` says why.
        """
        started = time.monotonic()
        try:
            asked = prompt if self._prompt is None else replace(self._prompt, others=prompt.others)
            scores = checked(self._backend.score([self.look(request) for request in requests], asked), len(requests), asked)
        except ScorerError as error:
            self.failure = str(error) or type(error).__name__
            now = time.monotonic()
            self._rests_until = now + REST * (now - started)
            return self.missing(requests, wanted)
        self.failure, self._rests_until = "", 0.0
        self.revision = scores[-1].revision
        latency_s = (time.monotonic() - started) / len(scores)
        return [self._vote(score, wanted, latency_s) for score in scores]

    def missing(self, requests: Sequence[ScoringRequest], wanted: _Wanted) -> list[Vote]:
        """Votes without answers."""
        return [Vote(str(self.member), (None,) * wanted.total, 0.0, self.failure)] * len(requests)

    def _vote(self, score: ClipScore, wanted: _Wanted, latency_s: float) -> Vote:
        if wanted.own is None:
            answers = (score.probability, *score.answers[len(score.answers) - wanted.others :])
            return Vote(str(self.member), answers, latency_s, score.error if score.probability is None else "")
        if len(score.answers) != wanted.total:
            error = f"it gave {len(score.answers)} answers to {wanted.total} questions"
            return Vote(str(self.member), (None,) * wanted.total, latency_s, error)
        return Vote(str(self.member), score.answers, latency_s, score.error)
