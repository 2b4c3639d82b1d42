"""Keeps the checkpoints that branches start from."""

from __future__ import annotations

from vlmrb.errors import CheckpointError
from vlmrb.kept import MAX_BYTES, MAX_COUNT, MOMENTS, bounds_of, kind_of
from vlmrb.moments import EVERY, SUCCESSES, Moments
from vlmrb.places import Place
from vlmrb.train.resuming import Learned


class Keeping:
    """Writes a checkpoint at the end of the step that a moment of the run is in (`vlmrb.moments`).

    It holds the whole buffer, and the run never resumes from it, so that a busy store does not delay it. If it cannot be
    written, the run goes on and says so.

    Args:
        place: of the run's checkpoints.
        learned: what is saved.
    """

    def __init__(self, place: Place, learned: Learned) -> None:
        self._place, self._learned = place, learned
        self._moments = Moments.parse(learned.config.keep_checkpoints)
        self._successes = 0
        self._regular: set[int] = set()
        self.notice = ""
        """Which kept checkpoints are missing, and why; or ''."""

    def begin(self, step: int) -> None:
        """The run starts or resumes at this step: what it kept later than that is to come again.

        Raises:
            CheckpointError: the place cannot be reached.
        """
        for moment in MOMENTS:
            self._place.drop_after(kind_of(moment), step)
        for moment in (*self._moments.successes, *([EVERY] if self._moments.every else [])):
            self._place.written(kind_of(moment), *bounds_of(moment))  # by an earlier process, which could not send it
        self._regular = self._regular_steps() if self._moments.every else set()
        self._successes = self._learned.successes

    def due(self, before: int, now: int) -> list[str]:
        """The moments that the steps from `before` to `now` brought."""
        successes, seen = self._learned.successes, self._successes
        self._successes = successes
        every = self._moments.every
        regular = [EVERY] if every is not None and before // every != now // every else []
        return [name for name in self._moments.successes if seen < SUCCESSES[name] <= successes] + regular

    def keep(self, moment: str) -> None:
        """Write the checkpoint of a moment that is now."""
        kind, (count, size) = kind_of(moment), bounds_of(moment)
        try:
            self._learned.save(self._place.folder / kind, keep=count)
            self._place.written(kind, count, size)
            if moment == EVERY:
                self._tell_of_removed()
        except CheckpointError as error:
            self.notice = str(error)

    def _tell_of_removed(self) -> None:
        """Of a place that checkpoints are sent to in the background, it may be one checkpoint late."""
        steps = self._regular_steps()
        if gone := self._regular - steps:
            self.notice = (
                f"of the checkpoints kept every {self._moments.every} steps, the oldest are removed: at most {MAX_COUNT} and "
                f"{MAX_BYTES // 2**30} GiB are kept (last removed: step {max(gone)})"
            )
        self._regular = steps

    def _regular_steps(self) -> set[int]:
        return {each.step for each in self._place.checkpoints(kind_of(EVERY))}
