"""A folder of this machine, or one that machines share, as a place for checkpoints."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

from vlmrb.checkpoint import DamagedError, Loaded, link_checkpoint, list_checkpoints, load_checkpoint
from vlmrb.errors import CheckpointError
from vlmrb.places.found import Found, Tell, beyond


class FolderPlace:
    """Checkpoints in a folder, where they are written at once; see `Place`.

    Args:
        folder: one for the run alone; it need not exist.
        within: the folder that people named, which has to exist: it may be shared, and not be mounted here.
    """

    notice = ""

    def __init__(self, folder: Path, within: Path | None = None) -> None:
        self.folder, self._within = folder, within

    @property
    def name(self) -> str:
        return str(self.folder)

    def begin(self) -> None:
        if self._within is not None and not self._within.is_dir():
            raise CheckpointError(
                f"the run's checkpoints are in {self._within}, and there is no such folder on this machine; mount it, then resume"
            )

    def checkpoints(self, kind: str) -> list[Found]:
        return [Found(self, kind, step, path.name, _sizes(path)) for step, path in list_checkpoints(self.folder / kind)]

    def load(self, kind: str, tell: Tell = lambda _: None) -> Loaded | None:
        return load_checkpoint(self.folder / kind, tell)

    def written(self, kind: str, keep: int, max_bytes: int | None = None) -> None:
        for each in beyond(self.checkpoints(kind), keep, max_bytes):
            self._remove(each)

    def finish(self, patience_s: float, beat: Callable[[], None] = lambda: None) -> str:
        return ""

    def add(self, kind: str, found: Found) -> None:
        scratch = self.folder / f".{kind}"
        try:
            link_checkpoint(found.place.local(found, scratch), self.folder / kind)
        except DamagedError as error:
            raise CheckpointError(f"the checkpoint {found.path} cannot be taken over: {error}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def drop_after(self, kind: str, step: int) -> None:
        for each in self.checkpoints(kind):
            if each.step > step:
                self._remove(each)

    def forget(self, kind: str) -> None:
        shutil.rmtree(self.folder / kind, ignore_errors=True)

    def delete(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.folder.exists():
            raise CheckpointError(f"{self.folder} cannot be removed; make it writable, or remove it yourself")

    def read(self, found: Found, name: str) -> bytes:
        return (self._path(found) / name).read_bytes()

    def local(self, found: Found, scratch: Path) -> Path:
        return self._path(found)

    def _remove(self, found: Found) -> None:
        shutil.rmtree(self._path(found), ignore_errors=True)

    def _path(self, found: Found) -> Path:
        return self.folder / found.kind / found.name


def _sizes(path: Path) -> dict[str, int]:
    """Bytes by file; fewer files if the checkpoint is being removed."""
    sizes = {}
    for file in path.rglob("*"):
        with contextlib.suppress(OSError):
            if file.is_file():
                sizes[file.relative_to(path).as_posix()] = file.stat().st_size
    return sizes
