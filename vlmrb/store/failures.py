"""Translates database errors into those of `vlmrb.errors`: the store's name, the reason, the way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path

import psutil
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from vlmrb.errors import NotFoundError, StoreBusyError, StoreCorruptError, StoreError, StoreFullError, StoreUnavailableError
from vlmrb.store.engine import BUSY_TIMEOUT_MS, describe, sqlite_path

_SECONDS = f"{BUSY_TIMEOUT_MS / 1000:g} s"


@contextmanager
def plain_errors(url: URL) -> Iterator[None]:
    """Turn every database error into a `StoreError`.

    Raises:
        StoreError: the database failed; the message names it, without its password.
    """
    try:
        yield
    except IntegrityError as error:
        raise StoreError(
            f"store: {describe(url)} rejected a row ({_words(error)}): its run or clip was deleted, or the row already exists"
        ) from error
    except DBAPIError as error:
        raise _translate(error, url) from error
    except OverflowError as error:
        raise _too_large(describe(url), str(error)) from error
    except JSONDecodeError as error:
        raise StoreCorruptError(f"store: a row of {describe(url)} is damaged ({error}); restore a backup") from error
    except SQLAlchemyError as error:
        raise StoreError(f"store: {describe(url)} failed: {error}") from error
    except OSError as error:
        raise StoreUnavailableError(f"store: {describe(url)} cannot be used: {error.strerror or error}") from error


def _translate(error: DBAPIError, url: URL) -> StoreError:
    words = _words(error)
    code = str(getattr(error.orig, "sqlite_errorname", None) or "").removeprefix("SQLITE_")
    if code or sqlite_path(url) is not None:
        return _sqlite(code, words, url)
    return _postgresql(str(getattr(error.orig, "sqlstate", None) or ""), words, url)


def _sqlite(code: str, words: str, url: URL) -> StoreError:
    where = describe(url)
    kind = code.partition("_")[0]
    if kind == "FULL" or (kind == "IOERR" and _disk_is_full(url)):
        return _full(where, words)
    if kind in ("CORRUPT", "NOTADB", "FORMAT"):
        return _corrupt(where, words)
    if kind in ("READONLY", "PERM"):
        return StoreUnavailableError(
            f"store: {where} is read-only ({words}); make the file and its folder writable, or use another store"
        )
    if kind in ("BUSY", "LOCKED", "PROTOCOL"):
        return StoreBusyError(f"store: {where} has been locked by another process for {_SECONDS} ({words}); try again")
    if kind == "CANTOPEN":
        return StoreUnavailableError(f"store: {where} cannot be opened ({words}): {_why_not(url)}")
    if words.startswith("no such "):  # a table or column
        return _corrupt(where, words)
    return StoreUnavailableError(f"store: {where} failed: {words}")


def _postgresql(code: str, words: str, url: URL) -> StoreError:
    where = describe(url)
    if code == "22003":
        return _too_large(where, words)
    if code == "53100":
        return _full(where, words)
    if code.startswith("XX") or code in ("42P01", "42703"):  # damaged pages; a table or column is missing
        return _corrupt(where, words)
    if code in ("25006", "42501"):
        return StoreUnavailableError(f"store: {where} is not writable ({words}); use a role that owns the tables")
    if code in ("55P03", "40P01", "40001"):
        return StoreBusyError(f"store: {where} has been locked by another process for {_SECONDS} ({words}); try again")
    if code == "" or code[:2] in ("08", "57", "53", "28", "3D"):
        for_now = code[:2] not in ("28", "3D") and code != "57P04"  # not: login refused, no such database, database dropped
        return (StoreBusyError if for_now else StoreUnavailableError)(
            f"store: {where} cannot be reached ({words}); check the URL, that the server is running and that the database exists"
        )
    return StoreUnavailableError(f"store: {where} failed: {words}")


def _too_large(where: str, words: str) -> NotFoundError:
    return NotFoundError(f"store: {where}: number out of range ({words})")


def _full(where: str, words: str) -> StoreFullError:
    return StoreFullError(f"store: no space left for {where} ({words}); free some, then resume the run")


def _corrupt(where: str, words: str) -> StoreCorruptError:
    return StoreCorruptError(f"store: {where} is not a usable database ({words}); move it away, or restore a backup")


def _words(error: DBAPIError) -> str:
    lines = [line.strip() for line in str(error.orig).splitlines() if line.strip()]
    return lines[0] if lines else type(error.orig).__name__


def _disk_is_full(url: URL) -> bool:
    try:
        return bool(psutil.disk_usage(str((sqlite_path(url) or Path()).parent)).free < 2**20)
    except OSError:
        return False


def _why_not(url: URL) -> str:
    path = sqlite_path(url) or Path()
    if path.is_dir():
        return "it is a folder; name a file in it"
    if not path.parent.is_dir():
        return "its folder does not exist"
    return "the file and its folder must be readable and writable"
