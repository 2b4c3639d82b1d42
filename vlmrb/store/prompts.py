"""Versioned prompts: a text that has been used never changes."""

from __future__ import annotations

import time

from sqlalchemy import func, insert, select

from vlmrb.errors import ConfigError, NotFoundError
from vlmrb.store import tables as t
from vlmrb.store.database import Database
from vlmrb.store.text import clean, clean_name, has_visible
from vlmrb.types import Prompt

_PROMPT = (t.prompts.c.name, t.prompts.c.version, t.prompts.c.text, t.prompts.c.prompt_id)


class Prompts(Database):
    """The part of the store for prompts."""

    def save_prompt(self, name: str, text: str) -> Prompt:
        """Save a prompt as the next version of its name; a text already saved under this name keeps its version.

        Raises:
            ConfigError: name or text contain invalid characters, or nothing that can be seen.
        """
        name, text = clean_name(name, "prompt name"), clean(text, "prompt")
        if not has_visible(text):
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
            NotFoundError: there is no such prompt.
        """
        with self._read() as connection:
            row = connection.execute(select(*_PROMPT).where(t.prompts.c.prompt_id == prompt_id)).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no prompt {prompt_id}; `vlmrb prompts` lists all prompts")
        return Prompt(*row)

    def find_prompt(self, name: str, version: int | None = None) -> Prompt | None:
        """A version of a named prompt, by default the newest; None if there is none."""
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
