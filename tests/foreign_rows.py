"""Rows that other programs and older versions may leave in a database."""

from __future__ import annotations

import time

from sqlalchemy import text

from vlmrb.store import Store


def write_change(store: Store, run_id: int, name: str | bytes, value: str | bytes | None) -> int:
    """Insert a live change without any checks; `value` is the stored JSON text, or whatever replaces it. Returns its id."""
    with store._write() as connection:
        shown = "CAST(:value AS JSON)" if connection.dialect.name == "postgresql" else ":value"
        query = text(
            "INSERT INTO controls (run_id, name, value, requested_at, status, error) "
            f"VALUES (:run_id, :name, {shown}, :now, 'requested', '') RETURNING control_id"
        )
        row = {"run_id": run_id, "name": name, "value": value, "now": time.time()}
        return connection.execute(query, row).scalar_one()
