"""What a checkpoint holds of a run: written, and taken over by the run that resumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vlmrb.agents import Agent
from vlmrb.checkpoint import KEPT, Loaded, save_checkpoint
from vlmrb.clips import ClipRecorder
from vlmrb.config import TrainConfig
from vlmrb.errors import CheckpointError, NotFoundError
from vlmrb.metrics import Counters
from vlmrb.panels import reads_prompt
from vlmrb.replay import ReplayBuffer
from vlmrb.store import Store
from vlmrb.train.finite import check_networks
from vlmrb.train.labelling import Labelling
from vlmrb.types import Prompt, RunSummary

_MAY_DIFFER = {
    "total_steps",
    "eval_interval",
    "eval_episodes",
    "eval_max_steps",
    "log_interval",
    "checkpoint_interval",
    "keep_checkpoints",
    "checkpoints",
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


@dataclass
class Learned:
    """Everything that a run has learned, and where it stands.

    Attributes:
        config: the run's settings.
        buffer, agent, recorder, counters, labelling: its parts.
        rngs: its generators, by consumer.
        updates: gradient steps so far.
        evaluation_due: whether the evaluation of this step was begun and not finished.
        success_rate: of the last evaluation.
        successes: training episodes that have succeeded; scripted play does not count.
        first_success: step at which the first of them ended.
        sources: the runs whose clips the buffer's items are in besides the run's own, oldest first, each with the number of
            clips that it had recorded by then: in a branch, its parent and those that this one branched off from.
    """

    config: TrainConfig
    buffer: ReplayBuffer
    agent: Agent
    recorder: ClipRecorder
    rngs: dict[str, np.random.Generator]
    counters: Counters
    labelling: Labelling
    updates: int = 0
    evaluation_due: bool = False
    success_rate: float | None = None
    successes: int = 0
    first_success: int | None = None
    sources: list[tuple[int, int]] = field(default_factory=list)

    def succeeded(self, step: int) -> None:
        """A training episode ended in success at this step."""
        self.successes += 1
        if self.first_success is None:
            self.first_success = step
        if hasattr(self.buffer.sampler, "succeeded"):
            self.buffer.sampler.succeeded(step)

    def save(self, folder: Path, *, finished: bool = False, keep: int = KEPT) -> None:
        """Write a checkpoint under `folder` and keep so many there; one of a finished run, which cannot be resumed, replaces
        all others and does without the buffer.

        Raises:
            CheckpointError: it cannot be written.
            DivergedError: the networks hold numbers that are NaN or infinite; nothing is written.
        """
        step, tensors = self.buffer.next_item_id, self.agent.state_dict()
        check_networks(tensors)
        recorder = self.recorder.state_dict()
        arrays = {f"recorder.{k}": recorder.pop(k) for k in [k for k in recorder if k.startswith("snapshots.")]}
        numbers: dict[str, Any] = {}
        if not finished:
            for key, value in self.buffer.state_dict().items():
                (arrays if isinstance(value, np.ndarray) else numbers)[f"buffer.{key}"] = value
        state = {
            "settings": _settings(self.config),
            "updates": self.updates,
            "recorder": recorder,
            "numbers": numbers,
            "rngs": {name: rng.bit_generator.state for name, rng in self.rngs.items()},
            "counters": asdict(self.labelling.counters()),
            "pending": self.labelling.pending,
            "label_rule": self.labelling.rule.state_dict(),
            "ruling": self.labelling.ruling.state_dict(),
            "prompt_id": self.labelling.prompt.prompt_id,
            "evaluation_due": self.evaluation_due,
            "success_rate": self.success_rate,
            "successes": self.successes,
            "first_success": self.first_success,
            "sources": self.sources,
        }
        save_checkpoint(folder, step, state, tensors, arrays, keep=1 if finished else keep)

    def take(
        self, state: dict[str, Any], tensors: dict[str, Any], arrays: dict[str, np.ndarray], *, sampler: bool = True
    ) -> None:
        """Take over everything that a checkpoint holds but what is pending; nothing is stored.

        Without `sampler`, what the sampler knew stays behind: it is given the items as new ones.

        Raises:
            CheckpointError: its networks differ.
            LookupError, TypeError, ValueError, AttributeError: it lacks something.
        """
        if state["numbers"]:
            self._take_buffer(state, arrays, sampler)
        else:  # training was done, and the process killed before the run's row said so
            self.buffer.next_item_id = int(state["step"])
        try:
            self.agent.load_state_dict(tensors)
        except (KeyError, RuntimeError, ValueError) as error:  # raised by torch if names or shapes differ
            raise CheckpointError(
                f"the checkpoint at step {state['step']} was written by a different version (its {self.config.algo} networks "
                "differ) and cannot be resumed; start a new run"
            ) from error
        for name, saved in state["rngs"].items():
            self.rngs[name].bit_generator.state = saved
        self.updates = int(state["updates"])
        self.counters.restore(state["counters"])
        self.labelling.rule.load_state_dict(state.get("label_rule", {}))
        self.labelling.ruling.load_state_dict(state.get("ruling", {}))
        self.success_rate = state["success_rate"]
        self.successes = int(state.get("successes", 0))  # before keep_checkpoints, nobody counted them
        self.first_success = state.get("first_success")
        self.sources = [(int(run_id), int(count)) for run_id, count in state.get("sources", ())]
        snapshots = {key.removeprefix("recorder."): value for key, value in arrays.items() if key.startswith("recorder.")}
        self.recorder.load_state_dict({**state["recorder"], **snapshots})

    def _take_buffer(self, state: dict[str, Any], arrays: dict[str, np.ndarray], sampler: bool) -> None:
        buffer = {key: value for key, value in {**state["numbers"], **arrays}.items() if key.startswith("buffer.")}
        if "lambda_override" in state:  # where version 0.1 kept it
            buffer["buffer.sampler.lambda_override"] = state["lambda_override"]
        self.buffer.load_state_dict({key.removeprefix("buffer."): value for key, value in buffer.items()}, sampler=sampler)
        if not sampler:
            self.buffer.add_to_sampler()
        self.buffer.cut_episodes()  # every environment starts a new episode


class Resuming:
    """Makes a run stand where its checkpoint does, in memory and in the store.

    Args:
        run_id: the run.
        learned: what takes over the checkpoint.
        store: where the run is; rolled back to the checkpoint.
        folder: where its checkpoints are, for messages.
        losses: gets what could not be resumed, in words.
    """

    def __init__(self, run_id: int, learned: Learned, store: Store, folder: Path, losses: list[str]) -> None:
        self._run_id, self._learned, self._store, self._folder, self._losses = run_id, learned, store, folder, losses

    def resume(self, loaded: Loaded) -> bool:
        """Take over the run's own checkpoint; whether it holds a run that had finished.

        Raises:
            CheckpointError: it is of other settings or another version.
        """
        state, tensors, arrays = loaded
        self._check_settings(state)
        if state.get("step") == 0:  # nothing has been learned, so a new start is the same
            self._store.rollback_run(self._run_id, 0)
            return False
        try:
            self._learned.take(state, tensors, arrays)
            self._learned.evaluation_due = bool(state.get("evaluation_due", False))
            next_number, prompt_id, pending = state["recorder"]["next_number"], state["prompt_id"], list(state["pending"])
        except (LookupError, TypeError, ValueError, AttributeError) as error:  # names, shapes or types differ
            raise CheckpointError(
                f"the checkpoint at step {state.get('step')} lacks something that this version needs "
                f"({type(error).__name__}: {error}) and cannot be resumed; {self._ways_out()}"
            ) from error
        self.take_up_clips(self._prompt_of(prompt_id), pending, next_number)
        return not state["numbers"]

    def take_up_clips(self, prompt: Prompt, pending: list[int], next_number: int) -> None:
        """Roll the store back, and submit the clips that were open or had no score yet."""
        learned, step = self._learned, self._learned.buffer.next_item_id
        self._store.rollback_run(self._run_id, step, next_number)
        self._take_up_spans(prompt, next_number)
        for clip in learned.recorder.close_open():
            learned.labelling.submit(clip)
        if missing := learned.labelling.resume(prompt, pending, self._store):
            self._losses.append(
                f"{missing} clips that were pending at step {step} are missing from the store; training continues without them"
            )

    def _take_up_spans(self, prompt: Prompt, next_number: int) -> None:
        """Tell the counter of draws which clips the buffer's items are in, with the labels of the run's own scorer."""
        learned, config = self._learned, self._learned.config
        if learned.labelling.draws is None:
            return
        oldest = learned.buffer.next_item_id - len(learned.buffer)
        spans = self._store.clip_spans([*learned.sources, (self._run_id, next_number)], oldest)
        if config.scorer is not None:
            asked = prompt.prompt_id if reads_prompt(config.scorer) else None
            labels = {
                score.clip_id: score.label
                for run_id, _ in learned.sources
                for score in self._store.scores_of_run(run_id, config.scorer, asked)
                if score.prompt_id == asked  # not what a control scorer said about other missions
            }
            spans = [span._replace(label=labels.get(span.clip_id, span.label)) for span in spans]
        learned.labelling.draws.take_up(spans)

    def _ways_out(self) -> str:
        return f"start a new run, or put this run's own checkpoint back into {self._folder}"

    def _check_settings(self, state: dict[str, Any]) -> None:
        saved, ours = state.get("settings", {}), _settings(self._learned.config)  # earlier versions saved none
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
        ours = self._learned.labelling.prompt
        try:
            return self._store.prompt(prompt_id)
        except NotFoundError:
            self._losses.append(f"prompt {prompt_id} is not in the store; training continues with {ours.text!r}")
            return ours


def _settings(config: TrainConfig) -> dict[str, Any]:
    """The settings that a checkpoint's contents depend on."""
    return config.model_dump(mode="json", exclude=_MAY_DIFFER)


def check_pictures(run: RunSummary, render_spec: Mapping[str, Any]) -> None:
    """Check that this version keeps a run's clips in the way that its row says.

    Raises:
        CheckpointError: it does not: of environments that are not MiniGrid's or Gymnasium's own, earlier versions kept states.
    """
    before, now = run.render_spec.get("kind"), render_spec.get("kind")
    if before is not None and before != now:
        raise CheckpointError(
            f"run {run.run_id} was created by a different version, which kept clips of {run.config['env']} as {before!r} and not "
            f"as {now!r}, and cannot be resumed; its clips can still be watched. Start a new run"
        )
