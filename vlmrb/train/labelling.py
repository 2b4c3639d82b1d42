"""Label clips: store each one, queue it for the scoring process, then count and store its answer."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from vlmrb.agents import Agent
from vlmrb.config import TrainConfig
from vlmrb.curriculum import Curriculum, Ruling
from vlmrb.envs import make_renderer
from vlmrb.errors import ConfigError, NotFoundError, ScorerError, StoreBusyError
from vlmrb.events import shows_progress
from vlmrb.labels import LabelRule, Labels
from vlmrb.metrics import Counters, MeanMetrics
from vlmrb.panels import parse_panel, reads_prompt
from vlmrb.prompt_library import questions_asked
from vlmrb.replay import ReplayBuffer
from vlmrb.replay.sampling import check_finite
from vlmrb.scoring import Asker, ScorerOptions, ScoringWorker, make_scorer, picture_kind, picture_notice, prompt_notice
from vlmrb.scoring.yes_no import Answer, decide
from vlmrb.store import RunWriter, Store
from vlmrb.train.draws import DrawCounter
from vlmrb.types import CLIPS_PER_RUN, Clip, ClipReplay, ClipScore, OtherMissions, Prompt, RunCounters

_log = logging.getLogger(__name__)

FINAL_SCORES_S = 120.0
"""Seconds that a finished run waits for the scores of its last clips."""

_PATIENCE_S = 1.0  # between two looks at whether the run is to be stopped
_ENOUGH_CLIPS = 4  # scored before anything is said about most of them


class Labelling:
    """Takes the clips of one run from recording to label; without a scorer it only stores them.

    Args:
        config: the scorer, its options, and what to do if it fails.
        render_spec: how the run's snapshots become frames.
        prompt: the stored prompt to ask.
        buffer: takes the priorities that labels lead to, and gives the probability that a clip's items are drawn.
        agent: gives their TD errors.
        writer: stores clips and scores.
        counters, metrics: updated as clips and scores arrive.
        question: the stored question about other missions, for hindsight in words; None for none.

    Raises:
        ScorerError: the scorer cannot be created.
    """

    def __init__(
        self,
        config: TrainConfig,
        render_spec: dict[str, Any],
        prompt: Prompt,
        buffer: ReplayBuffer,
        agent: Agent,
        writer: RunWriter,
        counters: Counters,
        metrics: MeanMetrics,
        question: Prompt | None = None,
        run: Asker = Asker(),  # noqa: B008 - it is frozen
    ) -> None:
        self._config, self._render_spec, self._buffer, self._agent, self._writer = config, render_spec, buffer, agent, writer
        self._counters, self._metrics = counters, metrics
        self.prompt, self._question = prompt, question
        self._asked: dict[str, str] = {}  # missions, by what is asked about them
        self.rule = LabelRule.of(config)
        self.draws = DrawCounter(config, buffer) if config.retention.stores else None
        """Hears of clips and labels, and counts by clip what is drawn."""
        self.ruling = Ruling(Curriculum.parse(config.curriculum))
        """Which question of the prompt rules; of a control scorer, which of its answers."""
        self.failure = ""
        """Why scoring has stopped, or ''."""
        self._pictures = "" if config.scorer is None else picture_notice(config.scorer, render_spec)
        self.notice = self._notice()
        """What the model cannot interpret (the frames, or words of the prompt), or ''."""
        self._sees_events = False  # whether any clip had an event: of many environments, the simulator reports none
        self._dropped_before = 0
        self._run = run
        self._model = ("", "")  # name and revision of whose labels the run has
        self._other_model = ""
        self._store: Store | None = None
        self._earlier: deque[int] = deque()  # clips left unscored before the run was resumed, not submitted again yet
        self.worker = self._start(render_spec, run)
        self._ask()

    def _start(self, render_spec: dict[str, Any], run: Asker) -> ScoringWorker | None:
        config = self._config
        if config.scorer is None:
            return None
        return ScoringWorker(
            partial(make_scorer, config.scorer, ScorerOptions.of(config), replace(run, pictures=picture_kind(render_spec))),
            partial(make_renderer, render_spec),
            self.prompt,
            batch_size=config.scoring_batch_size,
            queue_size=config.scoring_queue_size,
        )

    def submit(self, clip: Clip) -> None:
        """Store a new clip and queue it for scoring; never waits."""
        self._counters.clips += 1
        if self._config.retention.stores:
            self._writer.add_clip(clip)
        if self.draws is not None:
            self.draws.clip(clip)
        if self.worker is not None:
            self.worker.submit(clip, self._others(clip))

    def _others(self, clip: Clip) -> OtherMissions | None:
        """The missions that a clip is asked about besides its own."""
        if self._question is None or self._buffer.in_words is None:
            return None
        missions = self._buffer.in_words.others(clip.clip_id % CLIPS_PER_RUN)
        return OtherMissions(self._question, missions) if missions else None

    def drain(self) -> list[tuple[Clip, ClipScore]]:
        """Return the scores that have arrived; with sync_scoring, wait for all of them.

        Raises:
            ScorerError: scoring has failed and `on_scorer_failure` is 'stop'.
        """
        return self._collect(wait=self._config.sync_scoring)

    def finish(self, goes_on: Callable[[], bool]) -> list[tuple[Clip, ClipScore]]:
        """Wait for the last scores, at most FINAL_SCORES_S.

        Args:
            goes_on: asked about once a second whether to wait any longer; clips left unscored then stay pending.
        """
        gives_up_at, scored = time.monotonic() + FINAL_SCORES_S, self._collect(wait=False)
        while self.pending and not self.failure and (left := gives_up_at - time.monotonic()) > 0 and goes_on():
            scored += self._collect(wait=True, timeout_s=min(left, _PATIENCE_S))
        if self.failure and self.worker is not None:
            self.worker.give_up()
            self._dropped_before += len(self._earlier)
            self._earlier.clear()
        return scored

    def _collect(self, wait: bool, timeout_s: float | None = None) -> list[tuple[Clip, ClipScore]]:
        if self.worker is None:
            return []
        try:
            self._submit_earlier(self.worker)
            return [(clip, self._ruled(score)) for clip, score in self.worker.drain(wait, timeout_s)]
        except ScorerError as error:
            if self._config.on_scorer_failure == "stop":
                raise
            step = self._buffer.next_item_id
            self.failure = f"scoring failed at step {step}; training continues without new scores: {error}"
            return []

    def _submit_earlier(self, worker: ScoringWorker) -> None:
        """Submit clips left from before the run was resumed, as long as they fill at most half of the queue."""
        while self._earlier and worker.backlog < max(1, self._config.scoring_queue_size // 2) and not self.failure:
            assert self._store is not None
            with suppress(NotFoundError):  # its run was rolled back, or the store is an older copy
                try:
                    clip = self._store.load_clip(self._earlier[0])
                    worker.submit(clip, self._others(clip))
                except StoreBusyError:
                    return
            self._earlier.popleft()

    def _ruled(self, score: ClipScore) -> ClipScore:
        """The score with the answer to the ruling question standing for the clip, if one rules."""
        self._check_model(score)
        self.ruling.advance(self._buffer.next_item_id)
        if self._rules_over(score):
            score = self.standing(score)
            self.ruling.hear(score.label)
        self._weigh()
        return score

    def _check_model(self, score: ClipScore) -> None:
        """Notice labels of another model than before: a server or a folder may hold another after a resume."""
        model = _model_of(score)
        if self._model not in (model, ("", "")) and not parse_panel(score.scorer):
            now, before = (f"{name} ({revision or 'no revision'})" for name, revision in (model, self._model))
            self._other_model = (
                f"from step {self._buffer.next_item_id:,} on, labels come from another model: {now}, before: {before}"
            )
            _log.warning(self._other_model)
        self._model = model

    def _model_so_far(self, store: Store) -> tuple[str, str]:
        newest = [clip for label in (True, False) for clip in store.clips(self._run.run, label=label, limit=1)]
        scores = [clip.score for clip in sorted(newest, key=lambda clip: -clip.clip_id) if clip.score is not None]
        return next((_model_of(score) for score in scores if score.scorer == self._config.scorer), ("", ""))

    def standing(self, score: ClipScore) -> ClipScore:
        """The score with what its answers come to now: the one to the ruling question, or what the prompt's rule makes of them.

        Scores from the store need it: their P(yes) was made by the rule and the question of their time.
        """
        if self._rules_over(score):
            assert self.ruling.question is not None
            return replace(score, probability=score.answers[self.ruling.question], yes_logit=None, no_logit=None)
        if self.prompt.rule == "any" or len(score.answers) == 1:
            return score
        answers = [Answer(answer, None, None) for answer in score.answers]
        return replace(score, probability=decide(answers, self.prompt, score.threshold).probability)

    def _rules_over(self, score: ClipScore) -> bool:
        """Whether one question decides the label, and the score has an answer to it."""
        return self.ruling.question is not None and len(score.answers) == self.ruling.questions

    def hold(self, question: int | None) -> None:
        """Let this question rule, from 0; None gives the say back to the curriculum, or to all questions.

        Raises:
            ConfigError: there is no such question.
        """
        if question is not None and question >= self.ruling.questions:
            raise ConfigError(f"question: got {question + 1}; allowed: 1 to {self.ruling.questions}")
        self.ruling.held = question
        self._weigh()

    def _ask(self) -> None:
        """The prompt has changed, or a state has been taken over."""
        self.ruling.ask(max(1, len(questions_asked(self._config.scorer, self.prompt))))
        self._weigh()

    def _weigh(self) -> None:
        """Tell the sampler how the strata share λ."""
        if self._config.strata and hasattr(self._buffer.sampler, "weigh"):
            weights = self.prompt.weights if reads_prompt(self._config.scorer) else ()
            self._buffer.sampler.weigh(self.ruling.weights(weights))

    def labels_of(self, score: ClipScore) -> Labels:
        """The labels that priorities follow from: each of them where they are kept apart, else those that any yes decides."""
        apart = self._config.strata or (self.prompt.rule == "any" and self.ruling.question is None)
        return score.labels if apart else (score.label,)

    def apply(self, clip: Clip, score: ClipScore) -> int:
        """Give the clip's items the priorities that its labels lead to, and those of earlier clips if these change theirs.

        Its last item gets the mission that it has most surely accomplished, of the others that were asked about.

        Returns:
            How many of the clip's items had already been overwritten.
        """
        for item_ids, priorities in self.rule.apply(clip.env_index, clip.episode, clip.item_ids, self.labels_of(score)):
            self._buffer.apply_label(item_ids, priorities)
        if self.draws is not None:
            self.draws.label(clip, score.label)
        if score.others is not None and (mission := self._accomplished(clip, score.others)):
            self._buffer.accomplish(clip.end_step, mission)
        return int((~self._buffer.holds(clip.item_ids)).sum())

    def _accomplished(self, clip: Clip, others: ClipScore) -> str:
        """The mission with the most certain yes, the first of several; '' without a yes. The clip's own does not count."""
        said = zip(replace(self.prompt, text=others.asked).questions, others.answers, strict=False)
        yes = {mission: answer for question, answer in said if answer is not None and (mission := self._mission_in(question))}
        yes = {mission: answer for mission, answer in yes.items() if answer >= others.threshold and mission != clip.mission}
        return max(yes, key=lambda mission: yes[mission], default="")

    def _mission_in(self, question: str) -> str:
        """The mission that a question is about; '' if it is none of those that are kept."""
        assert self._buffer.in_words is not None
        texts = self._buffer.in_words.missions.texts
        if self._question is not None and len(self._asked) < len(texts):
            self._asked = {self._question.filled(mission).text: mission for mission in texts}
        return self._asked.get(question, "")

    def record(self, scored: list[tuple[Clip, ClipScore]], stale: list[int]) -> None:
        """Count and store scores that have been applied, with the clips' current replay statistics.

        Args:
            scored: clips with their scores.
            stale: per clip, how many of its items had already been overwritten.
        """
        if not scored:
            return
        for (clip, score), missed in zip(scored, stale, strict=True):
            self._count(score, missed)
            self._metrics.add("scoring/latency_s", score.latency_s)
            self._compare(clip, score)
            if score.others is not None and (known := [label for label in score.others.labels if label is not None]):
                self._metrics.add("scoring/other_missions", sum(known) / len(known))
            if self._config.retention.stores:
                for each in filter(None, (score.others, score)):  # the last one is the clip's newest
                    self._writer.add_score(each)
        if self._config.retention.stores:
            for replay in replay_of([clip for clip, _ in scored], self._buffer, self._agent):
                self._writer.add_clip_replay(replay)

    def _compare(self, clip: Clip, score: ClipScore) -> None:
        """Log the label beside what the simulator saw, once it has seen anything."""
        self._sees_events |= bool(clip.events)
        if score.label is not None:
            self._metrics.add("scoring/yes_rate", float(score.label))
        if self._sees_events:
            self._metrics.add("scoring/event_rate", float(shows_progress(clip.events)))

    def _count(self, score: ClipScore, stale: int) -> None:
        self._counters.clips_scored += 1
        if score.label is None:
            self._counters.unknown += 1
        else:
            self._counters.positive += score.label
            self._counters.stale += stale > 0

    def set_prompt(self, prompt: Prompt) -> None:
        """Ask this about clips submitted from now on."""
        self.prompt = prompt
        self._ask()
        self.notice = self._notice()
        if self.worker is not None:
            self.worker.set_prompt(prompt)

    def _notice(self) -> str:
        scorer = self._config.scorer
        if scorer is None or self._pictures:
            return self._pictures
        notices = (
            prompt_notice(scorer, prompt.filled(""), self._render_spec)
            for prompt in (self.prompt, self._question)
            if prompt is not None
        )
        return ". ".join(dict.fromkeys(filter(None, notices)))

    @property
    def pending(self) -> list[int]:
        """Ids of the clips that are waiting for a score."""
        return [*self.worker.pending, *self._earlier] if self.worker is not None else []

    def counters(self) -> RunCounters:
        """The run's counters, including those of the scoring process."""
        worker = self.worker
        dropped = self._dropped_before + (worker.dropped if worker is not None else 0)
        backlog = len(self._earlier) + (worker.backlog if worker is not None else 0)
        counted = replace(self._counters, dropped=dropped)
        reason = worker.unknown.reason if worker is not None else ""
        said = self.notice or (worker.silence if worker is not None else "")
        notice = ". ".join(filter(None, (self._other_model, said)))
        return counted.taken(backlog=backlog, unknown_reason=reason, scoring_error=self.failure, prompt_notice=notice)

    @property
    def unanswered(self) -> str:
        """That most clips have no usable answer, with the reason; or ''. Without numbers, which would change all the time."""
        counted = self.counters()
        if counted.clips_scored < _ENOUGH_CLIPS or (counted.unknown_rate or 0.0) < 0.5:
            return ""
        why = f": {counted.unknown_reason}" if counted.unknown_reason else ""
        return f"the scorer gives no usable answer about most clips, so that labels hardly change replay{why}"

    def resume(self, prompt: Prompt, clip_ids: list[int], store: Store) -> int:
        """Apply scores that were stored after the checkpoint to its pending clips, and submit the others again.

        Returns:
            How many of them are no longer in the store; training continues without these.
        """
        self._dropped_before = self._counters.dropped
        self.set_prompt(prompt)
        if self.worker is None or not self._config.retention.stores:
            return 0
        self._store = store
        self._model = self._model_so_far(store)
        missing = 0
        for clip_id in clip_ids:
            stored = [score for score in store.scores(clip_id) if score.scorer == self._config.scorer]
            about = None if self._question is None else self._question.prompt_id
            others = [score for score in stored if about is not None and score.prompt_id == about]
            scores = [score for score in stored if score not in others]
            try:
                if scores:
                    clip, score = store.load_clip(clip_id), replace(scores[-1], others=others[-1] if others else None)
                    self._count(score, self.apply(clip, score))
                else:
                    self._earlier.append(store.clip(clip_id).clip_id)
            except NotFoundError:
                missing += 1
        self._submit_earlier(self.worker)
        return missing

    def close(self) -> None:
        """Stop the scoring process."""
        if self.worker is not None:
            self.worker.close()


def _model_of(score: ClipScore) -> tuple[str, str]:
    """Name and revision; what a remote server reports as its revision changes from reply to reply, and is left out."""
    return score.model, "" if score.scorer.startswith("openai:") else score.revision


def replay_of(clips: list[Clip], buffer: ReplayBuffer, agent: Agent) -> list[ClipReplay]:
    """Current replay statistics of clips, over their transitions still in the buffer; clips without any are left out.

    All clips go through the networks in one batch. Nothing is learned or drawn.

    Raises:
        DivergedError: a TD error is NaN or infinite.
    """
    item_ids = np.concatenate([clip.item_ids for clip in clips])
    clip_of = np.repeat(np.arange(len(clips)), [len(clip) for clip in clips])
    held = buffer.holds(item_ids)
    if not held.any():
        return []
    clip_of, (batch, parts) = clip_of[held], buffer.look_up(item_ids[held])

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(clip_of, values, minlength=len(clips))

    counts = np.bincount(clip_of, minlength=len(clips))
    td_errors = total(np.abs(check_finite(agent.td_errors(batch), "a TD error")))
    step, weight, vlm, other = buffer.next_item_id, parts.vlm_weight, total(parts.vlm), total(parts.other)
    return [
        ClipReplay(clip.clip_id, step, float(td_errors[i] / counts[i]), weight, float(vlm[i]), float(other[i]))
        for i, clip in enumerate(clips)
        if counts[i]
    ]
