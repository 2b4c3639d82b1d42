"""The Trainer: the method and its bookkeeping.

`Trainer._learn` is the method as described in the paper (arXiv 2602.01915, section 3); everything else in this file is
bookkeeping around it: schedules, live changes, evaluation, checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vlmrb.agents import make_agent
from vlmrb.analysis.clocks import TIMES, clock_of
from vlmrb.checkpoint import KEPT, latest_step
from vlmrb.clips import ClipRecorder
from vlmrb.config import TrainConfig
from vlmrb.creation import check_questions
from vlmrb.envs import Play, VectorEnv, VectorStep, judge_for, make_env, takes_frames
from vlmrb.errors import (
    CheckpointError,
    ConfigError,
    DivergedError,
    EnvironmentFailedError,
    StoreBusyError,
    StoreCorruptError,
    StoreUnavailableError,
    VlmrbError,
)
from vlmrb.evaluation import FIRST_HELD_OUT_SEED, evaluate, longest_episode, max_parallel
from vlmrb.live import parse_change
from vlmrb.metrics import Counters, MeanMetrics
from vlmrb.places import PARENT, RESUME, place_of
from vlmrb.replay import Hindsight, HindsightInWords, ReplayBuffer, make_sampler, replay_method
from vlmrb.scoring import Asker, accepted_prompt
from vlmrb.store import Store
from vlmrb.train import outage
from vlmrb.train.ages import DrawnAges
from vlmrb.train.ending import Ending
from vlmrb.train.finite import check_metrics, check_networks
from vlmrb.train.keeping import Keeping
from vlmrb.train.labelling import Labelling
from vlmrb.train.outage import Outage
from vlmrb.train.resuming import Learned, Resuming, check_pictures
from vlmrb.train.signals import Signals
from vlmrb.train.system import SystemUse
from vlmrb.train.takeover import TakeOver
from vlmrb.train.thinning import Thinning
from vlmrb.types import (
    CLOCK_S,
    EVALUATION_S,
    LIVE,
    RUNNING_S,
    SPEED,
    SUCCESS,
    AgentUpdate,
    Batch,
    Change,
    Clip,
    Episode,
    JudgeGoals,
    LiveChange,
    ObservationSpec,
    RunCounters,
    RunFigures,
    RunStatus,
    SetPrompt,
    SetQuestion,
    SetStatus,
)

HOUSEKEEPING_S = 1.0
"""Seconds between heartbeats, checks for live changes, and writes of buffered rows."""

SLOW_S, REST, LONGEST_REST_S = 0.25, 4.0, 10.0
"""A store that takes longer than SLOW_S seconds has many runs. Then each leaves it alone for REST times as long, at most
LONGEST_REST_S: it waits for the store a fifth of its time, and brings more rows at once."""

Progress = Callable[[int, int, RunFigures], None]
"""Called about once a second with the step, the total number of steps and the latest figures."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The outcome of a run."""

    run_id: int
    status: RunStatus
    steps: int
    final_success_rate: float | None
    steps_per_second: float
    clips: int
    clips_scored: int
    positive_rate: float | None
    unknown: int
    stale: int
    dropped: int


class Trainer:
    """Trains one run that this process has claimed. Single use: call `run` once.

    Args:
        run_id: the run.
        config: its settings.
        store: where it is.
        progress: called about once a second.
        from_start: if the run has begun and no whole checkpoint is left, train again from step 0.
        outdated: ids of the live changes that were for an earlier process: they are rejected.
    """

    def __init__(
        self,
        run_id: int,
        config: TrainConfig,
        store: Store,
        progress: Progress | None = None,
        *,
        from_start: bool = False,
        outdated: Collection[int] = (),
    ) -> None:
        self.run_id, self.config, self._store, self._progress = run_id, config, store, progress
        self._from_start = from_start
        self._outdated = frozenset(outdated)
        self.begun = False
        """Whether the run has started or been resumed; before that, nothing is written to its row."""
        self._losses: list[str] = []  # what could not be resumed, in words
        run = store.run(run_id)
        self._place = place_of(store, run)
        self._place.begin()
        self._folder = self._place.folder / RESUME
        self._outage = Outage(store)
        self._writer = store.writer(run_id)
        self._outage.wait_until_free()
        self._ending = Ending(run_id, self._folder, self._writer, self._outage, self._checkpoint, self._report_progress)
        self._ending.take_back()
        # one generator per consumer: adding a consumer does not shift the others' draws
        names = ("episodes", "replay", "agent", "evaluation", "play")
        seeds = np.random.SeedSequence(config.seed).spawn(len(names))
        self._rngs = {name: np.random.default_rng(seed) for name, seed in zip(names, seeds, strict=True)}
        self._record_clips = config.retention.stores or config.scorer is not None
        self._envs = VectorEnv([make_env(config) for _ in range(config.n_envs)], self._next_episode_seed, takes_frames(config))
        first = self._envs.envs[0]
        check_pictures(run, first.render_spec)
        self._agent = make_agent(config, first.observation_spec, first.action_spec, self._rngs["agent"])
        self._play = Play(self._envs.envs, self._rngs["play"]) if config.play_steps else None
        self._method = replay_method(config.replay)
        judge = judge_for(config, first)
        try:
            self._sampler = make_sampler(config, config.buffer_size)
            self._buffer = ReplayBuffer(
                config.buffer_size,
                first.observation_spec,
                self._sampler,
                self._rngs["replay"],
                n_envs=config.n_envs,
                n_step=config.n_step,
                gamma=config.gamma,
                action_shape=first.action_spec.shape,
                action_dtype=first.action_spec.dtype,
                hindsight=_hindsight(config, judge, first.observation_spec),
            )
        except MemoryError as error:
            raise ConfigError(f"buffer_size: {config.buffer_size:,} transitions do not fit into memory here ({error})") from error
        self._ages, self._system = DrawnAges(self._buffer), SystemUse()
        self._recorder = ClipRecorder(
            config.n_envs, config.clip_length, run_id, store.next_clip_number(run_id), stride=config.clip_stride
        )
        self._eval_envs = [make_env(config) for _ in range(min(config.eval_episodes, max_parallel(first.action_spec)))]
        self._metrics, self._counters = MeanMetrics(), Counters()
        self._cut_off = ""
        self._changed = self._doing = ""
        """That evaluation cut episodes off, in words, or ''."""
        self._returns = np.zeros(config.n_envs)
        self._lengths = np.zeros(config.n_envs, int)
        prompt = accepted_prompt(config.prompt)
        self._status: RunStatus = "running"
        self._checkpoint_due = False
        self._answers: dict[int, dict[str, Any]] = {}
        self._labelling = Labelling(
            config,
            first.render_spec,
            store.save_prompt(prompt.name, prompt.text),
            self._buffer,
            self._agent,
            self._writer,
            self._counters,
            self._metrics,
            store.save_prompt("hindsight", config.her_question) if self._buffer.in_words is not None else None,
            Asker(run_id, run.name),
        )
        self._ran_before_s = 0.0
        self._learned = Learned(config, self._buffer, self._agent, self._recorder, self._rngs, self._counters, self._labelling)
        self._keeping = Keeping(self._place, self._learned)
        self._thinning = Thinning(run_id, config, store)
        self._start_clock()

    # -- the method

    def _learn(self) -> None:
        config, buffer, agent, envs, labelling = self.config, self._buffer, self._agent, self._envs, self._labelling
        if self._learned.evaluation_due and self.step < config.total_steps:
            self._evaluate()
        observation = envs.reset()
        while self.step < config.total_steps and self._status == "running":
            actor = agent if self._play is None or self.step >= config.play_steps else self._play
            action = actor.act(observation, self.step)
            result = envs.step(action)
            item_ids = buffer.add(result.transition, result.missions)
            for clip in self._record(result, item_ids):
                labelling.submit(clip)
            scored = labelling.drain()
            stale = [labelling.apply(clip, score) for clip, score in scored]
            labelling.record(scored, stale)
            self._advance_schedules()
            while self._update_is_due():
                batch = buffer.sample(config.batch_size, agent.td_errors)
                update = agent.update(batch)
                check_metrics(update.metrics)
                buffer.update_priorities(batch.item_ids, update.feedback)
                self._count_update(batch, update)
            observation = result.observation
            self._keep_house(item_ids)

    # -- around the method

    @property
    def step(self) -> int:
        """Steps so far, over all environments."""
        return self._buffer.next_item_id

    def run(self) -> TrainResult:
        """Train to the end or until stopped; once `begun`, the run's final state is in the store when this returns or raises."""
        import torch

        threads = torch.get_num_threads()
        if self.config.device == "cpu":
            torch.set_num_threads(1)  # more threads slow networks of this size down
            torch.set_flush_denormal(True)  # sparse rewards produce denormals, which are several times slower on a CPU
        error = ""
        try:
            with Signals(self._interrupt):
                self._outage.wait_until_free()
                self._begin()
                if self._status != "finished":
                    self._learn()
                    self._finish()
        except (StoreUnavailableError, StoreCorruptError) as failure:
            self._status = "failed"
            error = str(failure)
            if self.begun:
                error += f"; {self._ending.kept or self._ending.keep_in_folder('failed', self.step)}"
            raise type(failure)(error) from failure
        except (EnvironmentFailedError, DivergedError) as failure:
            self._status, error = "failed", self._where_it_failed(failure)
            raise type(failure)(error) from failure
        except KeyboardInterrupt:  # a second Ctrl-C
            self._status, error = "interrupted", f"ended at once at step {self.step:,}, without a checkpoint of that step"
            raise
        except BaseException as failure:
            self._status, error = "failed", str(failure) or type(failure).__name__
            raise
        finally:
            torch.set_num_threads(threads)
            torch.set_flush_denormal(False)
            self._close(error)
        return self._result()

    def _where_it_failed(self, failure: VlmrbError) -> str:
        """What was not a number, or failed, in which step of which environment, and what to do."""
        kept = latest_step(self._folder)
        checkpoint = "there is no checkpoint" if kept is None else f"the last checkpoint is of step {kept:,}"
        advice = (
            "Learning has diverged: start a new run with a lower learning_rate, or with smaller rewards"
            if isinstance(failure, DivergedError)
            else f"Mend the environment, then: python -m vlmrb train --resume {self.run_id}"
        )
        return f"{self.config.env}, step {self.step:,}: {failure}. Nothing of this step is kept; {checkpoint}. {advice}"

    def _begin(self) -> None:
        loaded = self._place.load(RESUME, self._losses.append)
        resuming = Resuming(self.run_id, self._learned, self._store, self._folder, self._losses)
        if loaded is None:
            self._check_nothing_is_lost()
            self._start(resuming)
        elif self._from_start:
            raise CheckpointError(f"run {self.run_id} has a whole checkpoint; resume it without --from-start")
        elif resuming.resume(loaded):
            self._status = "finished"
        self._keeping.begin(self.step)
        self.begun = True
        for change_id in self._outdated:
            self._store.acknowledge_change(change_id, error="requested before the run was resumed")
        self._take_up_clock()
        if self._store.is_shared:
            self._store.close()  # a server has few connections, and from here on the run rarely needs more than one

    def _take_up_clock(self) -> None:
        """How long the run had been running in earlier processes, up to the checkpoint."""
        curves = {name: curve for (_, name), curve in self._store.curves([self.run_id], TIMES).items()}
        start = self._store.run(self.run_id).parent_step or 0
        self._ran_before_s = clock_of(curves, start).running_at(self.step)
        self._start_clock()
        if self.step == start or self.step not in curves[CLOCK_S][0]:  # else it tells when an earlier process was here
            self._log_clock()

    def _start(self, resuming: Resuming) -> None:
        """Start at step 0, or where the branch's parent was, with a checkpoint: from here on, a run without one has lost it.

        Raises:
            CheckpointError: the checkpoint that the branch starts from is gone, damaged or of another version.
        """
        lineage = self._store.run(self.run_id).lineage
        if lineage is None:
            self._store.rollback_run(self.run_id, 0)
            self._checkpoint(self._status)
            return
        inherited = self._place.load(PARENT, self._losses.append)
        if inherited is None:
            reason = "; ".join(self._losses) or f"there is none in {self._place.name}/{PARENT}"
            raise CheckpointError(
                f"run {self.run_id} is a branch of run {lineage.parent_id} and has no checkpoint to start from: {reason}. "
                f"Delete it and branch off again: vlmrb branch {lineage.parent_id} --at {lineage.parent_step}"
            )
        prompt = TakeOver(lineage, self._learned, self._store, self._losses, self._tick_at_start).take(*inherited)
        self._store.rollback_run(self.run_id, self.step)
        self._labelling.set_prompt(prompt)
        self._checkpoint(self._status)
        resuming.take_up_clips(prompt, [], self._recorder.next_number)

    def _check_nothing_is_lost(self) -> None:
        """Starting at step 0 would erase the curves of a run that has begun.

        Raises:
            CheckpointError: it has, and this was not asked for.
        """
        if self._from_start or not self._store.has_begun(self.run_id):
            return
        step, found = (
            self._store.run(self.run_id).step,
            "; ".join(self._losses) or f"there is none in {self._place.name}/{RESUME}",
        )
        raise CheckpointError(
            f"run {self.run_id} has trained to step {step}, but it has no whole checkpoint: {found}. "
            "Put the folder back where it was (a backup by 'vlmrb doctor --backup' has it next to the store), start a new run, "
            f"or delete this run's curves and train it again: vlmrb train --resume {self.run_id} --from-start"
        )

    def _start_clock(self) -> None:
        self._started_at = self._store_due = time.monotonic()
        self._house_due = self._started_at + HOUSEKEEPING_S
        self._started_step = self.step
        self._paused_s = self._evaluation_s = 0.0
        self._logged_at = (self.step, 0.0)

    def _tick_at_start(self) -> None:
        """While clips are scored before the first step: show that the run is alive.

        Raises:
            KeyboardInterrupt: the run has been interrupted; its next start finds the scores that there are.
        """
        if self._status != "running":
            raise KeyboardInterrupt
        if time.monotonic() >= self._house_due:
            self._house_due = time.monotonic() + HOUSEKEEPING_S
            counters = replace(self._run_counters(), doing="scoring the parent's clips")
            self._outage.attempt(lambda: self._store.heartbeat(self.run_id, self.step, counters=counters))
            self._report_progress()

    def _advance_schedules(self) -> None:
        if hasattr(self._sampler, "advance"):
            self._sampler.advance(self.step)

    def _replay_figures(self) -> dict[str, float]:
        return self._sampler.figures() if hasattr(self._sampler, "figures") else {}

    def _update_is_due(self) -> bool:
        return self._learned.updates < (self.step - self.config.learning_starts) // self.config.train_freq

    def _count_update(self, batch: Batch, update: AgentUpdate) -> None:
        self._learned.updates += 1
        self._ages.count(batch.item_ids)
        if self._labelling.draws is not None:
            self._labelling.draws.count(batch, update.feedback)
        if (relabelled := self._buffer.relabelled) is not None:
            self._metrics.add("replay/relabelled", float(relabelled.mean()))
        if (drawn := getattr(self._sampler, "drawn_yes", None)) is not None:
            self._metrics.add("replay/drawn_yes", drawn)
        for name, value in update.metrics.items():
            self._metrics.add(name, value)

    # -- clips and scores

    def _record(self, result: VectorStep, item_ids: np.ndarray) -> list[Clip]:
        transition = result.transition
        self._returns += transition.reward
        self._lengths += 1
        for ended in np.flatnonzero(transition.terminated | transition.truncated):
            self._end_episode(int(ended), result, int(item_ids[ended]))
        for index, events in enumerate(result.events):
            for event in events:
                self._writer.add_event(int(item_ids[index]), index, event)
        if not self._record_clips:
            return []
        return self._recorder.add(
            item_ids,
            result.snapshots,
            transition.reward,
            result.events,
            transition.terminated,
            transition.truncated,
            result.missions,
        )

    def _end_episode(self, index: int, result: VectorStep, step: int) -> None:
        number = self._recorder.episodes[index] if self._record_clips else self._counters.episodes
        episode = Episode(
            step,
            index,
            number,
            result.seeds[index],
            int(self._lengths[index]),
            float(self._returns[index]),
            result.success[index],
        )
        self._counters.episodes += 1
        self._writer.add_episode(episode)
        stage = "rollout" if step >= self.config.play_steps else "play"
        self._metrics.add(f"{stage}/episodic_return", episode.episodic_return)
        self._metrics.add(f"{stage}/episodic_length", episode.length)
        if episode.success is not None:
            self._metrics.add(f"{stage}/success_rate", float(episode.success))
        if episode.success and stage == "rollout":
            self._learned.succeeded(step)
        self._returns[index], self._lengths[index] = 0.0, 0

    def _next_episode_seed(self) -> int:
        return int(self._rngs["episodes"].integers(FIRST_HELD_OUT_SEED))

    # -- housekeeping

    def _keep_house(self, item_ids: np.ndarray) -> None:
        before, now = int(item_ids[0]), self.step
        config = self.config
        if _crosses(before, now, config.log_interval) and now < config.total_steps:  # `_finish` logs the last step
            self._log()
        draws = self._labelling.draws
        if draws is not None and _crosses(before, now, draws.interval) and (drawn := draws.take()):
            self._writer.add_draws(drawn)
        if _crosses(before, now, config.eval_interval):
            self._evaluate()
        self._checkpoint_due |= _crosses(before, now, config.checkpoint_interval)
        if self._checkpoint_due and not self._outage.active:  # the store is never behind a checkpoint
            self._log_clock()
            self._checkpoint_due = not self._outage.attempt(lambda: self._checkpoint(self._status))
            self._outage.attempt(self._thinning.look)
        for moment in self._keeping.due(before, now):
            self._outage.attempt(self._writer.flush)  # a branch with another scorer looks for the clips
            self._keeping.keep(moment)
        self._keep_in_touch()

    def _keep_in_touch(self) -> None:
        """About once a second: a heartbeat, rows, and live changes; while the run is paused, this does not return."""
        if time.monotonic() >= self._house_due:
            self._tick()
            while self._status == "paused":
                self._wait(0.2)
                if time.monotonic() >= self._house_due:
                    self._tick()

    def _tick(self) -> None:
        began = time.monotonic()
        self._house_due = began + HOUSEKEEPING_S
        if began >= self._store_due:
            done, took = self._outage.attempt(self._exchange), time.monotonic() - began
            if done and took > SLOW_S:
                self._store_due = time.monotonic() + min(REST * took, LONGEST_REST_S)
        self._report_progress()
        while self._outage.active and self._writer.held_bytes > outage.MAX_HELD_BYTES and self._status in LIVE:
            self._outage.say(f"training waits, since {outage.MAX_HELD_BYTES // 2**20} MiB of rows are kept")
            self._report_progress()
            self._wait(0.2)
            self._outage.attempt(self._exchange)

    def _exchange(self) -> None:
        """Write rows and a heartbeat, and read live changes.

        Raises:
            StoreBusyError: the store takes nothing at the moment; what it did not take is kept.
        """
        self._answer_changes()
        changes = self._store.exchange(
            self._writer,
            self.step,
            status=self._status if self._status in LIVE else None,
            steps_per_second=self._steps_per_second(),
            counters=self._run_counters(),
        )
        for change in changes:
            self._apply_change(change)
        self._answer_changes()
        self._thinning.delete_some()

    def _run_counters(self) -> RunCounters:
        return replace(
            self._labelling.counters(),
            store_notice=self._outage.notice,
            checkpoint_notice="; ".join(filter(None, (self._keeping.notice, self._place.notice))),
            environment_notice=self._environment_notice(),
            doing=self._doing if self._status in LIVE else "",
        )

    def _environment_notice(self) -> str:
        reported = next((env.notice for env in (*self._envs.envs, *self._eval_envs) if env.notice), "")
        return "; ".join(filter(None, (self._cut_off, reported)))

    def _wait(self, seconds: float) -> None:
        time.sleep(seconds)
        self._paused_s += seconds

    def _report_progress(self) -> None:
        if self._progress is not None:
            self._progress(self.step, self.config.total_steps, self._figures())

    def _figures(self) -> RunFigures:
        busy = self._outage.notice if self._outage.active else ""
        labelling = self._labelling
        kept = self._keeping.notice or self._place.notice
        trouble = labelling.failure or self._outage.notice or kept or labelling.notice or labelling.unanswered
        return RunFigures(
            steps_per_second=self._steps_per_second(),
            success_rate=self._learned.success_rate,
            vlm_weight=self._replay_figures().get("replay/vlm_weight"),
            positive_rate=self._counters.positive_rate,
            warning=busy or "; ".join(filter(None, (*self._losses, self._environment_notice(), trouble))),
            change=self._changed,
        )

    def _steps_per_second(self) -> float:
        """Training speed since the start, excluding pauses and evaluations."""
        return (self.step - self._started_step) / max(self._trained_s(), 1e-9)

    def _trained_s(self) -> float:
        """Seconds since the start, without pauses and evaluations."""
        return time.monotonic() - self._started_at - self._paused_s - self._evaluation_s

    def _log(self) -> None:
        rows = self._metrics.take() | self._ages.take()
        (step, seconds), self._logged_at = self._logged_at, (self.step, self._trained_s())
        if self.step > step:
            rows[SPEED] = (self.step - step) / max(self._logged_at[1] - seconds, 1e-9)
        rows |= self._replay_figures()
        if self.config.scorer is not None:
            counted = self._labelling.counters()
            rows["replay/stale_scores"] = counted.stale
            rows["scoring/backlog"] = counted.backlog
            rows["scoring/dropped"] = counted.dropped
            rows["scoring/clips_scored"] = counted.clips_scored
            if self._counters.positive_rate is not None:
                rows["scoring/positive_rate"] = self._counters.positive_rate
            if (ruling := self._labelling.ruling.question) is not None:
                rows["scoring/question"] = ruling + 1
        worker = self._labelling.worker
        rows |= self._system.sample(None if worker is None else worker.pid)
        for name, value in rows.items():
            self._writer.add_metric(name, self.step, value)
        self._log_clock()

    def _log_clock(self) -> None:
        """Log when this step was, and how long the run had been running by then."""
        running_s = self._ran_before_s + time.monotonic() - self._started_at - self._paused_s
        self._writer.add_metric(CLOCK_S, self.step, time.time())
        self._writer.add_metric(RUNNING_S, self.step, running_s)

    def _evaluate(self) -> None:
        """Evaluate, unless the run is stopped or interrupted meanwhile: then the evaluation is due again when it is resumed."""
        config, rng = self.config, self._rngs["evaluation"]
        check_networks(self._agent.state_dict())
        before, spent_s = rng.bit_generator.state, self._evaluation_s
        self._learned.evaluation_due, self._evaluating_since = True, time.monotonic()
        result = evaluate(
            self._agent,
            self._eval_envs,
            config.eval_episodes,
            config.eval_epsilon,
            rng,
            max_steps=config.eval_max_steps,
            goes_on=self._goes_on_evaluating,
        )
        self._evaluation_s += time.monotonic() - self._evaluating_since
        self._doing = ""
        if result is None:
            rng.bit_generator.state = before
            return
        self._learned.evaluation_due, self._learned.success_rate = False, result.success_rate
        self._labelling.ruling.succeeded(result.success_rate)
        if result.cut_off and not self._cut_off:
            limit = longest_episode(config.eval_max_steps, self._eval_envs[0].time_limit)
            self._cut_off = (
                f"evaluation episodes are cut off after {limit:,} steps, for the first time at step {self.step:,}; they count as "
                "not successful (eval_max_steps allows longer ones)"
            )
        if result.success_rate is not None:
            self._writer.add_metric(SUCCESS, self.step, result.success_rate)
        self._writer.add_metric("eval/episodic_return", self.step, result.episodic_return)
        self._writer.add_metric("eval/episodic_length", self.step, result.episodic_length)
        self._writer.add_metric(EVALUATION_S, self.step, self._evaluation_s - spent_s)
        self._log_clock()

    def _goes_on_evaluating(self, done: int) -> bool:
        """Between two steps of an evaluation: what is done between two steps of training; whether to go on."""
        self._doing = f"evaluating: {done} of {self.config.eval_episodes} episodes done"
        self._evaluation_s += time.monotonic() - self._evaluating_since
        goes_on = self._goes_on()
        self._evaluating_since = time.monotonic()
        return goes_on

    def _goes_on_scoring(self) -> bool:
        """While the last clips are scored: what is done between two steps of training; whether to go on."""
        self._doing = f"scoring the last clips: {len(self._labelling.pending)} left"
        return self._goes_on()

    def _goes_on(self) -> bool:
        """While something else than training takes its time: what is done between two steps of it; whether to go on."""
        if self._status == "running":
            self._keep_in_touch()
        return self._status == "running"

    # -- live changes

    def _apply_change(self, change: LiveChange) -> None:
        try:
            self._apply(parse_change(change.name, change.value))
        except StoreBusyError:
            raise
        except VlmrbError as error:
            self._answers[change.change_id] = {"error": str(error)}
        else:
            self._answers[change.change_id] = {"applied_step": self.step}
            self._changed = f"{self._in_words(change)}, from step {self.step:,} on"

    def _in_words(self, change: LiveChange) -> str:
        """What an applied change has set."""
        if change.name == "prompt":
            return f"prompt {self._labelling.prompt.name}@{self._labelling.prompt.version}"
        return change.name if change.value is None else f"{change.name} {change.value}"

    def _answer_changes(self) -> None:
        """Report changes as applied or rejected. The answers wait for a busy store, so that no change is applied twice."""
        while self._answers:
            change_id = next(iter(self._answers))
            self._store.acknowledge_change(change_id, **self._answers[change_id])
            del self._answers[change_id]

    def _apply(self, change: Change) -> None:
        if isinstance(change, SetStatus):
            self._status = change.status
        elif isinstance(change, SetPrompt):
            if self.config.scorer is None:
                raise ConfigError("prompt: this run has no scorer to ask")
            prompt = self._store.prompt(change.prompt_id)
            if prompt.needs_mission and not self._envs.envs[0].mission:
                raise ConfigError(f"prompt: it asks about the mission or goal, and {self.config.env} does not say what that is")
            check_questions(self.config, prompt)
            self._labelling.set_prompt(prompt)
        elif isinstance(change, SetQuestion):
            if "question" not in self._method.live:
                raise ConfigError(f"question: this run uses the replay method {self.config.replay!r}, which reads no answers")
            self._labelling.hold(None if change.number is None else change.number - 1)
        else:
            if "lambda" not in self._method.live:
                raise ConfigError(f"lambda: this run uses the replay method {self.config.replay!r}, which has no λ")
            self._log_weight(self.step - 1)
            self._sampler.change("lambda", change.weight)  # type: ignore[attr-defined]
            self._advance_schedules()
            self._log_weight(self.step)

    def _log_weight(self, step: int) -> None:
        """Log λ, so that its curve shows where it jumped."""
        if step >= 0 and "replay/vlm_weight" in (figures := self._replay_figures()):
            self._writer.add_metric("replay/vlm_weight", step, figures["replay/vlm_weight"])

    def _interrupt(self) -> None:
        self._status, self._ending.in_haste = "interrupted", True

    # -- finishing, checkpoints

    def _finish(self) -> None:
        for clip in self._recorder.close_open():
            self._labelling.submit(clip)
        if self._status == "running":
            scored = self._labelling.finish(self._goes_on_scoring)
            self._doing = ""
            stale = [self._labelling.apply(clip, score) for clip, score in scored]
            self._labelling.record(scored, stale)
            due = self._learned.evaluation_due or self._learned.success_rate is None
            if due or self.step % self.config.eval_interval >= self.config.n_envs:
                self._evaluate()
            if self._status == "running":
                self._status = "finished"
        self._log()
        ended = self._status
        self._ending.save(ended, self.step)
        if ended == "finished":
            with suppress(CheckpointError):  # it goes with the run, then
                self._place.forget(PARENT)
        self._status = ended  # an interruption while it waited for the store changes nothing

    def _close(self, error: str) -> None:
        counted = self._run_counters()
        try:
            self._labelling.close()
            for env in (*self._envs.envs, *self._eval_envs):
                with suppress(Exception):  # the run has ended, whatever the environment makes of it
                    env.close()
            if self.begun:
                missing = self._place.finish(self._ending.patience_s, self._beat)
                self._losses += [missing] if missing else []
                counted = replace(counted, checkpoint_notice=self._keeping.notice)
        finally:  # also if Ctrl-C cuts the closing short
            if self.begun:
                error = error or "; ".join(filter(None, (*self._losses, self._labelling.failure)))
                self._ending.record(self._status, lambda: self._record_end(error, counted))
                if self._status == "finished":
                    self._thinning.finish()

    def _beat(self) -> None:
        """While the last checkpoint is on its way, which may take longer than a run without heartbeats counts as alive."""
        if time.monotonic() >= self._house_due:
            self._house_due = time.monotonic() + HOUSEKEEPING_S
            with suppress(VlmrbError):  # whoever records the end finds out, too
                self._outage.attempt(lambda: self._store.heartbeat(self.run_id, self.step))

    def _record_end(self, error: str, counted: RunCounters) -> None:
        self._answer_changes()
        self._writer.flush()
        self._store.heartbeat(self.run_id, self.step, steps_per_second=self._steps_per_second(), counters=counted)
        self._store.release_run(self.run_id, self._status, error, counters=counted)

    def _result(self) -> TrainResult:
        counters = self._labelling.counters()
        return TrainResult(
            self.run_id,
            self._status,
            self.step,
            self._learned.success_rate,
            self._steps_per_second(),
            counters.clips,
            counters.clips_scored,
            counters.positive_rate,
            counters.unknown,
            counters.stale,
            counters.dropped,
        )

    def _checkpoint(self, status: RunStatus, store: bool = True) -> None:
        """Write a checkpoint; `store`: after everything before it is in the store, not even a power cut can undo that."""
        if store:
            self._writer.flush()
            self._store.heartbeat(self.run_id, self.step, durable=True)
        finished = status == "finished"
        self._learned.save(self._folder, finished=finished)
        self._place.written(RESUME, 1 if finished else KEPT)


def _hindsight(config: TrainConfig, judge: JudgeGoals | None, spec: ObservationSpec) -> Hindsight | HindsightInWords | None:
    """What replaces goals or missions in the batches of a run; `judge`: of goals."""
    if config.hindsight is not None and config.hindsight.in_words:
        return HindsightInWords(config.hindsight, spec, config.buffer_size, config.seed)
    return Hindsight(config.hindsight, judge) if config.hindsight and judge else None


def _crosses(before: int, now: int, interval: int) -> bool:
    return before // interval != now // interval
