"""A folder in an object store or on a file server, through fsspec: whole files, and errors in words."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vlmrb.addresses import without_secrets
from vlmrb.errors import CheckpointError

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
_TRIES = 3
_SILENCE_S = 60.0  # after which a file server counts as away
_S3 = {"max_concurrency": 3, "config_kwargs": {"connect_timeout": 5, "read_timeout": 30, "retries": {"max_attempts": 1}}}
_SSH = {"timeout": 10, "banner_timeout": 10, "auth_timeout": 30}
_OPTIONS: Mapping[str, Mapping[str, Any]] = {"s3": _S3, "s3a": _S3, "sftp": _SSH, "ssh": _SSH}
"""What the libraries are told beyond what they read from the environment: else a silent server holds a run up for minutes, and
large files take half a gigabyte of memory each while they are sent."""


class Remote:
    """A folder somewhere. Connects when it is first used; any thread may use it, and gets a connection of its own where it must.

    Args:
        url: of the folder, which need not exist; its bucket has to.
    """

    def __init__(self, url: str) -> None:
        self.url, self._scheme = url, url.partition("://")[0]
        self._shared: Any = None
        self._of_thread = threading.local()

    def files(self, folder: str = "") -> dict[str, int]:
        """All files in a folder, by name, with their bytes.

        Raises:
            CheckpointError: it cannot be read.
        """
        with self._words("read") as store:
            root = self._path(folder)
            try:
                found = store.find(root, detail=True)
            except FileNotFoundError:
                if self._scheme in _EXTRAS:  # in an object store an empty folder is no error, and a missing bucket is
                    raise
                return {}
            names = {str(path).removeprefix(root).lstrip("/"): int(about["size"] or 0) for path, about in found.items()}
            return {name: size for name, size in names.items() if name}

    def read(self, name: str) -> bytes | None:
        """A small file; None if it does not exist.

        Raises:
            CheckpointError: it cannot be read.
        """
        with self._words("read") as store:
            try:
                return bytes(store.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def get(self, files: Mapping[str, Path]) -> None:
        """Copy files to this machine: name there → path here, whose folder exists.

        Raises:
            CheckpointError: one cannot be copied.
        """
        with self._words("read") as store:
            store.get([self._path(name) for name in files], [str(path) for path in files.values()])

    def put(self, files: Mapping[str, Path]) -> None:
        """Copy files from this machine: name there → path here. In an object store, a file is there as a whole or not at all.

        Raises:
            CheckpointError: one cannot be written.
        """
        with self._words("written to") as store:
            self._make_folders(store, files)
            store.put([str(path) for path in files.values()], [self._path(name) for name in files])

    def copy(self, source: Remote, files: Mapping[str, str]) -> None:
        """Copy files from another folder of the same store, without this machine where the store can do that: from → to.

        Raises:
            CheckpointError: one cannot be copied.
        """
        with self._words("written to") as store:
            self._make_folders(store, files.values())
            store.copy([source._path(name) for name in files], [self._path(name) for name in files.values()])

    def shares_store_with(self, other: Remote) -> bool:
        """Whether `copy` can copy from it; SFTP's library cannot copy.

        Raises:
            CheckpointError: its library is missing, or it cannot be reached.
        """
        from fsspec.asyn import AsyncFileSystem
        from fsspec.spec import AbstractFileSystem

        store = self._store()
        copies = isinstance(store, AsyncFileSystem) or type(store).cp_file is not AbstractFileSystem.cp_file
        return self._scheme == other._scheme and copies

    def move(self, name: str, target: str) -> None:
        """Rename a small file.

        Raises:
            CheckpointError: it cannot be renamed.
        """
        with self._words("written to") as store:
            store.mv(self._path(name), self._path(target))

    def remove_file(self, name: str) -> None:
        """Remove a file, if it exists.

        Raises:
            CheckpointError: it cannot be removed.
        """
        with self._words("written to") as store, suppress(FileNotFoundError):
            store.rm_file(self._path(name))

    def remove(self, folder: str = "") -> None:
        """Remove a folder with everything in it, if it exists.

        Raises:
            CheckpointError: it cannot be removed.
        """
        with self._words("written to") as store, suppress(FileNotFoundError):
            store.rm(self._path(folder), recursive=True)

    def try_out(self) -> None:
        """Write a small file, read it and remove it.

        Raises:
            CheckpointError: that does not work.
        """
        name, said = f".tried-{uuid.uuid4().hex}", b"a file by which vlmrb sees whether it can write here; it may be removed"
        with TemporaryDirectory() as folder:
            file = Path(folder) / "tried"
            file.write_bytes(said)
            self.put({name: file})
        found = self.read(name)
        self.remove_file(name)
        if found != said:
            raise CheckpointError(f"{self.url} does not give back what was written to it; use another place")

    def _make_folders(self, store: Any, names: Iterable[str]) -> None:
        """An object store has none, and some would make a bucket of it."""
        if self._scheme not in _EXTRAS:
            for folder in sorted({self._path(name).rpartition("/")[0] for name in names}):
                store.makedirs(folder, exist_ok=True)

    def _path(self, name: str) -> str:
        root = str(self._store()._strip_protocol(self.url)).rstrip("/")
        return f"{root}/{name}".rstrip("/")

    def _store(self) -> Any:
        """The file system.

        Raises:
            CheckpointError: its library is missing or refuses its settings.
        """
        opened = self._shared or getattr(self._of_thread, "opened", None)
        if opened is None:
            import fsspec
            from fsspec.asyn import AsyncFileSystem

            try:
                kind = fsspec.get_filesystem_class(self._scheme)
                of_url = kind._get_kwargs_from_urls(self.url)  # such as the host of sftp://
                for_all = issubclass(kind, AsyncFileSystem)  # the others' connections are for one thread
                options = {**of_url, **_OPTIONS.get(self._scheme, {})}
                opened = kind(**options, skip_instance_cache=not for_all)
                if self._scheme in ("sftp", "ssh"):
                    opened.ftp.get_channel().settimeout(_SILENCE_S)
            except ImportError as error:
                extra = _EXTRAS.get(self._scheme)
                way_out = f"pip install 'vlmrb[{extra}]'" if extra else str(error)
                raise CheckpointError(f"{self.url} needs a library that is not installed: {way_out}") from error
            except Exception as error:  # whatever a library makes of its settings
                raise self._failure("opened", error) from error
            opened.dircache.use_listings_cache = False  # others write there, too; not every library takes it as an option
            if hasattr(opened, "retries"):  # of s3fs and gcsfs, with pauses in between
                opened.retries = _TRIES
            if for_all:
                self._shared = opened
            else:
                self._of_thread.opened = opened
        return opened

    @contextmanager
    def _words(self, what: str) -> Iterator[Any]:
        """The file system; whatever a library raises becomes a CheckpointError that says what cannot be done and why."""
        store = self._store()
        try:
            yield store
        except CheckpointError:
            raise
        except Exception as error:  # the libraries of object stores have errors of their own
            self._of_thread.opened = None  # its connection may be broken
            raise self._failure(what, error) from error

    def _failure(self, what: str, error: Exception) -> CheckpointError:
        words = without_secrets(" ".join(str(error).split()))[:300] or type(error).__name__
        kind = type(error).__name__
        if isinstance(error, PermissionError) or "Credentials" in kind or "Token" in kind:
            way_out = "check the credentials in the environment or the library's configuration file, and what they allow"
        elif isinstance(error, FileNotFoundError):
            way_out = "create the bucket or folder, or correct its name"
        elif isinstance(error, NotImplementedError):
            words, way_out = words if str(error) else "not possible with this protocol", "use another place"
        else:
            way_out = "see that it is reachable and has room"
        return CheckpointError(f"{self.url} cannot be {what} ({words}); {way_out}")
