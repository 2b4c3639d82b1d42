"""What every place can do, and what it has."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vlmrb.checkpoint import Loaded

RESUME = "checkpoints"
"""The checkpoints that a run resumes from."""

PARENT = "parent"
"""The one that a branch starts from."""

Tell = Callable[[str], None]


class Place(Protocol):
    """Where the checkpoints of one run are, by kind: RESUME, PARENT, or those kept for a moment (`vlmrb.kept`).

    Attributes:
        folder: on this machine; each kind has a subfolder, into which checkpoints are written.
        name: what people know the place by.
        notice: what is wrong with it at the moment, or ''.
    """

    folder: Path

    @property
    def name(self) -> str: ...

    @property
    def notice(self) -> str: ...

    def begin(self) -> None:
        """A process is about to train the run: bring what an earlier one left behind for it onto this machine.

        Raises:
            CheckpointError: the place cannot be used from here.
        """

    def checkpoints(self, kind: str) -> list[Found]:
        """What looks like a checkpoint, newest first.

        Raises:
            CheckpointError: the place cannot be read.
        """

    def load(self, kind: str, tell: Tell = lambda _: None) -> Loaded | None:
        """The newest whole checkpoint; None if there is none. Damaged ones that are newer are set aside, and told about.

        Raises:
            CheckpointError: the place or the checkpoint cannot be read, or a newer version wrote it.
        """

    def written(self, kind: str, keep: int, max_bytes: int | None = None) -> None:
        """A checkpoint was written into the kind's folder: keep so many there, and of these what has room; never blocks."""

    def finish(self, patience_s: float, beat: Callable[[], None] = lambda: None) -> str:
        """Wait until everything that was written is in the place; what went wrong in words, or ''.

        Args:
            patience_s: how long to try.
            beat: called several times a second meanwhile.
        """

    def add(self, kind: str, found: Found) -> None:
        """Make a checkpoint of any place one of this place too.

        Raises:
            CheckpointError: it is damaged or has just been removed, or the new one cannot be written.
        """

    def drop_after(self, kind: str, step: int) -> None:
        """Remove those of a kind that are of later steps.

        Raises:
            CheckpointError: the place cannot be reached.
        """

    def forget(self, kind: str) -> None:
        """Remove all of a kind.

        Raises:
            CheckpointError: the place cannot be reached.
        """

    def delete(self) -> None:
        """Remove everything of the run.

        Raises:
            CheckpointError: it cannot be removed.
        """

    def read(self, found: Found, name: str) -> bytes:
        """A file of a checkpoint.

        Raises:
            CheckpointError, OSError: it cannot be read.
        """

    def local(self, found: Found, scratch: Path) -> Path:
        """A folder on this machine with the checkpoint's files; copied to `scratch` if they are elsewhere.

        Raises:
            CheckpointError: it cannot be copied.
        """


@dataclass(frozen=True)
class Found:
    """A checkpoint; whether it is damaged has not been looked at.

    Attributes:
        place: where it is.
        kind: which of the run's.
        step: of the run.
        name: its folder within the kind.
        sizes: bytes by file.
    """

    place: Place
    kind: str
    step: int
    name: str
    sizes: Mapping[str, int]

    @property
    def path(self) -> str:
        """Its folder or URL."""
        return f"{self.place.name}/{self.kind}/{self.name}"

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(self.sizes.values())

    @property
    def has_buffer(self) -> bool:
        """Whether it holds a replay buffer; that of a finished run does not."""
        return "arrays/buffer.rewards.npy" in self.sizes

    @property
    def has_goals(self) -> bool:
        """Whether its replay buffer holds the goals that were achieved."""
        return "arrays/buffer.achieved_goals.npy" in self.sizes

    def settings(self) -> dict[str, Any]:
        """The settings of the run that wrote it; {} if it is damaged or of a version that saved none.

        Raises:
            CheckpointError: the place cannot be reached.
        """
        try:
            settings = json.loads(self.place.read(self, "state.json")).get("settings", {})
        except (OSError, ValueError, AttributeError):
            return {}
        return settings if isinstance(settings, dict) else {}


def beyond(found: Sequence[Found], keep: int, max_bytes: int | None = None) -> list[Found]:
    """Which of these, newest first, are too many or take too much together; the newest always stays."""
    size, kept = 0, 0
    for each in found:
        size += each.size
        if kept == keep or (kept and max_bytes is not None and size > max_bytes):
            break
        kept += 1
    return list(found[kept:])
