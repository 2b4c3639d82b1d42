"""The demo: a store with finished runs, their clips and labels, to look around in before anything has been trained.

It comes as an archive. `python -m app.demo STORE ARCHIVE` makes one from a store whose runs have ended; the shipped one is from
`python -m vlmrb launch --preset quick --keep-checkpoints fifth-success`.
"""

from __future__ import annotations

import argparse
import lzma
import shutil
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

from platformdirs import user_data_path

from vlmrb.assets import asset_path
from vlmrb.errors import StoreError

ARCHIVE = "demo.tar.xz"
STORE = "demo.db"

_HERE = "pid = NULL, pid_started_at = NULL, pid_identity = NULL, host = ''"  # which process it was means nothing elsewhere


def demo_store() -> Path:
    """The store of the demo, in a folder `demo` of the user's data folder; unpacked if it is not there yet.

    Raises:
        VlmrbError: the archive is missing, or cannot be unpacked.
    """
    folder = user_data_path("vlmrb", appauthor=False) / "demo"
    if not (folder / STORE).exists():
        unpack(asset_path(ARCHIVE), folder)
    return folder / STORE


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a demo; the folder appears whole or not at all.

    Raises:
        StoreError: there is no room, or the archive is damaged.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="demo-") as temporary:
            whole = Path(temporary) / "whole"
            with tarfile.open(archive) as packed:
                packed.extractall(whole, filter="data")
            shutil.rmtree(folder, ignore_errors=True)  # what is left of one whose store was deleted
            whole.rename(folder)
    except (OSError, tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise StoreError(f"the demo cannot be unpacked to {folder}: {error}; make room there, or reinstall VLM-RB") from error


def pack(store: Path, archive: Path) -> None:
    """Make an archive of a store whose runs have ended, without jobs, logs, and checkpoints that were not kept on purpose.

    Args:
        store: its SQLite file.
        archive: to be written; its name ends with .tar.xz.
    """
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / STORE
        with closing(sqlite3.connect(f"{store.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("VACUUM INTO ?", (str(copy),))
        with closing(sqlite3.connect(copy)) as connection:
            connection.execute("DELETE FROM jobs")
            connection.execute(f"UPDATE runs SET {_HERE}")
            connection.commit()
            connection.execute("VACUUM")
        with tarfile.open(archive, "w:xz", preset=9) as packed:
            packed.add(copy, STORE, filter=_anonymous)
            for kept in sorted(store.with_name(f"{store.stem}-runs").glob("*/kept")):
                packed.add(kept, f"{Path(STORE).stem}-runs/{kept.parent.name}/kept", filter=_anonymous)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m app.demo", description="Pack a store whose runs have ended as a demo.")
    parser.add_argument("store", type=Path)
    parser.add_argument("archive", type=Path)
    arguments = parser.parse_args()
    pack(arguments.store, arguments.archive)
