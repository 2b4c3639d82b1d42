"""Run stored clips through a scorer in a separate process."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from vlmrb.envs import make_renderer
from vlmrb.errors import ConfigError, NotFoundError, StoreBusyError
from vlmrb.panels import reads_prompt
from vlmrb.scoring import Asker, ScorerOptions, ScoringWorker, make_scorer, picture_kind
from vlmrb.store import Store, patiently
from vlmrb.types import PLACEHOLDERS, ClipScore, ClipSummary, Prompt

BATCH_SIZE = 8
_STORE_EVERY_S = 0.5
_WAIT_S = 0.05  # between polls of the scorer
_READ_AT_ONCE = 64  # clips
_AHEAD_BYTES = 256 * 2**20  # of clips submitted but not yet answered: large frames must not fill the memory
_PAGE = 1_000  # clip summaries read at a time


def check_missions(prompt: Prompt, scorer: str, clips: Iterable[ClipSummary]) -> None:
    """Check that every clip can be asked a prompt that is about its mission or goal.

    Raises:
        ConfigError: some do not say what their episode is about.
    """
    if not prompt.needs_mission or not reads_prompt(scorer):
        return
    if without := sorted({clip.run_id for clip in clips if not clip.mission}):
        whose = f"run{'s' * (len(without) > 1)} {', '.join(map(str, without[:8]))}{', …' * (len(without) > 8)}"
        raise ConfigError(
            f"prompt: it asks about the mission or goal, and clips of {whose} do not say what their episodes are about; leave "
            f"out {' and '.join(PLACEHOLDERS)}, or choose other runs"
        )


@dataclass(frozen=True, slots=True)
class ScoringProgress:
    """How far scoring has got."""

    done: int
    total: int
    positive_rate: float | None  # fraction of yes among the known answers
    clips_per_second: float

    def __str__(self) -> str:
        yes = "–" if self.positive_rate is None else f"{100 * self.positive_rate:.0f} %"
        return f"yes {yes}, {self.clips_per_second:.3g} clips/s"


def choose_clips(store: Store, run_id: int, limit: int | None = None) -> list[ClipSummary]:
    """The clips of a run that count, oldest first; at most `limit`, evenly spaced over the run.

    Raises:
        NotFoundError: the run does not exist or has no clips.
    """
    store.run(run_id)
    clips: list[ClipSummary] = []
    while page := store.clips(run_id, limit=_PAGE, after=clips[-1].clip_id if clips else None, order="oldest"):
        clips += page
    if not clips:
        raise NotFoundError(f"run {run_id} has no stored clips; a run with --keep-clips none stores none")
    if limit is None or limit >= len(clips):
        return clips
    return [clips[i] for i in np.linspace(0, len(clips) - 1, limit).round().astype(int)]


def score_clips(
    store: Store,
    clips: Sequence[ClipSummary],
    scorer: str,
    prompt: Prompt,
    options: ScorerOptions,
    *,
    batch_size: int = BATCH_SIZE,
    on_scores: Callable[[list[ClipScore]], None],
    progress: Callable[[ScoringProgress], None] | None = None,
) -> list[ClipScore]:
    """Score stored clips in a separate process. Storing the scores is up to `on_scores`.

    Args:
        store: holds the clips.
        clips: from any runs. Runs that render differently are scored one after another, reloading the model for each.
        scorer: back-end string.
        prompt: the question.
        options: back-end options.
        batch_size: maximum number of clips per back-end call.
        on_scores: receives new scores about twice a second and at the end; each score once.
        progress: called just as often.

    Returns:
        One score per clip, in order.

    Raises:
        ScorerError: the scorer cannot be created or has failed.
        StoreError: a clip was deleted or is damaged.
    """
    inbox = _Inbox(len(clips), on_scores, progress)
    for recipe, group in _by_recipe(store, clips):
        worker = ScoringWorker(
            partial(
                make_scorer, scorer, replace(options, text=recipe.get("kind") == "text"), Asker(pictures=picture_kind(recipe))
            ),
            partial(make_renderer, recipe),
            prompt,
            batch_size=batch_size,
            queue_size=_queue_size(batch_size),
        )
        try:
            _feed(worker, store, deque(clip.clip_id for clip in group), batch_size, inbox)
        finally:
            worker.close()
    patiently(inbox.flush)
    by_id = {score.clip_id: score for score in inbox.scores}
    return [by_id[clip.clip_id] for clip in clips]


class _Inbox:
    """Collects scores and passes them on periodically, with progress."""

    def __init__(
        self,
        total: int,
        on_scores: Callable[[list[ClipScore]], None],
        progress: Callable[[ScoringProgress], None] | None,
    ) -> None:
        self.scores: list[ClipScore] = []
        self._total, self._on_scores, self._progress = total, on_scores, progress
        self._flushed = 0
        self._started = self._last = time.monotonic()

    def add(self, scores: list[ClipScore]) -> None:
        self.scores += scores
        if time.monotonic() - self._last >= _STORE_EVERY_S:
            with suppress(StoreBusyError):  # the scores are stored next time
                self.flush()

    def flush(self) -> None:
        self._last = time.monotonic()
        if new := self.scores[self._flushed :]:
            self._on_scores(new)
            self._flushed = len(self.scores)
        if self._progress is not None:
            known = [score.label for score in self.scores if score.label is not None]
            rate = len(self.scores) / max(self._last - self._started, 1e-9)
            self._progress(ScoringProgress(len(self.scores), self._total, sum(known) / len(known) if known else None, rate))


def _feed(worker: ScoringWorker, store: Store, waiting: deque[int], batch_size: int, inbox: _Inbox) -> None:
    """Keep the worker busy until every clip is answered, reading clips while it scores."""
    left = len(waiting)
    ahead = _queue_size(batch_size)
    while left:
        free = min(ahead - worker.backlog, _READ_AT_ONCE, len(waiting))
        if free > 0:
            clips = store.load_clips([waiting.popleft() for _ in range(free)])
            largest = max(clip.snapshots.nbytes for clip in clips)
            ahead = max(batch_size, min(_queue_size(batch_size), _AHEAD_BYTES // max(largest, 1)))
            for clip in clips:
                worker.submit(clip)
        more = waiting and worker.backlog < ahead
        answers = worker.drain(wait=not more, timeout_s=_WAIT_S)
        inbox.add([score for _, score in answers])
        left -= len(answers)


def _queue_size(batch_size: int) -> int:
    return max(8 * batch_size, 2 * _READ_AT_ONCE)


def _by_recipe(store: Store, clips: Sequence[ClipSummary]) -> list[tuple[dict[str, Any], list[ClipSummary]]]:
    """Clips grouped by their runs' render recipe."""
    recipes = {run_id: store.run(run_id).render_spec for run_id in {clip.run_id for clip in clips}}
    groups: dict[str, list[ClipSummary]] = {}
    for clip in clips:
        groups.setdefault(json.dumps(recipes[clip.run_id], sort_keys=True), []).append(clip)
    return [(recipes[group[0].run_id], group) for group in groups.values()]
