"""Prompts, versioned, and the append-only table of live controls."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from sqlalchemy import func, insert, select, update

from vlmrb.errors import ConfigError, NotFoundError
from vlmrb.store import tables as t
from vlmrb.store.database import Database
from vlmrb.store.text import clean, plain
from vlmrb.types import ControlRequest, Prompt

_PROMPT = (t.prompts.c.name, t.prompts.c.version, t.prompts.c.text, t.prompts.c.prompt_id)


class Prompts(Database):
    """The part of the store that knows prompts and controls."""

    def save_prompt(self, name: str, text: str) -> Prompt:
        """Store a prompt; the same text under the same name is the same version, another text the next one.

        Raises:
            ConfigError: the text is empty or holds what is no text.
        """
        name, text = clean(name, "prompt name"), clean(text, "prompt")
        if not text.strip():
            raise ConfigError("prompt: the text is empty; write a question that can be answered with yes or no")
        c = t.prompts.c
        same = select(*_PROMPT).where(c.name == name, c.text == text).order_by(c.version)
        with self._read() as connection:
            row = connection.execute(same).first()
        if row is not None:
            return Prompt(*row)
        with self._write() as connection:
            if self._is_postgresql:
                connection.exec_driver_sql("LOCK TABLE prompts IN SHARE ROW EXCLUSIVE MODE")
            row = connection.execute(same).first()
            if row is None:
                version = (connection.execute(select(func.max(c.version)).where(c.name == name)).scalar() or 0) + 1
                connection.execute(insert(t.prompts).values(name=name, version=version, text=text, created_at=time.time()))
                row = connection.execute(same).one()
            return Prompt(*row)

    def prompt(self, prompt_id: int) -> Prompt:
        """A prompt version.

        Raises:
            NotFoundError: there is none of this id.
        """
        with self._read() as connection:
            row = connection.execute(select(*_PROMPT).where(t.prompts.c.prompt_id == prompt_id)).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no prompt {prompt_id}; `vlmrb prompts` lists those there are")
        return Prompt(*row)

    def find_prompt(self, name: str, version: int | None = None) -> Prompt | None:
        """A version of a named prompt, the newest if none is named; None where there is none."""
        query = select(*_PROMPT).where(t.prompts.c.name == clean(name)).order_by(t.prompts.c.version.desc())
        if version is not None:
            query = query.where(t.prompts.c.version == version)
        with self._read() as connection:
            row = connection.execute(query.limit(1)).first()
        return None if row is None else Prompt(*row)

    def prompts(self) -> list[Prompt]:
        """All versions, by name."""
        with self._read() as connection:
            rows = connection.execute(select(*_PROMPT).order_by(t.prompts.c.name, t.prompts.c.version))
            return [Prompt(*row) for row in rows]

    def request_control(self, run_id: int, name: str, value: Any = None) -> int:
        """Ask a run for a change; returns the id of the request. The run itself checks and applies it.

        Raises:
            ConfigError: the value is not plain JSON data.
            NotFoundError: there is no such run.
        """
        row = {"run_id": run_id, "name": clean(name, "control"), "value": plain(value, "value"), "requested_at": time.time(),
               "status": "requested", "error": ""}  # fmt: skip
        with self._write() as connection:
            if connection.execute(select(t.runs.c.run_id).where(t.runs.c.run_id == run_id)).first() is None:
                raise NotFoundError(f"there is no run {run_id}; `vlmrb runs` lists those there are")
            return connection.execute(insert(t.controls).values(**row).returning(t.controls.c.control_id)).scalar_one()

    def controls(self, *run_ids: int, status: str | None = None) -> list[ControlRequest]:
        """Requests for one or several runs, oldest first."""
        c = t.controls.c
        query = select(c.control_id, c.run_id, c.name, c.value, c.requested_at, c.status, c.applied_step, c.error)
        query = query.where(c.run_id.in_(run_ids)).order_by(c.control_id)
        if status is not None:
            query = query.where(c.status == status)
        with self._read() as connection:
            return [ControlRequest(*row) for row in connection.execute(query)]

    def edited_runs(self, run_ids: Iterable[int]) -> set[int]:
        """Those of the runs whose λ or prompt was changed while they ran."""
        c = t.controls.c
        query = select(c.run_id).distinct().where(c.run_id.in_(list(run_ids)), c.status == "applied")
        with self._read() as connection:
            return set(connection.scalars(query.where(c.name.in_(("lambda", "prompt")))))

    def acknowledge_control(self, control_id: int, *, applied_step: int | None = None, error: str = "") -> None:
        """The run has applied the request at a step, or rejects it for a reason.

        Raises:
            NotFoundError: there is no such request.
        """
        step = None if error or applied_step is None else int(applied_step)
        values = {"status": "rejected" if error else "applied", "applied_step": step, "error": clean(error)}
        with self._write() as connection:
            if connection.execute(update(t.controls).where(t.controls.c.control_id == control_id).values(**values)).rowcount == 0:
                raise NotFoundError(f"there is no control request {control_id}")
