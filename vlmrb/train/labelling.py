"""A clip's way to its label: stored, queued for the scoring process, and its answer counted and stored."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from vlmrb.agents import Agent
from vlmrb.config import TrainConfig
from vlmrb.envs import make_renderer
from vlmrb.errors import ScorerError
from vlmrb.metrics import Counters, MeanMetrics
from vlmrb.replay import ReplayBuffer
from vlmrb.scoring import ScorerOptions, ScoringWorker, make_scorer, picture_notice, prompt_notice
from vlmrb.store import RunWriter, Store
from vlmrb.types import Clip, ClipReplay, ClipScore, Prompt, RunCounters

FINAL_SCORES_S = 120.0
"""How long a finished run waits for the scores of its last clips."""


class Labelling:
    """Clips of one run on their way to a label; only stores them where the run has no scorer.

    Args:
        config: scorer, its options, and what to do when it fails.
        render_spec: how the run's snapshots become frames.
        prompt: the stored prompt to ask.
        buffer: knows how likely the items of a clip are to be drawn.
        agent: knows their TD errors.
        writer: stores clips and scores.
        counters, metrics: count.

    Raises:
        ScorerError: the scorer cannot be made.
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
    ) -> None:
        self._config, self._buffer, self._agent, self._writer = config, buffer, agent, writer
        self._counters, self._metrics = counters, metrics
        self.prompt = prompt
        self.failure = ""
        """Why there are no new scores any more, or ''."""
        self._pictures = "" if config.scorer is None else picture_notice(config.scorer, render_spec)
        self.notice = self._notice()
        """What the model can make nothing of: the frames, or words of the prompt; or ''."""
        self._dropped_before = 0
        self.worker = self._start(render_spec)

    def _start(self, render_spec: dict[str, Any]) -> ScoringWorker | None:
        config = self._config
        if config.scorer is None:
            return None
        return ScoringWorker(
            partial(make_scorer, config.scorer, ScorerOptions.of(config)),
            partial(make_renderer, render_spec),
            self.prompt,
            batch_size=config.scoring_batch_size,
            queue_size=config.scoring_queue_size,
        )

    def submit(self, clip: Clip) -> None:
        """Store a new clip and queue it for scoring; never waits."""
        self._counters.clips += 1
        if self._config.keep_clips:
            self._writer.add_clip(clip)
        if self.worker is not None:
            self.worker.submit(clip)

    def drain(self) -> list[tuple[Clip, ClipScore]]:
        """Scores that have come in; with sync_scoring, waits for all.

        Raises:
            ScorerError: scoring has failed, and the run is to stop then.
        """
        return self._collect(wait=self._config.sync_scoring)

    def finish(self) -> list[tuple[Clip, ClipScore]]:
        """Wait for the last scores, but no longer than FINAL_SCORES_S."""
        return self._collect(wait=True, timeout_s=FINAL_SCORES_S)

    def _collect(self, wait: bool, timeout_s: float | None = None) -> list[tuple[Clip, ClipScore]]:
        if self.worker is None:
            return []
        try:
            return self.worker.drain(wait, timeout_s)
        except ScorerError as error:
            if self._config.on_scorer_failure == "stop":
                raise
            step = self._buffer.next_item_id
            self.failure = f"scoring failed at step {step}; training continues without new scores: {error}"
            return []

    def record(self, scored: list[tuple[Clip, ClipScore]], stale: list[int]) -> None:
        """Count and store scores whose labels the buffer has taken, with what replay makes of the clips now.

        Args:
            scored: clips and what the scorer said of them.
            stale: how many items of each clip had been overwritten by then.
        """
        if not scored:
            return
        for (_, score), missed in zip(scored, stale, strict=True):
            self._count(score, missed)
            self._metrics.add("scoring/latency_s", score.latency_s)
            if self._config.keep_clips:
                self._writer.add_score(score)
        if self._config.keep_clips:
            for replay in replay_of([clip for clip, _ in scored], self._buffer, self._agent):
                self._writer.add_clip_replay(replay)

    def _count(self, score: ClipScore, stale: int) -> None:
        self._counters.clips_scored += 1
        if score.label is None:
            self._counters.unknown += 1
        else:
            self._counters.positive += score.label
            self._counters.stale += stale > 0

    def set_prompt(self, prompt: Prompt) -> None:
        """Ask this of clips submitted from now on."""
        self.prompt = prompt
        self.notice = self._notice()
        if self.worker is not None:
            self.worker.set_prompt(prompt)

    def _notice(self) -> str:
        return self._pictures or ("" if self._config.scorer is None else prompt_notice(self._config.scorer, self.prompt.text))

    @property
    def pending(self) -> list[int]:
        """Ids of the clips that have no score yet."""
        return [clip.clip_id for clip in self.worker.pending] if self.worker is not None else []

    def counters(self) -> RunCounters:
        """The run's counters, with what the scoring process adds to them."""
        worker = self.worker
        dropped = self._dropped_before + (worker.dropped if worker is not None else 0)
        backlog = worker.backlog if worker is not None else 0
        counted = replace(self._counters, dropped=dropped)
        return counted.taken(backlog=backlog, scoring_error=self.failure, prompt_notice=self.notice)

    def resume(self, prompt: Prompt, clip_ids: list[int], store: Store) -> None:
        """Clips without a score at the checkpoint take the score that was stored after it, or are submitted again."""
        self._dropped_before = self._counters.dropped
        self.set_prompt(prompt)
        if self.worker is None or not self._config.keep_clips:
            return
        for clip_id in clip_ids:
            clip = store.load_clip(clip_id)
            scores = [score for score in store.scores(clip_id) if score.scorer == self._config.scorer]
            if scores:
                self._count(scores[-1], self._buffer.apply_label(clip.item_ids, scores[-1].label))
            else:
                self.worker.submit(clip)

    def close(self) -> None:
        """End the scoring process."""
        if self.worker is not None:
            self.worker.close()


def replay_of(clips: list[Clip], buffer: ReplayBuffer, agent: Agent) -> list[ClipReplay]:
    """What replay makes of clips now, by those of their transitions that it still holds; without any, a clip is left out.

    All of them go through the networks at once. Nothing is learned or drawn.
    """
    item_ids = np.concatenate([clip.item_ids for clip in clips])
    clip_of = np.repeat(np.arange(len(clips)), [len(clip) for clip in clips])
    held = buffer.holds(item_ids)
    if not held.any():
        return []
    clip_of, (batch, parts) = clip_of[held], buffer.look_up(item_ids[held])

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(clip_of, values, minlength=len(clips))

    counts, td_errors = np.bincount(clip_of, minlength=len(clips)), total(np.abs(agent.td_errors(batch)))
    step, weight, vlm, other = buffer.next_item_id, parts.vlm_weight, total(parts.vlm), total(parts.other)
    return [
        ClipReplay(clip.clip_id, step, float(td_errors[i] / counts[i]), weight, float(vlm[i]), float(other[i]))
        for i, clip in enumerate(clips)
        if counts[i]
    ]
