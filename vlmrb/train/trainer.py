"""The Trainer: the method and its bookkeeping.

`Trainer._learn` is the method as described in the paper (arXiv 2602.01915, section 3); everything else in this file is
bookkeeping around it: schedules, live changes, evaluation, checkpoints, and resuming after a crash.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from vlmrb.agents import make_agent
from vlmrb.checkpoint import KEPT, load_checkpoint, remove_older, save_checkpoint
from vlmrb.clips import ClipRecorder
from vlmrb.config import TrainConfig
from vlmrb.envs import Play, VectorEnv, VectorStep, make_env
from vlmrb.errors import (
    CheckpointError,
    ConfigError,
    NotFoundError,
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
    VlmrbError,
)
from vlmrb.evaluation import FIRST_HELD_OUT_SEED, evaluate, max_parallel
from vlmrb.live import parse_change
from vlmrb.metrics import Counters, MeanMetrics
from vlmrb.replay import ReplayBuffer, make_sampler, replay_method
from vlmrb.scoring import resolve_prompt
from vlmrb.store import Store
from vlmrb.train import outage
from vlmrb.train.labelling import Labelling
from vlmrb.train.outage import Outage
from vlmrb.train.signals import Signals
from vlmrb.types import (
    EDITS,
    LIVE,
    LIVE_CHANGES,
    Change,
    Clip,
    Episode,
    LiveChange,
    Prompt,
    RunCounters,
    RunFigures,
    RunStatus,
    SetPrompt,
    SetStatus,
)

HOUSEKEEPING_S = 1.0
"""Seconds between heartbeats, checks for live changes, and writes of buffered rows."""

_MAY_DIFFER = {
    "total_steps",
    "eval_interval",
    "eval_episodes",
    "log_interval",
    "checkpoint_interval",
    "keep_clips",
    "device",
    "scorer_device",
    "scorer_dtype",
    "scoring_batch_size",
    "scoring_queue_size",
    "sync_scoring",
    "on_scorer_failure",
}
"""Settings that say how long, where or how fast a run trains, and nothing about what a checkpoint holds."""

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
    """

    def __init__(
        self, run_id: int, config: TrainConfig, store: Store, progress: Progress | None = None, *, from_start: bool = False
    ) -> None:
        self.run_id, self.config, self._store, self._progress = run_id, config, store, progress
        self._from_start = from_start
        self._requested_before = store.live_changes(run_id, status="requested")  # those made while it starts are for it
        self.begun = False
        """Whether the run has started or been resumed; before that, nothing is written to its row."""
        self._losses: list[str] = []  # what could not be resumed, in words
        self._folder = store.folder_of_run(run_id) / "checkpoints"
        self._unwritten = store.folder_of_run(run_id) / "unwritten.jsonl"
        self._outage = Outage(store)
        self._writer = store.writer(run_id)
        self._outage.wait_until_free()
        self._take_back()
        # one generator per consumer: adding a consumer does not shift the others' draws
        names = ("episodes", "replay", "agent", "evaluation", "play")
        seeds = np.random.SeedSequence(config.seed).spawn(len(names))
        self._rngs = {name: np.random.default_rng(seed) for name, seed in zip(names, seeds, strict=True)}
        self._record_frames = config.keep_clips or config.scorer is not None
        self._envs = VectorEnv([make_env(config) for _ in range(config.n_envs)], self._next_episode_seed, self._record_frames)
        first = self._envs.envs[0]
        self._agent = make_agent(config, first.observation_spec, first.action_spec, self._rngs["agent"])
        self._play = Play(self._envs.envs, self._rngs["play"]) if config.play_steps else None
        self._method = replay_method(config.replay)
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
        )
        self._recorder = ClipRecorder(config.n_envs, config.clip_length, run_id, store.next_clip_number(run_id))
        self._eval_envs = [make_env(config) for _ in range(min(config.eval_episodes, max_parallel(first.action_spec)))]
        self._metrics, self._counters = MeanMetrics(), Counters()
        self._returns = np.zeros(config.n_envs)
        self._lengths = np.zeros(config.n_envs, int)
        self._updates = 0
        prompt = resolve_prompt(config.prompt)
        self._success_rate: float | None = None
        self._status: RunStatus = "running"
        self._interrupted = False
        self._kept = ""  # what is in the run's folder, if the store did not take the end of the run
        self._gives_up_at: float | None = None
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
        )
        self._start_clock()

    # -- the method

    def _learn(self) -> None:
        config, buffer, agent, envs, labelling = self.config, self._buffer, self._agent, self._envs, self._labelling
        observation = envs.reset()
        while self.step < config.total_steps and self._status == "running":
            actor = agent if self._play is None or self.step >= config.play_steps else self._play
            action = actor.act(observation, self.step)
            result = envs.step(action)
            item_ids = buffer.add(result.transition)
            for clip in self._record(result, item_ids):
                labelling.submit(clip)
            scored = labelling.drain()
            stale = [labelling.apply(clip, score) for clip, score in scored]
            labelling.record(scored, stale)
            self._advance_schedules()
            while self._update_is_due():
                batch = buffer.sample(config.batch_size, agent.td_errors)
                update = agent.update(batch)
                buffer.update_priorities(batch.item_ids, update.feedback)
                self._count_update(update.metrics)
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
            error = f"{failure}; {self._kept or self._keep_in_folder()}" if self.begun else str(failure)
            raise type(failure)(error) from failure
        except BaseException as failure:
            self._status, error = "failed", str(failure) or type(failure).__name__
            raise
        finally:
            torch.set_num_threads(threads)
            torch.set_flush_denormal(False)
            self._close(error)
        return self._result()

    def _begin(self) -> None:
        loaded = load_checkpoint(self._folder, self._losses.append)
        if loaded is None:
            self._check_nothing_is_lost()
            self._store.rollback_run(self.run_id, 0)
            self._checkpoint()  # from here on, a run without a checkpoint has lost it
        elif self._from_start:
            raise CheckpointError(f"run {self.run_id} has a whole checkpoint; resume it without --from-start")
        else:
            self._restore(*loaded)
        self.begun = True
        for change in self._requested_before:
            if change.name in LIVE_CHANGES and change.name not in EDITS:
                self._store.acknowledge_change(change.change_id, error="requested before the run was resumed")
        self._start_clock()

    def _check_nothing_is_lost(self) -> None:
        """Starting at step 0 would erase the curves of a run that has begun.

        Raises:
            CheckpointError: it has, and this was not asked for.
        """
        if self._from_start or not self._store.has_begun(self.run_id):
            return
        step, found = self._store.run(self.run_id).step, "; ".join(self._losses) or f"there is none in {self._folder}"
        raise CheckpointError(
            f"run {self.run_id} has trained to step {step}, but it has no whole checkpoint: {found}. "
            "Put the folder back where it was (a backup by 'vlmrb doctor --backup' has it next to the store), start a new run, "
            f"or delete this run's curves and train it again: vlmrb train --resume {self.run_id} --from-start"
        )

    def _start_clock(self) -> None:
        self._started_at = self._last_house = time.monotonic()
        self._started_step = self.step
        self._paused_s = self._evaluation_s = 0.0

    def _advance_schedules(self) -> None:
        if hasattr(self._sampler, "advance"):
            self._sampler.advance(self.step)

    def _replay_figures(self) -> dict[str, float]:
        return self._sampler.figures() if hasattr(self._sampler, "figures") else {}

    def _update_is_due(self) -> bool:
        return self._updates < (self.step - self.config.learning_starts) // self.config.train_freq

    def _count_update(self, metrics: dict[str, float]) -> None:
        self._updates += 1
        for name, value in metrics.items():
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
        if not self._record_frames:
            return []
        return self._recorder.add(
            item_ids, result.snapshots, transition.reward, result.events, transition.terminated, transition.truncated
        )

    def _end_episode(self, index: int, result: VectorStep, step: int) -> None:
        number = self._recorder.episodes[index] if self._record_frames else self._counters.episodes
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
        if episode.success and stage == "rollout" and hasattr(self._sampler, "succeeded"):
            self._sampler.succeeded(step)
        self._returns[index], self._lengths[index] = 0.0, 0

    def _next_episode_seed(self) -> int:
        return int(self._rngs["episodes"].integers(FIRST_HELD_OUT_SEED))

    # -- housekeeping

    def _keep_house(self, item_ids: np.ndarray) -> None:
        before, now = int(item_ids[0]), self.step
        config = self.config
        if _crosses(before, now, config.log_interval):
            self._log()
        if _crosses(before, now, config.eval_interval):
            self._evaluate()
        self._checkpoint_due |= _crosses(before, now, config.checkpoint_interval)
        if self._checkpoint_due and not self._outage.active:  # the store is never behind a checkpoint
            self._checkpoint_due = not self._outage.attempt(self._checkpoint)
        if time.monotonic() - self._last_house >= HOUSEKEEPING_S:
            self._tick()
            while self._status == "paused":
                self._wait(0.2)
                self._tick()

    def _tick(self) -> None:
        self._last_house = time.monotonic()
        self._outage.attempt(self._exchange)
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
        self._writer.flush()
        self._store.heartbeat(
            self.run_id,
            self.step,
            status=self._status if self._status in LIVE else None,
            steps_per_second=self._steps_per_second(),
            counters=self._run_counters(),
        )
        for change in self._store.live_changes(self.run_id, status="requested"):
            self._apply_change(change)
        self._answer_changes()

    def _run_counters(self) -> RunCounters:
        return replace(self._labelling.counters(), store_notice=self._outage.notice)

    def _wait(self, seconds: float) -> None:
        time.sleep(seconds)
        self._paused_s += seconds

    def _report_progress(self) -> None:
        if self._progress is not None:
            self._progress(self.step, self.config.total_steps, self._figures())

    def _figures(self) -> RunFigures:
        busy = self._outage.notice if self._outage.active else ""
        trouble = self._labelling.failure or self._outage.notice or self._labelling.notice
        return RunFigures(
            steps_per_second=self._steps_per_second(),
            success_rate=self._success_rate,
            vlm_weight=self._replay_figures().get("replay/vlm_weight"),
            positive_rate=self._counters.positive_rate,
            warning=busy or "; ".join(filter(None, (*self._losses, trouble))),
        )

    def _steps_per_second(self) -> float:
        """Training speed, excluding pauses and evaluations."""
        elapsed = time.monotonic() - self._started_at - self._paused_s - self._evaluation_s
        return (self.step - self._started_step) / max(elapsed, 1e-9)

    def _log(self) -> None:
        rows = self._metrics.take()
        rows["speed/steps_per_second"] = self._steps_per_second()
        rows |= self._replay_figures()
        if self.config.scorer is not None:
            counted = self._labelling.counters()
            rows["replay/stale_scores"] = counted.stale
            rows["scoring/backlog"] = counted.backlog
            rows["scoring/dropped"] = counted.dropped
            rows["scoring/clips_scored"] = counted.clips_scored
            if self._counters.positive_rate is not None:
                rows["scoring/positive_rate"] = self._counters.positive_rate
        for name, value in rows.items():
            self._writer.add_metric(name, self.step, value)

    def _evaluate(self) -> None:
        started = time.monotonic()
        result = evaluate(
            self._agent, self._eval_envs, self.config.eval_episodes, self.config.eval_epsilon, self._rngs["evaluation"]
        )
        self._success_rate = result.success_rate
        if result.success_rate is not None:
            self._writer.add_metric("eval/success_rate", self.step, result.success_rate)
        self._writer.add_metric("eval/episodic_return", self.step, result.episodic_return)
        self._writer.add_metric("eval/episodic_length", self.step, result.episodic_length)
        self._evaluation_s += time.monotonic() - started

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
            self._labelling.set_prompt(self._store.prompt(change.prompt_id))
        else:
            if "lambda" not in self._method.live:
                raise ConfigError(f"lambda: this run uses the replay method {self.config.replay!r}, which has no λ")
            self._sampler.change("lambda", change.weight)  # type: ignore[attr-defined]

    def _interrupt(self) -> None:
        self._status, self._interrupted = "interrupted", True

    # -- finishing, checkpoints, resuming

    def _finish(self) -> None:
        for clip in self._recorder.close_open():
            self._labelling.submit(clip)
        if self._status == "running":
            scored = self._labelling.finish()
            stale = [self._labelling.apply(clip, score) for clip, score in scored]
            self._labelling.record(scored, stale)
            if self.step % self.config.eval_interval >= self.config.n_envs or self._success_rate is None:
                self._evaluate()
            self._status = "finished"
        self._log()
        self._save_for_good()

    def _save_for_good(self) -> None:
        """The last rows and checkpoint. If the store is busy, they go to the run's folder, and then it waits for the store.

        Raises:
            StoreBusyError: it waited in vain. The run can be resumed once the store is back.
        """
        if self._outage.attempt(self._checkpoint):
            return
        ended = self._status
        self._kept = self._keep_in_folder()

        def hand_over() -> None:
            self._writer.take_back(self._unwritten)
            self._status = ended
            self._checkpoint()

        if not self._wait_for_store(hand_over):
            raise StoreBusyError(f"{self._outage.reason}; run {self.run_id} ended at step {self.step} without it")
        self._kept = ""

    def _keep_in_folder(self) -> str:
        """Save rows and a checkpoint without the store; says in words what became of them."""
        if self._status == "finished":  # without the store, nobody learns of it: the run is to be resumed
            self._status = "interrupted"
        try:
            self._writer.set_aside(self._unwritten)
            self._checkpoint(store=False)
        except (VlmrbError, OSError) as error:
            return f"nor could a checkpoint be written at step {self.step} ({error})"
        return (
            f"a checkpoint at step {self.step} and the rows that the store did not take are in {self._folder.parent}; "
            f"once the store is back, resume with: python -m vlmrb train --resume {self.run_id}"
        )

    def _take_back(self) -> None:
        """Store the rows that the store did not take when the run ended, if there are any."""
        try:
            self._writer.take_back(self._unwritten)
        except (StoreUnavailableError, StoreFullError):
            raise
        except (
            StoreError,
            ValueError,
            KeyError,
            TypeError,
        ) as error:  # an older copy of the store lacks what they refer to, or damage
            refused = self._unwritten.with_suffix(".refused")
            self._unwritten.replace(refused)
            self._outage.notice = f"the rows in {refused} do not fit the store and are left out ({error})"

    def _wait_for_store(self, work: Callable[[], object]) -> bool:
        """Attempt the work until it is done, or the time that an ended run waits for its store is up; whether it is done."""
        while not self._outage.attempt(work):
            now = time.monotonic()
            patience = outage.INTERRUPTED_WAIT_S if self._interrupted else outage.FINAL_WAIT_S
            self._gives_up_at = min(self._gives_up_at or now + patience, now + patience)
            if now >= self._gives_up_at:
                return False
            self._outage.say(f"the run has ended and waits for it, at most {outage.FINAL_WAIT_S:g} s")
            self._report_progress()
            time.sleep(0.2)
        return True

    def _close(self, error: str) -> None:
        counted = self._run_counters()
        self._labelling.close()
        self._envs.close()
        for env in self._eval_envs:
            env.close()
        if not self.begun:
            return
        error = error or "; ".join(filter(None, (*self._losses, self._labelling.failure)))

        def report() -> None:
            try:
                self._record_end(error, counted)
            except StoreFullError:
                if not remove_older(self._folder):
                    raise
                self._record_end(error, counted)

        try:
            if not self._wait_for_store(report) and self._status != "failed":
                raise StoreBusyError(
                    f"{self._outage.reason}; run {self.run_id} ended as {self._status!r}, which was not recorded"
                )
        except VlmrbError:
            if self._status != "failed":  # otherwise report the first error; the run of a dead process reads as interrupted
                raise

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
            self._success_rate,
            self._steps_per_second(),
            counters.clips,
            counters.clips_scored,
            counters.positive_rate,
            counters.unknown,
            counters.stale,
            counters.dropped,
        )

    def _checkpoint(self, *, store: bool = True) -> None:
        """Write a checkpoint; `store`: after everything before it is in the store, not even a power cut can undo that."""
        recorder = self._recorder.state_dict()
        arrays = {f"recorder.{k}": recorder.pop(k) for k in [k for k in recorder if k.startswith("snapshots.")]}
        numbers: dict[str, Any] = {}
        if self._status != "finished":  # a finished run cannot be resumed, so its buffer is not needed
            for key, value in self._buffer.state_dict().items():
                (arrays if isinstance(value, np.ndarray) else numbers)[f"buffer.{key}"] = value
        state = {
            "settings": _settings(self.config),
            "updates": self._updates,
            "recorder": recorder,
            "numbers": numbers,
            "rngs": {name: rng.bit_generator.state for name, rng in self._rngs.items()},
            "counters": asdict(self._labelling.counters()),
            "pending": self._labelling.pending,
            "label_rule": self._labelling.rule.state_dict(),
            "prompt_id": self._labelling.prompt.prompt_id,
            "success_rate": self._success_rate,
        }
        if store:
            self._writer.flush()
            self._store.heartbeat(self.run_id, self.step, durable=True)
        keep = 1 if self._status == "finished" else KEPT
        save_checkpoint(self._folder, self.step, state, self._agent.state_dict(), arrays, keep=keep)

    def _restore(self, state: dict[str, Any], tensors: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self._check_settings(state)
        if state.get("step") == 0:  # nothing has been learned, so a new start is the same
            self._store.rollback_run(self.run_id, 0)
            return
        try:
            self._take(state, tensors, arrays)
            next_number, prompt_id, pending = state["recorder"]["next_number"], state["prompt_id"], list(state["pending"])
        except (LookupError, TypeError, ValueError, AttributeError) as error:  # names, shapes or types differ
            raise CheckpointError(
                f"the checkpoint at step {state.get('step')} lacks something that this version needs "
                f"({type(error).__name__}: {error}) and cannot be resumed; {self._ways_out()}"
            ) from error
        prompt = self._prompt_of(prompt_id)
        self._store.rollback_run(self.run_id, self.step, next_number)
        for clip in self._recorder.close_open():
            self._labelling.submit(clip)
        if missing := self._labelling.resume(prompt, pending, self._store):
            self._losses.append(
                f"{missing} clips that were pending at step {self.step} are missing from the store; "
                "training continues without them"
            )

    def _ways_out(self) -> str:
        return f"start a new run, or put this run's own checkpoint back into {self._folder}"

    def _check_settings(self, state: dict[str, Any]) -> None:
        saved, ours = state.get("settings", {}), _settings(self.config)  # earlier versions saved none
        words = [
            f"{name} {saved[name]!r} instead of {ours[name]!r}" for name in saved if name in ours and saved[name] != ours[name]
        ]
        if words:
            raise CheckpointError(
                f"the checkpoint at step {state['step']} is of a run with other settings ({', '.join(words[:3])}); "
                f"{self._ways_out()}"
            )

    def _prompt_of(self, prompt_id: int) -> Prompt:
        """The prompt in use at the checkpoint, or else that of the settings."""
        try:
            return self._store.prompt(prompt_id)
        except NotFoundError:
            self._losses.append(
                f"prompt {prompt_id} is not in the store; training continues with {self._labelling.prompt.text!r}"
            )
            return self._labelling.prompt

    def _take(self, state: dict[str, Any], tensors: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Take over everything that the checkpoint holds; nothing is stored."""
        if state["numbers"]:
            self._take_buffer(state, arrays)
        else:  # training was done, and the process killed before the run's row said so
            self._buffer.next_item_id, self._status = int(state["step"]), "finished"
        try:
            self._agent.load_state_dict(tensors)
        except (KeyError, RuntimeError, ValueError) as error:  # raised by torch if names or shapes differ
            raise CheckpointError(
                f"the checkpoint at step {state['step']} was written by a different version (its {self.config.algo} networks "
                "differ) and cannot be resumed; start a new run"
            ) from error
        for name, saved in state["rngs"].items():
            self._rngs[name].bit_generator.state = saved
        self._updates = int(state["updates"])
        self._counters.restore(state["counters"])
        self._labelling.rule.load_state_dict(state.get("label_rule", {}))
        self._success_rate = state["success_rate"]
        snapshots = {key.removeprefix("recorder."): value for key, value in arrays.items() if key.startswith("recorder.")}
        self._recorder.load_state_dict({**state["recorder"], **snapshots})

    def _take_buffer(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        buffer = {key: value for key, value in {**state["numbers"], **arrays}.items() if key.startswith("buffer.")}
        if "lambda_override" in state:  # where version 0.1 kept it
            buffer["buffer.sampler.lambda_override"] = state["lambda_override"]
        self._buffer.load_state_dict({key.removeprefix("buffer."): value for key, value in buffer.items()})
        self._buffer.cut_episodes()  # every environment starts a new episode


def _settings(config: TrainConfig) -> dict[str, Any]:
    """The settings that a checkpoint's contents depend on."""
    return config.model_dump(mode="json", exclude=_MAY_DIFFER)


def _crosses(before: int, now: int, interval: int) -> bool:
    return before // interval != now // interval
