"""Keeps the checkpoints that branches start from."""

from __future__ import annotations

from pathlib import Path

from vlmrb.errors import CheckpointError
from vlmrb.kept import MAX_BYTES, MAX_COUNT, drop_after, drop_oldest, folder_of_moment, kept_checkpoints
from vlmrb.moments import EVERY, SUCCESSES, Moments
from vlmrb.train.resuming import Learned


class Keeping:
    """Writes a checkpoint at the end of the step that a moment of the run is in (`vlmrb.moments`).

    It holds the whole buffer, and the run never resumes from it, so that a busy store does not delay it. If it cannot be
    written, the run goes on and says so.

    Args:
        folder: the run's.
        learned: what is saved.
    """

    def __init__(self, folder: Path, learned: Learned) -> None:
        self._folder, self._learned = folder, learned
        self._moments = Moments.parse(learned.config.keep_checkpoints)
        self._successes = 0
        self.notice = ""
        """Which kept checkpoints are missing, and why; or ''."""

    def begin(self, step: int) -> None:
        """The run starts or resumes at this step: what it kept later than that is to come again."""
        drop_after(self._folder, step)
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
        folder = folder_of_moment(self._folder, moment)
        before = self._steps(moment)
        try:
            self._learned.save(folder, keep=1 if moment != EVERY else MAX_COUNT)
            drop_oldest(self._folder)
        except CheckpointError as error:
            self.notice = str(error)
            return
        if moment == EVERY and (gone := before - self._steps(moment)):
            self.notice = (
                f"of the checkpoints kept every {self._moments.every} steps, the oldest are removed: at most {MAX_COUNT} and "
                f"{MAX_BYTES // 2**30} GiB are kept (last removed: step {max(gone)})"
            )

    def _steps(self, moment: str) -> set[int]:
        return {each.step for each in kept_checkpoints(self._folder) if each.moment == moment}
