"""Live changes: an append-only table that people write to and the run reads (`controls` in the database)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, LargeBinary, Text, case, cast, func, insert, select, type_coerce, update
from sqlalchemy.types import NullType

from vlmrb.errors import NotFoundError
from vlmrb.store import tables as t
from vlmrb.store.database import Database
from vlmrb.store.text import clean, plain
from vlmrb.types import EDITS, LiveChange, SetPrompt, Unreadable

_FORMER_NAMES = {"resume": "unpause"}
_MAX_UNREADABLE = 200  # characters kept of a value that is not JSON


class LiveChanges(Database):
    """The part of the store for live changes."""

    def request_change(self, run_id: int, name: str, value: Any = None) -> int:
        """Request one of LIVE_CHANGES from a run; returns the request's id. The run checks it again and applies it.

        Raises:
            ConfigError: the change is unknown or its value not allowed.
            NotFoundError: there is no such run or prompt.
        """
        from vlmrb.live import parse_change  # pulls in the configuration model, slow to import

        name = _FORMER_NAMES.get(name, name)
        change = parse_change(name, value)
        row = {"run_id": run_id, "name": name, "value": plain(value, name), "requested_at": time.time(),
               "status": "requested", "error": ""}  # fmt: skip
        runs, prompts = t.runs.c.run_id, t.prompts.c.prompt_id
        with self._write() as connection:
            if connection.execute(select(runs).where(runs == run_id)).first() is None:
                raise NotFoundError(f"there is no run {run_id}; `vlmrb runs` lists all runs")
            if (
                isinstance(change, SetPrompt)
                and not connection.execute(select(prompts).where(prompts == change.prompt_id)).first()
            ):
                raise NotFoundError(f"there is no prompt {change.prompt_id}; `vlmrb prompts` lists all prompts")
            return int(connection.execute(insert(t.controls).values(**row).returning(t.controls.c.control_id)).scalar_one())

    def live_changes(self, *run_ids: int, status: str | None = None) -> list[LiveChange]:
        """Changes requested from one or several runs, oldest first. A value that is not JSON becomes `Unreadable`."""
        with self._read() as connection:
            return self._changes(connection, run_ids, status)

    def _changes(self, connection: Connection, run_ids: Sequence[int], status: str | None = None) -> list[LiveChange]:
        """Live changes in a transaction."""
        c = t.controls.c
        name, value = self._as_stored(c.name), self._as_stored(c.value)
        query = select(c.control_id, c.run_id, name, value, c.requested_at, c.status, c.applied_step, c.error)
        query = query.where(c.run_id.in_(run_ids)).order_by(c.control_id)
        if status is not None:
            query = query.where(c.status == status)
        return [
            LiveChange(change_id, run_id, _name(name), _value(value), *rest)
            for change_id, run_id, name, value, *rest in connection.execute(query)
        ]

    def _as_stored(self, column: Column[Any]) -> ColumnElement[Any]:
        """The raw column, not decoded by SQLAlchemy or the driver: one bad value would fail the whole query.

        PostgreSQL returns valid text. SQLite returns numbers as numbers, and text as bytes, since it may not be UTF-8.
        """
        if self._is_postgresql:
            return cast(column, Text)
        return type_coerce(case((func.typeof(column) == "text", cast(column, LargeBinary)), else_=column), NullType())

    def edited_runs(self, run_ids: Iterable[int]) -> set[int]:
        """Those of the runs whose λ or prompt was changed live."""
        c = t.controls.c
        query = select(c.run_id).distinct().where(c.run_id.in_(list(run_ids)), c.status == "applied")
        with self._read() as connection:
            return set(connection.scalars(query.where(c.name.in_(EDITS))))

    def acknowledge_change(self, change_id: int, *, applied_step: int | None = None, error: str = "") -> None:
        """Record that the run applied the change at a step, or rejected it with an error.

        Raises:
            NotFoundError: the request does not exist.
        """
        step = None if error or applied_step is None else int(applied_step)
        values = {"status": "rejected" if error else "applied", "applied_step": step, "error": clean(error)}
        with self._write() as connection:
            if connection.execute(update(t.controls).where(t.controls.c.control_id == change_id).values(**values)).rowcount == 0:
                raise NotFoundError(f"there is no live change {change_id}")


def _name(stored: Any) -> str:
    name = _text(stored)
    return _FORMER_NAMES.get(name, name)


def _value(stored: Any) -> Any:
    if stored is None or isinstance(stored, int | float):
        return stored
    text = _text(stored)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # not JSON, an integer of thousands of digits, or lists thousands deep
        return Unreadable(text[:_MAX_UNREADABLE])


def _text(stored: Any) -> str:
    return stored.decode("utf-8", "replace") if isinstance(stored, bytes) else str(stored)
