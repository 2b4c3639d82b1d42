"""The queue of background jobs, and settings shared by everyone who uses the store."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, case, insert, select, text, update

from vlmrb.errors import NotFoundError, RunBusyError
from vlmrb.store import tables as t
from vlmrb.store.bulk import upsert
from vlmrb.store.database import Database
from vlmrb.store.liveness import holder, is_alive
from vlmrb.store.text import clean, plain
from vlmrb.types import Job, JobKind, JobStatus

CLAIM_TIMEOUT_S = 10.0
"""A job that was taken but got no process within this time goes back to the queue: whoever took it is gone."""

EXIT_INTERRUPTED = 130
"""Exit status of a process that was asked to end before it was done."""

_PENDING = ("queued", "starting")
_TAKEN = ("starting", "running")
_ACTIVE = (*_PENDING, "running")


class Jobs(Database):
    """The part of the store for jobs and settings."""

    def enqueue_jobs(self, kind: JobKind, target_ids: Iterable[int]) -> list[int]:
        """Append jobs to the queue, in order; returns their ids.

        Raises:
            RunBusyError: a target is already queued or running; then no job is added.
        """
        targets = list(target_ids)
        with self._write() as connection:
            self._lock_queue(connection)
            busy = _jobs().where(t.jobs.c.kind == kind, t.jobs.c.target_id.in_(targets), t.jobs.c.status.in_(_ACTIVE))
            for row in connection.execute(busy):
                if (job := _job(row)).status in _ACTIVE:
                    raise RunBusyError(f"{_target(job)} is already {job.status} (job {job.job_id})")
            now = time.time()
            rows = [{"kind": kind, "target_id": target, "status": "queued", "queued_at": now, "error": ""} for target in targets]
            return [connection.execute(insert(t.jobs).values(**row).returning(t.jobs.c.job_id)).scalar_one() for row in rows]

    def take_jobs(self, limits: Mapping[JobKind, int]) -> list[Job]:
        """Take the jobs that may start now on this machine, oldest first; each job is taken once.

        Args:
            limits: how many jobs of each kind may run here at once; no jobs of other kinds are taken.
        """
        taken = []
        with self._write() as connection:
            self._lock_queue(connection)
            self._tidy(connection)
            for kind, limit in limits.items():
                c = t.jobs.c
                here = select(c.job_id).where(c.kind == kind, c.status.in_(_TAKEN), c.host == socket.gethostname())
                free = max(0, limit - len(connection.execute(here).all()))
                queued = _jobs().where(c.kind == kind, c.status == "queued").order_by(c.job_id).limit(free)
                for row in connection.execute(queued).all():
                    values = {"status": "starting", "claimed_at": time.time(), "host": socket.gethostname()}
                    connection.execute(update(t.jobs).where(c.job_id == row.job_id).values(**values))
                    taken.append(_job(row))
        return taken

    def _tidy(self, connection: Connection) -> None:
        """End jobs whose process is gone, and requeue those that never got one."""
        c = t.jobs.c
        for row in connection.execute(_jobs().where(c.status.in_(_TAKEN))).all():
            if _job(row).status == "interrupted":
                error = "its process ended before the work started; see its log" if row.status == "starting" else ""
                values: dict[str, Any] = {"status": "ended", "ended_at": time.time(), "exit_code": None, "error": error}
            elif row.pid is None and abs(time.time() - row.claimed_at) > CLAIM_TIMEOUT_S:  # abs: the clock may be set back
                values = {"status": "queued", "claimed_at": None, "host": None}
            else:
                continue
            connection.execute(update(t.jobs).where(c.job_id == row.job_id).values(**values))

    def job_spawned(self, job_id: int, pid: int, pid_started_at: float) -> None:
        """Record the process of a taken job. If it dies before it reports, the job has ended: there is no second try."""
        c = t.jobs.c
        with self._write() as connection:
            statement = update(t.jobs).where(c.job_id == job_id, c.status == "starting")
            connection.execute(statement.values(**holder(pid, pid_started_at)))

    def job_started(self, job_id: int, pid: int, pid_started_at: float) -> bool:
        """The process reports its start; False if it must not start: the job was cancelled, or another process has it."""
        c = t.jobs.c
        values = {"status": "running", **holder(pid, pid_started_at), "started_at": time.time()}
        with self._write() as connection:
            statement = update(t.jobs).where(c.job_id == job_id, c.status == "starting").values(**values)
            return connection.execute(statement).rowcount == 1

    def job_ended(self, job_id: int, exit_code: int, error: str = "") -> None:
        """The process reports its end."""
        values = {"status": "ended", "ended_at": time.time(), "exit_code": exit_code, "error": clean(error)}
        c = t.jobs.c
        with self._write() as connection:
            connection.execute(update(t.jobs).where(c.job_id == job_id, c.status.in_(_TAKEN)).values(**values))

    def job_not_started(self, job_id: int, error: str) -> None:
        """No process could be started for a taken job: it has failed."""
        self.job_ended(job_id, 127, error)

    def cancel_job(self, job_id: int) -> None:
        """Take a job out of the queue.

        Raises:
            NotFoundError: there is no such job.
            RunBusyError: it is no longer queued.
        """
        c = t.jobs.c
        with self._write() as connection:
            values = {"status": "cancelled", "ended_at": time.time()}
            if connection.execute(update(t.jobs).where(c.job_id == job_id, c.status.in_(_PENDING)).values(**values)).rowcount:
                return
        job = self.job(job_id)
        way_out = f"; stop it with: vlmrb control {job.target_id} stop" if job.status == "running" and job.kind == "train" else ""
        raise RunBusyError(f"job {job_id} ({_target(job)}) is {job.status} and no longer queued{way_out}")

    def jobs(self, *, status: JobStatus | None = None, limit: int = 1_000) -> list[Job]:
        """Jobs, newest first, optionally only those whose actual status is `status`."""
        query = _jobs().order_by(t.jobs.c.job_id.desc())
        if status in _ACTIVE:
            query = query.where(t.jobs.c.status == status)
        elif status is not None:
            query = query.where(t.jobs.c.status != "queued")  # the actual status depends on the process
        else:
            query = query.limit(limit)
        with self._read() as connection:
            found = [_job(row) for row in connection.execute(query)]
        return [job for job in found if status is None or job.status == status][:limit]

    def job(self, job_id: int) -> Job:
        """One job.

        Raises:
            NotFoundError: there is no such job.
        """
        with self._read() as connection:
            row = connection.execute(_jobs().where(t.jobs.c.job_id == job_id)).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no job {job_id}; `vlmrb jobs` lists all jobs")
        return _job(row)

    def has_active_jobs(self) -> bool:
        """Whether any job is recorded as queued or running; if not, the queue needs no attention."""
        with self._read() as connection:
            return connection.execute(select(t.jobs.c.job_id).where(t.jobs.c.status.in_(_ACTIVE)).limit(1)).first() is not None

    def job_of(self, kind: JobKind, target_id: int) -> Job | None:
        """The newest job of a run or trial, if any."""
        c = t.jobs.c
        query = _jobs().where(c.kind == kind, c.target_id == target_id).order_by(c.job_id.desc()).limit(1)
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _job(row)

    def setting(self, name: str) -> Any:
        """A setting's value; None if it was never set."""
        with self._read() as connection:
            return connection.scalar(select(t.settings.c.value).where(t.settings.c.name == name))

    def set_setting(self, name: str, value: Any) -> None:
        """Set a setting; `value` is plain JSON data.

        Raises:
            ConfigError: it is not plain JSON data.
        """
        with self._write() as connection:
            upsert(connection, t.settings, [{"name": clean(name), "value": plain(value, name)}])

    def _lock_queue(self, connection: Connection) -> None:
        """Lock the queue until this transaction ends; SQLite allows only one writer anyway."""
        if self._is_postgresql:
            connection.execute(text("SELECT pg_advisory_xact_lock(7266016)"))


def _jobs() -> Select[Any]:
    """The query that `_job` reads: jobs with the last heartbeat of their run or trial."""
    c = t.jobs.c
    of_run = select(t.runs.c.heartbeat_at).where(t.runs.c.run_id == c.target_id).scalar_subquery()
    of_trial = select(t.trials.c.heartbeat_at).where(t.trials.c.trial_id == c.target_id).scalar_subquery()
    return select(t.jobs, case((c.kind == "train", of_run), else_=of_trial).label("heartbeat_at"))


def _job(row: Row[Any]) -> Job:
    return Job(
        job_id=row.job_id, kind=row.kind, target_id=row.target_id, status=_true_status(row), queued_at=row.queued_at,
        started_at=row.started_at, ended_at=row.ended_at, pid=row.pid, host=row.host, exit_code=row.exit_code, error=row.error,
    )  # fmt: skip


def _true_status(row: Row[Any]) -> JobStatus:
    # another machine's job is judged by the heartbeat of its run or trial, which may still be that of an earlier job
    signs = row.claimed_at, row.started_at, row.heartbeat_at
    if row.status in _TAKEN and row.pid is not None and not is_alive(row, *signs):
        return "interrupted"
    if row.status == "ended":
        return "interrupted" if row.exit_code in (None, EXIT_INTERRUPTED) else "failed" if row.exit_code else "finished"
    status: JobStatus = row.status
    return status


def _target(job: Job) -> str:
    return f"{'run' if job.kind == 'train' else job.kind} {job.target_id}"
