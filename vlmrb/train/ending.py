"""The end of a run, and what becomes of it while the store is busy."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from vlmrb.checkpoint import remove_older
from vlmrb.errors import StoreBusyError, StoreError, StoreFullError, StoreUnavailableError, VlmrbError
from vlmrb.store import RunWriter
from vlmrb.train import outage
from vlmrb.train.outage import Outage
from vlmrb.types import RunStatus


class Ending:
    """Brings the last rows, the last checkpoint and the final status to the store, or keeps them in the run's folder.

    Args:
        run_id: the run.
        folder: of its checkpoints.
        writer: holds its last rows.
        outage: tries what needs the store.
        checkpoint: writes a checkpoint of a run with this status; `store`: after everything before it is in the store.
        report_progress: called while waiting.
    """

    def __init__(
        self,
        run_id: int,
        folder: Path,
        writer: RunWriter,
        outage: Outage,
        checkpoint: Callable[[RunStatus, bool], None],
        report_progress: Callable[[], None],
    ) -> None:
        self._run_id, self._folder, self._writer, self._outage = run_id, folder, writer, outage
        self._checkpoint, self._report_progress = checkpoint, report_progress
        self._unwritten = folder.parent / "unwritten.jsonl"
        self._gives_up_at: float | None = None
        self.in_haste = False
        """Whether whoever ends the run does not wait long."""
        self.kept = ""
        """What is in the run's folder, in words, if the store did not take the end of the run."""

    @property
    def patience_s(self) -> float:
        """How long the end of the run waits for what it needs."""
        return outage.INTERRUPTED_WAIT_S if self.in_haste else outage.FINAL_WAIT_S

    def take_back(self) -> None:
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

    def save(self, status: RunStatus, step: int) -> None:
        """The last rows and checkpoint. If the store is busy, they go to the run's folder, and then it waits for the store.

        Raises:
            StoreBusyError: it waited in vain. The run can be resumed once the store is back.
        """
        if self._outage.attempt(lambda: self._checkpoint(status, True)):
            return
        self.keep_in_folder(status, step)

        def hand_over() -> None:
            self._writer.take_back(self._unwritten)
            self._checkpoint(status, True)

        if not self._wait_for_store(hand_over):
            raise StoreBusyError(f"{self._outage.reason}; run {self._run_id} ended at step {step} without it")
        self.kept = ""

    def keep_in_folder(self, status: RunStatus, step: int) -> str:
        """Save rows and a checkpoint without the store; says in words what became of them."""
        if status == "finished":  # without the store, nobody learns of it: the run is to be resumed
            status = "interrupted"
        try:
            self._writer.set_aside(self._unwritten)
            self._checkpoint(status, False)
        except (VlmrbError, OSError) as error:
            self.kept = f"nor could a checkpoint be written at step {step} ({error})"
        else:
            self.kept = (
                f"a checkpoint at step {step} and the rows that the store did not take are in {self._folder.parent}; "
                f"once the store is back, resume with: python -m vlmrb train --resume {self._run_id}"
            )
        return self.kept

    def record(self, status: RunStatus, record: Callable[[], None]) -> None:
        """Do `record`, which stores how the run ended, as soon as the store takes it.

        Raises:
            VlmrbError: it does not, and the run did not fail: of a failure, its first error is worth more.
        """

        def make_room_and_record() -> None:
            try:
                record()
            except StoreFullError:
                if not remove_older(self._folder):
                    raise
                record()

        try:
            if not self._wait_for_store(make_room_and_record) and status != "failed":
                raise StoreBusyError(f"{self._outage.reason}; run {self._run_id} ended as {status!r}, which was not recorded")
        except VlmrbError:
            if status != "failed":  # otherwise report the first error; the run of a dead process reads as interrupted
                raise

    def _wait_for_store(self, work: Callable[[], object]) -> bool:
        """Attempt the work until it is done, or the time that an ended run waits for its store is up; whether it is done."""
        while not self._outage.attempt(work):
            now = time.monotonic()
            self._gives_up_at = min(self._gives_up_at or now + self.patience_s, now + self.patience_s)
            if now >= self._gives_up_at:
                return False
            self._outage.say(f"the run has ended and waits for it, at most {outage.FINAL_WAIT_S:g} s")
            self._report_progress()
            time.sleep(0.2)
        return True
