"""Which place a run's checkpoints are in: chosen and tried when the run is made, and told by its row from then on."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from vlmrb.addresses import LOCAL, VARIABLE, masked, parse_address
from vlmrb.errors import CheckpointError, ConfigError
from vlmrb.places.folder import FolderPlace
from vlmrb.places.found import Place
from vlmrb.places.mirror import Mirror
from vlmrb.places.remote import Remote
from vlmrb.store import Store
from vlmrb.types import RunSummary

SETTING = "checkpoints"
"""The store's setting that says where new runs keep their checkpoints."""


def choose_place(given: str | None, store: Store) -> str | None:
    """The address where a new run keeps its checkpoints: what is given, else $VLMRB_CHECKPOINTS, else the store's setting.

    None is the run's own folder, next to the store.

    Raises:
        ConfigError: the variable's value is no address, or the store is on a server and nothing says where they are to be.
    """
    of_environment = os.environ.get(VARIABLE, "").strip()
    chosen = given or (read_address(of_environment, VARIABLE) if of_environment else store.setting(SETTING))
    chosen = chosen if isinstance(chosen, str) else None
    if chosen is None and store.is_shared:
        raise ConfigError(
            f"checkpoints: {store.name} can be reached from other machines, and so could its runs be resumed there, but nothing "
            "says where their checkpoints are to be. Give --checkpoints with a folder that all of these machines have, or a URL "
            f"such as s3://bucket/folder; {LOCAL!r} keeps them on this machine. To say so once: python -m vlmrb jobs "
            f"--checkpoints PLACE, or {VARIABLE}"
        )
    return chosen


def set_default_place(store: Store, address: str | None) -> None:
    """Say where new runs of a store keep their checkpoints; None to take that back. It is tried first.

    Raises:
        ConfigError: it is no address, or cannot be written to.
    """
    address = None if address is None else read_address(address)
    check_place(address)
    store.set_setting(SETTING, address)


def read_address(text: str, name: str = "checkpoints") -> str:
    """What a person gave as an address.

    Raises:
        ConfigError: it is none.
    """
    try:
        return parse_address(text)
    except ValueError as error:
        raise ConfigError(f"{name}: got {masked(text)}; {error}") from error


def check_place(address: str | None) -> None:
    """Write something small there, read it and remove it.

    Raises:
        ConfigError: that does not work; the message says why and what to do.
    """
    if address is None or address == LOCAL:
        return
    try:
        if address.startswith("memory://"):
            raise CheckpointError(f"{address} would vanish with its process; give a folder or an object store")
        if "://" in address:
            Remote(address).try_out()
        else:
            _try_folder(Path(address))
    except CheckpointError as error:
        raise ConfigError(f"checkpoints: {error}") from error


def _try_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"tried")
    except OSError as error:
        raise CheckpointError(
            f"{folder} cannot be written to ({error.strerror or error}); create it, make it writable or mount it, or give another"
        ) from error


def place_of(store: Store, run: RunSummary) -> Place:
    """Where the checkpoints of a run are; nothing is read or written yet."""
    own, address = store.folder_of_run(run.run_id), run.config.get(SETTING)
    if not isinstance(address, str) or address == LOCAL:
        return FolderPlace(own)
    # a store that was restored or made anew counts from where others have been
    made = time.strftime("%Y%m%dT%H%M%S", time.gmtime(run.created_at)) + f"{run.created_at % 1:.3f}"[1:]
    name = f"run-{run.run_id}-{made}"
    if "://" in address:
        return Mirror(own / name, Remote(f"{address}/{name}"))
    return FolderPlace(Path(address) / name, within=Path(address))
