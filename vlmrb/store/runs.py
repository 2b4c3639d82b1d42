"""Runs: their rows, their true status, their curves and episodes, and who may train them."""

from __future__ import annotations

import socket
import time
from typing import Any

import numpy as np
import psutil
from sqlalchemy import Row, and_, delete, func, insert, select, update

from vlmrb.errors import NotFoundError, RunBusyError
from vlmrb.store import tables as t
from vlmrb.store.database import Database
from vlmrb.store.text import clean
from vlmrb.types import Episode, Event, RunStatus, RunSummary

START_TOLERANCE_S = 2.0
HEARTBEAT_TIMEOUT_S = 300.0
"""A run of another machine counts as dead after this long without a heartbeat; here the process itself is looked at."""


def is_alive(pid: int | None, started_at: float | None, host: str | None, heartbeat_at: float | None) -> bool:
    """Whether the process (same id and start time) still lives."""
    if pid is None or started_at is None:
        return False
    if host != socket.gethostname():
        return heartbeat_at is not None and time.time() - heartbeat_at < HEARTBEAT_TIMEOUT_S
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started_at) < START_TOLERANCE_S and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


class Runs(Database):
    """The part of the store that knows runs."""

    def create_run(
        self, config: dict[str, Any], *, name: str | None = None, render_spec: dict[str, Any], success_rule: str
    ) -> int:
        """Add a run that has not begun; returns its id."""
        row = {
            "name": clean(name or default_name(config), "name")[:200],
            "status": "created",
            "config": config,
            "render_spec": render_spec,
            "success_rule": success_rule,
            "step": 0,
            "counters": {},
            "created_at": time.time(),
            "error": "",
        }
        with self._write() as connection:
            return connection.execute(insert(t.runs).values(**row).returning(t.runs.c.run_id)).scalar_one()

    def claim_run(self, run_id: int, pid: int, pid_started_at: float) -> None:
        """Make this process the one that trains the run.

        Raises:
            RunBusyError: another live process does.
        """
        with self._write() as connection:
            row = connection.execute(select(t.runs).where(t.runs.c.run_id == run_id).with_for_update()).one_or_none()
            if row is None:
                raise _no_run(run_id)
            if (row.pid, row.status) != (pid, "created") and _lives(row):
                raise RunBusyError(
                    f"run {run_id} is being trained by process {row.pid}; stop it first: vlmrb control {run_id} stop"
                )
            values = {
                "status": "running",
                "pid": pid,
                "pid_started_at": pid_started_at,
                "host": socket.gethostname(),
                "started_at": row.started_at or time.time(),
                "ended_at": None,
                "heartbeat_at": time.time(),
                "error": "",
            }
            connection.execute(update(t.runs).where(t.runs.c.run_id == run_id).values(**values))

    def release_run(self, run_id: int, status: RunStatus, error: str = "", *, counters: dict[str, Any] | None = None) -> None:
        """The process has ended its work on the run."""
        values: dict[str, Any] = {
            "status": status,
            "ended_at": time.time(),
            "heartbeat_at": time.time(),
            "error": clean(error),
            "pid": None,
        }
        if counters is not None:
            values["counters"] = counters
        with self._write() as connection:
            connection.execute(update(t.runs).where(t.runs.c.run_id == run_id).values(**values))

    def heartbeat(
        self,
        run_id: int,
        step: int,
        *,
        status: RunStatus | None = None,
        steps_per_second: float | None = None,
        counters: dict[str, Any] | None = None,
    ) -> None:
        """The run is alive at `step`."""
        given = {"status": status, "steps_per_second": steps_per_second, "counters": counters}
        values = {"step": step, "heartbeat_at": time.time(), **{key: value for key, value in given.items() if value is not None}}
        with self._write() as connection:
            connection.execute(update(t.runs).where(t.runs.c.run_id == run_id).values(**values))

    def runs(self, *, status: RunStatus | None = None, limit: int | None = None) -> list[RunSummary]:
        """Runs, newest first; `status` is compared with the true one."""
        with self._read() as connection:
            rows = connection.execute(select(t.runs).order_by(t.runs.c.run_id.desc())).all()
        found = (
            [summary for row in rows if status is None or (summary := _summary(row)).status == status]
            if status
            else [_summary(r) for r in rows[:limit]]
        )
        return found[:limit]

    def run(self, run_id: int) -> RunSummary:
        """One run.

        Raises:
            NotFoundError: there is no such run.
        """
        with self._read() as connection:
            row = connection.execute(select(t.runs).where(t.runs.c.run_id == run_id)).one_or_none()
        if row is None:
            raise _no_run(run_id)
        return _summary(row)

    def rename_run(self, run_id: int, name: str) -> None:
        """Give the run another name."""
        with self._write() as connection:
            if (
                connection.execute(
                    update(t.runs).where(t.runs.c.run_id == run_id).values(name=clean(name, "name")[:200])
                ).rowcount
                == 0
            ):
                raise _no_run(run_id)

    def delete_run(self, run_id: int) -> None:
        """Remove the run and everything about it.

        Raises:
            RunBusyError: it is being trained.
        """
        with self._write() as connection:
            row = connection.execute(select(t.runs).where(t.runs.c.run_id == run_id)).one_or_none()
            if row is None:
                raise _no_run(run_id)
            if _lives(row):
                raise RunBusyError(f"run {run_id} is being trained by process {row.pid}; stop it before deleting it")
            connection.execute(delete(t.runs).where(t.runs.c.run_id == run_id))

    def rollback_run(self, run_id: int, step: int) -> None:
        """Forget what lies after the checkpoint at `step`, which the run goes on from.

        Metrics beyond it, episodes and events from it on are deleted; clips that reach beyond it stay, marked
        superseded; controls applied after it are requested again.
        """
        with self._write() as connection:
            connection.execute(delete(t.metrics).where(t.metrics.c.run_id == run_id, t.metrics.c.step > step))
            connection.execute(delete(t.episodes).where(t.episodes.c.run_id == run_id, t.episodes.c.step >= step))
            connection.execute(delete(t.events).where(t.events.c.run_id == run_id, t.events.c.step >= step))
            end = t.clips.c.start_step + (t.clips.c.length - 1) * t.clips.c.stride
            beyond = and_(t.clips.c.run_id == run_id, end >= step)
            connection.execute(update(t.clips).where(beyond).values(superseded=True))
            later = and_(
                t.controls.c.run_id == run_id, t.controls.c.applied_step > step, t.controls.c.name.in_(("lambda", "prompt"))
            )
            connection.execute(update(t.controls).where(later).values(status="requested", applied_step=None))

    def metrics(self, run_id: int, name: str, *, since_step: int = -1) -> tuple[np.ndarray, np.ndarray]:
        """One curve: steps int64 [N] ascending, values float64 [N] (NaN where none), after `since_step`."""
        query = select(t.metrics.c.step, t.metrics.c.value).where(
            t.metrics.c.run_id == run_id, t.metrics.c.name == name, t.metrics.c.step > since_step
        )
        with self._read() as connection:
            rows = connection.execute(query.order_by(t.metrics.c.step)).all()
        values = [float("nan") if row[1] is None else row[1] for row in rows]
        return np.array([row[0] for row in rows], np.int64), np.array(values, np.float64)

    def metric_names(self, run_id: int) -> list[str]:
        """Names of the curves of a run."""
        with self._read() as connection:
            return list(
                connection.scalars(
                    select(t.metrics.c.name).where(t.metrics.c.run_id == run_id).distinct().order_by(t.metrics.c.name)
                )
            )

    def episodes(self, run_id: int, since_step: int = -1) -> list[Episode]:
        """Episodes that ended after `since_step`, in order."""
        c = t.episodes.c
        query = select(c.step, c.env_index, c.number, c.seed, c.length, c.episodic_return, c.success)
        with self._read() as connection:
            return [
                Episode(*row) for row in connection.execute(query.where(c.run_id == run_id, c.step > since_step).order_by(c.step))
            ]

    def events(self, run_id: int) -> list[tuple[int, int, Event]]:
        """Simulator events: (step, env_index, event), in order."""
        c = t.events.c
        query = select(c.step, c.env_index, c.name, c.object, c.color).where(c.run_id == run_id).order_by(c.step, c.position)
        with self._read() as connection:
            return [(row[0], row[1], Event(*row[2:])) for row in connection.execute(query)]

    def count_runs(self) -> int:
        """How many runs the store holds."""
        with self._read() as connection:
            return connection.execute(select(func.count()).select_from(t.runs)).scalar_one()


def default_name(config: dict[str, Any]) -> str:
    """Such as 'DoorKey-8x8 dqn vlm(oracle) s0'."""
    env = str(config.get("env", "run")).removeprefix("MiniGrid-").removesuffix("-v0")
    scorer = f"({config['scorer']})" if config.get("replay") == "vlm" and config.get("scorer") else ""
    return f"{env} {config.get('algo', '')} {config.get('replay', '')}{scorer} s{config.get('seed', 0)}"


def _no_run(run_id: int) -> NotFoundError:
    return NotFoundError(f"there is no run {run_id}; `vlmrb runs` lists those there are")


def _lives(row: Row[Any]) -> bool:
    return row.status in ("running", "paused") and is_alive(row.pid, row.pid_started_at, row.host, row.heartbeat_at)


def _summary(row: Row[Any]) -> RunSummary:
    status: RunStatus = row.status
    if status in ("running", "paused") and not _lives(row):
        status = "interrupted"
    config = row.config
    return RunSummary(
        run_id=row.run_id,
        name=row.name,
        status=status,
        env=config.get("env", ""),
        algo=config.get("algo", ""),
        replay=config.get("replay", ""),
        scorer=config.get("scorer"),
        seed=config.get("seed", 0),
        total_steps=config.get("total_steps", 0),
        step=row.step,
        steps_per_second=row.steps_per_second,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        heartbeat_at=row.heartbeat_at,
        pid=row.pid,
        error=row.error,
        config=config,
        render_spec=row.render_spec,
        success_rule=row.success_rule,
        counters=row.counters,
    )
