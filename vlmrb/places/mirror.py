"""An object store or file server as a place for checkpoints.

Under the place's URL:

    holder                              which process has the run, so that one that has lost it neither writes nor is believed
    unwritten.jsonl                     rows that the database did not take when the run ended
    checkpoints/step-000000050000-1f2e3d4c5b6a7988/
        state.json  tensors.pt  arrays/*.npy
        SHA256SUMS                      written last: a folder without it is no checkpoint
    kept/<moment>/step-…    parent/step-…

The last part of a folder's name is the start of the SHA-256 of its SHA256SUMS. So a name stands for its bytes: what is there
already is not sent again, nothing whole is ever overwritten, and half a SHA256SUMS is noticed. On this machine, the run's own
folder holds checkpoints as `vlmrb.checkpoint` writes them: those that are yet to be sent, and the newest ones, which are not
fetched again.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from vlmrb.checkpoint import KEPT, SUMS, DamagedError, Loaded, check, list_checkpoints, load_from, names_in, remove
from vlmrb.errors import CheckpointError
from vlmrb.places.found import RESUME, Found, Tell, beyond
from vlmrb.places.remote import Remote

_NAME = re.compile(r"step-([0-9]{12,})-([0-9a-f]{16})")
_FILE = re.compile(r"[\w.-]+(/[\w.-]+)?")
_DAMAGED = f"{SUMS}.damaged"
_HOLDER = "holder"
_ROWS = "unwritten.jsonl"
_PAUSE_S = 2.0


class _Task(NamedTuple):
    """What is to be sent of a kind, and how much of it is kept."""

    kind: str
    keep: int
    max_bytes: int | None


class Mirror:
    """Checkpoints in a `Remote`, written in a folder of this machine and sent in the background; see `Place`.

    Args:
        folder: of the run, on this machine.
        remote: for the run alone.
    """

    def __init__(self, folder: Path, remote: Remote) -> None:
        self.folder, self.remote = folder, remote
        self._reason = ""
        self._lock = threading.Lock()
        self._due: dict[str, _Task] = {}
        self._thread: threading.Thread | None = None
        self._holder = ""
        self._lost = False
        self._sent_rows = False

    @property
    def name(self) -> str:
        return self.remote.url

    @property
    def notice(self) -> str:
        if not self._reason or self._lost:
            return self._reason
        return f"{self._reason}. Training continues, and its checkpoints are sent with the next one"

    # -- reading

    def checkpoints(self, kind: str) -> list[Found]:
        by_name: dict[str, dict[str, int]] = {}
        for file, size in self.remote.files(kind).items():
            folder, _, name = file.partition("/")
            by_name.setdefault(folder, {})[name] = size
        whole = [(match, sizes) for folder, sizes in by_name.items() if SUMS in sizes and (match := _NAME.fullmatch(folder))]
        return [
            Found(self, kind, int(match[1]), match[0], sizes)
            for match, sizes in sorted(whole, key=lambda each: (int(each[0][1]), each[0][0]), reverse=True)
        ]

    def read(self, found: Found, name: str) -> bytes:
        content = self.remote.read(f"{found.kind}/{found.name}/{name}")
        if content is None:
            raise FileNotFoundError(f"{found.path}/{name}")
        return content

    def begin(self) -> None:
        theirs, mine = self.remote.read(_HOLDER), self._own_holder()
        rows = self.folder / _ROWS
        if theirs is not None and theirs.decode(errors="replace") != mine:  # another machine has trained the run since
            shutil.rmtree(self.folder / RESUME, ignore_errors=True)
            rows.unlink(missing_ok=True)
        if not rows.exists() and (content := self.remote.read(_ROWS)) is not None:
            rows.parent.mkdir(parents=True, exist_ok=True)
            rows.write_bytes(content)
            self._sent_rows = True

    def load(self, kind: str, tell: Tell = lambda _: None) -> Loaded | None:
        """As in `Place`; for RESUME, this process holds the run from now on."""
        unsent: list[tuple[int, Found | Path]] = []
        there = self.checkpoints(kind)
        sent = {each.name for each in there}
        for step, path in list_checkpoints(self.folder / kind):
            if _name_there(path) not in sent:
                unsent.append((step, path))
        known: list[tuple[int, Found | Path]] = [*unsent, *((each.step, each) for each in there)]
        loaded = None
        for step, each in sorted(known, key=lambda one: one[0], reverse=True):  # at one step, the unsent one is newer
            try:
                loaded = load_from(each, step) if isinstance(each, Path) else self._fetch_and_load(each)
                break
            except DamagedError as damage:
                tell(self._set_aside(each, str(damage)))
        if kind == RESUME:
            self._hold()
        return loaded

    def _fetch_and_load(self, found: Found) -> Loaded:
        """Load a checkpoint; what this machine has of it is used, if every byte is as it was written.

        Raises:
            DamagedError: it is damaged in the place.
        """
        path = self.folder / found.kind / found.name.rpartition("-")[0]
        for _ in range(2):  # what is here may be damaged, and something may happen on the way
            if _name_there(path) != found.name:
                remove(path)
                self.local(found, path.parent)
            try:
                return load_from(path, found.step)
            except DamagedError as error:
                remove(path)
                damage = error
        raise damage

    def local(self, found: Found, scratch: Path) -> Path:
        sums = self.read(found, SUMS)
        if found.name != _name_of(found.step, sums):
            raise DamagedError(f"{SUMS} has changed")
        names = names_in(sums)
        if wrong := [name for name in names if not _FILE.fullmatch(name) or ".." in name]:
            raise DamagedError(f"{wrong[0]!r} does not belong to it")
        if missing := [name for name in names if name not in found.sizes]:
            raise DamagedError(", ".join(f"{name} is missing" for name in missing[:3]))
        target = scratch / found.name.rpartition("-")[0]
        partial = scratch / f".{target.name}.fetched"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            (partial / "arrays").mkdir(parents=True)
            (partial / SUMS).write_bytes(sums)
            self.remote.get({f"{found.kind}/{found.name}/{name}": partial / name for name in names})
            partial.rename(target)
        except OSError as error:
            raise CheckpointError(
                f"{found.path} cannot be copied to {scratch} ({error.strerror or error}); free some space"
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return target

    def _set_aside(self, each: Found | Path, why: str) -> str:
        """A damaged checkpoint stops being one; says so in words."""
        if isinstance(each, Path):
            remove(each)
            return f"the checkpoint {each} is damaged ({why}) and was removed; it had not been sent to {self.name}"
        words = f"the checkpoint {each.path} is damaged ({why})"
        try:
            self.remote.move(f"{each.kind}/{each.name}/{SUMS}", f"{each.kind}/{each.name}/{_DAMAGED}")
        except CheckpointError as error:
            return f"{words} and was left out; it cannot be set aside ({error})"
        return f"{words} and was set aside: its {SUMS} is now {_DAMAGED}"

    # -- who has the run

    def _own_holder(self) -> str:
        file = self.folder / _HOLDER
        return file.read_text() if file.exists() else ""

    def _hold(self) -> None:
        self._holder = f"{uuid.uuid4().hex}\n"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / _HOLDER).write_text(self._holder)
        self.remote.put({_HOLDER: self.folder / _HOLDER})

    def _check_held(self) -> None:
        theirs = self.remote.read(_HOLDER)
        if self._holder and theirs is not None and theirs.decode(errors="replace") != self._holder:
            self._lost = True
            raise CheckpointError(f"another process trains the run from {self.name} now, so nothing more is sent there")

    # -- writing

    def written(self, kind: str, keep: int, max_bytes: int | None = None) -> None:
        with self._lock:
            self._due[kind] = _Task(kind, keep, max_bytes)
            self._send_in_background()

    def finish(self, patience_s: float, beat: Callable[[], None] = lambda: None) -> str:
        gives_up_at = time.monotonic() + patience_s
        while True:
            thread = self._thread
            while thread is not None and thread.is_alive() and time.monotonic() < gives_up_at:
                thread.join(0.2)
                beat()
            with self._lock:
                if not self._due and not (thread is not None and thread.is_alive()):
                    return ""
            if self._lost:
                return self._reason
            if time.monotonic() >= gives_up_at:
                reason = self._reason or f"{self.name} has not taken the last checkpoint within {patience_s:g} s"
                return (
                    f"{reason}. The newest checkpoint is on this machine only, in {self.folder}; a run that is resumed here "
                    "starts from it"
                )
            resting_until = time.monotonic() + _PAUSE_S
            while self._reason and time.monotonic() < min(resting_until, gives_up_at):
                time.sleep(0.1)
                beat()
            with self._lock:
                self._send_in_background()

    def _send_in_background(self) -> None:
        """The caller holds the lock."""
        if self._due and self._thread is None:
            self._thread = threading.Thread(target=self._send_due, name="checkpoints", daemon=True)
            self._thread.start()

    def _send_due(self) -> None:
        while True:
            with self._lock:
                if not self._due:
                    self._thread = None
                    return
                task = self._due.pop(next(iter(self._due)))
            try:
                self._send(task)
                self._reason = ""
            except Exception as error:  # noqa: BLE001 - whatever it is, training goes on, and people are told
                with self._lock:
                    self._reason = str(error) or type(error).__name__
                    self._due.setdefault(task.kind, task)
                    self._thread = None
                return

    def _send(self, task: _Task) -> None:
        self._check_held()
        here = list_checkpoints(self.folder / task.kind)
        sent = [self._send_one(task.kind, path) for _, path in (here[:1] if task.kind == RESUME else here)]
        if task.kind != RESUME:
            for _, path in here:
                remove(path)
            self._tidy(task)
        elif sent and sent[0]:
            self._send_rows()
            self._tidy(task, sent[0])

    def _send_one(self, kind: str, path: Path) -> str:
        """Send what is not there yet, SHA256SUMS last; its name there, or '' if the run has just replaced it by a newer one."""
        try:
            sums = (path / SUMS).read_bytes()
            step = int(path.name.rpartition("-")[2])
            name = _name_of(step, sums)
            there = self.remote.files(f"{kind}/{name}")
            if SUMS not in there:
                missing = {each: path / each for each in names_in(sums) if there.get(each) != (path / each).stat().st_size}
                if missing:
                    self.remote.put({f"{kind}/{name}/{each}": file for each, file in missing.items()})
                self.remote.put({f"{kind}/{name}/{SUMS}": path / SUMS})
        except (CheckpointError, OSError):
            if path.exists():
                raise
            return ""
        return name

    def _send_rows(self) -> None:
        rows = self.folder / _ROWS
        if rows.exists():
            self.remote.put({_ROWS: rows})
            self._sent_rows = True
        elif self._sent_rows:
            self.remote.remove_file(_ROWS)
            self._sent_rows = False

    def _tidy(self, task: _Task, sent: str = "") -> None:
        """Remove what is beyond the newest ones, what was never finished, and older damaged ones."""
        found = self.checkpoints(task.kind)
        if sent:  # the run stands at this one: what comes after it is of a past that was undone
            step = int(sent.split("-")[1])
            newest = {each.step: each for each in found if each.step < step or each.name == sent}
            kept = [newest[at] for at in sorted(newest, reverse=True)]
            doomed = [each.name for each in found if each not in kept] + [each.name for each in beyond(kept, task.keep)]
        else:
            doomed = [each.name for each in beyond(found, task.keep, task.max_bytes)]
        files = self.remote.files(task.kind)
        folders = {file.partition("/")[0] for file in files}
        damaged = sorted(name for name in folders if f"{name}/{_DAMAGED}" in files)
        unfinished = [name for name in folders if not any(f"{name}/{each}" in files for each in (SUMS, _DAMAGED))]
        for name in (*doomed, *damaged[:-KEPT], *unfinished):
            self._remove(task.kind, name)

    def add(self, kind: str, found: Found) -> None:
        if isinstance(found.place, Mirror) and self.remote.shares_store_with(found.place.remote):
            source, target = f"{found.kind}/{found.name}", f"{kind}/{found.name}"
            others = {f"{source}/{name}": f"{target}/{name}" for name in found.sizes if name != SUMS}
            self.remote.copy(found.place.remote, others)
            self.remote.copy(found.place.remote, {f"{source}/{SUMS}": f"{target}/{SUMS}"})
            return
        scratch = self.folder / f".{kind}"
        try:
            path = found.place.local(found, scratch)
            check(path)
            self._send_one(kind, path)
        except (OSError, DamagedError) as error:
            raise CheckpointError(f"the checkpoint {found.path} cannot be taken over: {error}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _remove(self, kind: str, name: str) -> None:
        self.remote.remove_file(f"{kind}/{name}/{SUMS}")  # first, so that no half of it is taken for a whole
        self.remote.remove(f"{kind}/{name}")

    def drop_after(self, kind: str, step: int) -> None:
        for at, path in list_checkpoints(self.folder / kind):
            if at > step:
                remove(path)
        for each in self.checkpoints(kind):
            if each.step > step:
                self._remove(kind, each.name)

    def forget(self, kind: str) -> None:
        self.drop_after(kind, -1)

    def delete(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.remote.remove()


def _name_of(step: int, sums: bytes) -> str:
    return f"step-{step:012d}-{hashlib.sha256(sums).hexdigest()[:16]}"


def _name_there(path: Path) -> str:
    """What a checkpoint of this machine is called in the place; '' if there is none."""
    try:
        return _name_of(int(path.name.rpartition("-")[2]), (path / SUMS).read_bytes())
    except (OSError, ValueError):
        return ""
