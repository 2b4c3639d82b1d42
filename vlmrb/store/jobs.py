"""The queue of background jobs, and settings shared by everyone who uses the store."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, Update, and_, case, insert, select, text, update

from vlmrb.errors import NotFoundError, RunBusyError
from vlmrb.store import tables as t
from vlmrb.store.bulk import upsert
from vlmrb.store.database import Database
from vlmrb.store.engine import CLAIM_LOCK
from vlmrb.store.liveness import database_time, holder, is_alive
from vlmrb.store.runs import take_from
from vlmrb.store.text import clean, plain
from vlmrb.types import LOCAL, Destination, Job, JobKind, JobStatus

CLAIM_TIMEOUT_S = 10.0
"""A job that was taken but got no process within this time goes back to the queue: whoever took it is gone."""

MAX_FUTILE = 50
"""A job is not queued again if as much speaks against its run since it last got further."""

BLAME_PROCESS, BLAME_NODE = 10, 1
"""What speaks against a run whose process was lost: much if its node lives on, little if the node died."""

MAX_LOG = 8_000
"""Characters of a log's end that the store keeps for other machines."""

EXIT_INTERRUPTED = 130
"""Exit status of a process that was asked to end before it was done."""

_PENDING = ("queued", "starting")
_TAKEN = ("starting", "running")
_ACTIVE = (*_PENDING, "running")


class Jobs(Database):
    """The part of the store for jobs and settings."""

    def enqueue_jobs(self, kind: JobKind, target_ids: Iterable[int], destination: Destination | None = None) -> list[int]:
        """Append jobs to the queue, in order; returns their ids.

        Args:
            kind, target_ids: what they do.
            destination: where they are to run; None for this machine.

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
                _end(connection, row.job_id, None, "")  # its process is gone, and nobody has noticed so far
            chosen = destination or Destination()
            same = {"kind": kind, "status": "queued", "queued_at": time.time(), "error": "", "launcher": chosen.launcher,
                    "resources": dict(chosen.resources)}  # fmt: skip
            rows = [same | {"target_id": target} for target in targets]
            return [connection.execute(insert(t.jobs).values(**row).returning(t.jobs.c.job_id)).scalar_one() for row in rows]

    def take_jobs(
        self, limits: Mapping[JobKind, int], *, launcher: str = LOCAL, set_limits: Mapping[str, int] | None = None
    ) -> list[Job]:
        """Take the jobs that may be started now by a launcher, oldest first; each job is taken once.

        Args:
            limits: how many jobs of each kind may run at once on this machine, if the launcher is 'local'; else how many may
                wait at the launcher's for their process to start. No jobs of other kinds are taken.
            launcher: whose jobs.
            set_limits: how many runs of a set may run at once, wherever they do.
        """
        taken, c = [], t.jobs.c
        with self._write() as connection:
            self._lock_queue(connection)
            self._tidy(connection, launcher)
            running = _per_set(connection) if set_limits else {}
            for kind, limit in limits.items():
                mine = and_(c.kind == kind, c.launcher == launcher)
                counted = (
                    and_(c.status.in_(_TAKEN), c.host == socket.gethostname()) if launcher == LOCAL else c.status == "starting"
                )
                free = max(0, limit - len(connection.execute(select(c.job_id).where(mine, counted)).all()))
                queued = _jobs().where(mine, c.status == "queued").order_by(c.job_id)
                for row in connection.execute(queued if set_limits else queued.limit(free)).all():
                    if free == 0:
                        break
                    allowed = (set_limits or {}).get(row.set_name) if kind == "train" and row.set_name else None
                    if allowed is not None and running.get(row.set_name, 0) >= allowed:
                        continue
                    running[row.set_name] = running.get(row.set_name, 0) + 1
                    free -= 1
                    values = {"status": "starting", "claimed_at": database_time(), "host": socket.gethostname(), "pid": None}
                    connection.execute(update(t.jobs).where(c.job_id == row.job_id).values(**values))
                    taken.append(_job(row))
        return taken

    def _tidy(self, connection: Connection, launcher: str) -> None:
        """End local jobs whose process is gone, and requeue those of any launcher that nobody started."""
        c = t.jobs.c
        for row in connection.execute(_jobs().where(c.status.in_(_TAKEN), c.launcher == launcher)).all():
            if launcher == LOCAL and _job(row).status == "interrupted":
                error = "its process ended before the work started; see its log" if row.status == "starting" else ""
                _end(connection, row.job_id, None, error)
            elif row.pid is None and row.handle == "" and row.now - row.claimed_at > CLAIM_TIMEOUT_S:
                values = {"status": "queued", "claimed_at": None, "host": None}
                connection.execute(update(t.jobs).where(c.job_id == row.job_id).values(**values))

    def job_submitted(self, job_id: int, attempt: int, handle: str) -> None:
        """The launcher has this attempt, and starts it when it can."""
        with self._write() as connection:
            connection.execute(_of_attempt(job_id, attempt, _TAKEN).values(handle=handle))

    def job_handed_over(self, job_id: int, attempt: int, handle: str) -> bool:
        """The launcher lets another handle stand for an attempt that has not started; False if it has, or must not."""
        with self._write() as connection:
            return connection.execute(_of_attempt(job_id, attempt, ("starting",)).values(handle=handle)).rowcount == 1

    def job_state(self, job_id: int, state: str) -> None:
        """What the launcher says of a job, in words."""
        with self._write() as connection:
            connection.execute(update(t.jobs).where(t.jobs.c.job_id == job_id).values(state=clean(state)))

    def job_spawned(self, job_id: int, pid: int, pid_started_at: float, attempt: int = 0, node: str = "") -> None:
        """Record the process of a taken job, and the node that it is on.

        A local one that dies before it reports has ended: there is no second try.
        """
        with self._write() as connection:
            values = {**holder(pid, pid_started_at), "heartbeat_at": database_time(), "node": clean(node)}
            connection.execute(_of_attempt(job_id, attempt, ("starting",)).values(**values))

    def job_started(self, job_id: int, pid: int, pid_started_at: float, attempt: int = 0) -> bool:
        """The process reports its start; False if it must not start: the job was cancelled, or another process has it."""
        values = {"status": "running", **holder(pid, pid_started_at), "started_at": time.time(), "heartbeat_at": database_time()}
        with self._write() as connection:
            return connection.execute(_of_attempt(job_id, attempt, ("starting",)).values(**values)).rowcount == 1

    def job_alive(self, job_id: int, attempt: int = 0, log: str | None = None) -> None:
        """A sign of life of a job's process; `log`: the end of its log, for other machines."""
        with self._write() as connection:
            ours = connection.execute(_of_attempt(job_id, attempt, _TAKEN).values(heartbeat_at=database_time())).rowcount
            if ours and log is not None:
                upsert(connection, t.job_logs, [{"job_id": job_id, "text": clean(log[-MAX_LOG:])}])

    def job_log(self, job_id: int) -> str:
        """The end of a job's log as its process last sent it; '' if it never did."""
        with self._read() as connection:
            return connection.scalar(select(t.job_logs.c.text).where(t.job_logs.c.job_id == job_id)) or ""

    def job_ended(self, job_id: int, exit_code: int, error: str = "", attempt: int = 0) -> None:
        """The process reports its end."""
        values = {"status": "ended", "ended_at": time.time(), "exit_code": exit_code, "error": clean(error)}
        with self._write() as connection:
            connection.execute(_of_attempt(job_id, attempt, _TAKEN).values(**values))

    def job_lost(self, job_id: int, attempt: int, why: str, *, node_died: bool = False) -> JobStatus | None:
        """The launcher says that the process of a run's job is gone, and it has not reported its end: queue the job again.

        The run is taken from that process first, so that nothing it may still write gets into the store. A job is not queued
        again if somebody had asked the run to pause or stop, or if five processes in a row were lost and got no further, or fifty
        with their nodes.

        Args:
            job_id, attempt: whose process.
            why: what became of it, in words.
            node_died: whether it was lost with its node.

        Returns:
            The status that the job has now; None if it had reported, or this was known.
        """
        c = t.jobs.c
        with self._write() as connection:
            self._lock_queue(connection)
            mine = _jobs().where(c.job_id == job_id, c.attempt == attempt, c.status.in_(_TAKEN))
            row = connection.execute(mine).one_or_none()
            if row is None:
                return None
            run = connection.execute(select(t.runs).where(t.runs.c.run_id == row.target_id)).one_or_none()
            asked = _asked_to(connection, row.target_id, "" if run is None else run.status)
            if run is not None and row.pid is not None:
                take_from(connection, run.run_id, row.pid, row.host, "stopped" if asked == "stop" else "interrupted")
            step = 0 if run is None else run.step
            futile = 0 if step > (row.tried_step or 0) else row.futile + (BLAME_NODE if node_died else BLAME_PROCESS)
            if run is None or asked or futile >= MAX_FUTILE:
                known = f"asked to {asked}" if asked else f"one process after another was lost at step {step:,} or before"
                _end(connection, job_id, None, f"not queued again: {known}; {why}")
                return "interrupted"
            values = {"status": "queued", **dict.fromkeys(("claimed_at", "started_at", "host", "pid")), "handle": "", "node": ""}
            values |= {"attempt": attempt + 1, "futile": futile, "tried_step": max(step, row.tried_step or 0)}
            values["state"] = clean(f"queued again: {why}")
            connection.execute(update(t.jobs).where(c.job_id == job_id).values(**values))
            return "queued"

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

    def active_jobs(self, launcher: str) -> list[Job]:
        """A launcher's jobs that have not reported their end, oldest first; the status of some may be 'interrupted'."""
        c = t.jobs.c
        query = _jobs().where(c.launcher == launcher, c.status.in_(_ACTIVE)).order_by(c.job_id)
        with self._read() as connection:
            return [_job(row) for row in connection.execute(query)]

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
            connection.execute(text(f"SELECT pg_advisory_xact_lock({CLAIM_LOCK})"))


def _end(connection: Connection, job_id: int, exit_code: int | None, error: str) -> None:
    values = {"status": "ended", "ended_at": time.time(), "exit_code": exit_code, "error": clean(error)}
    connection.execute(update(t.jobs).where(t.jobs.c.job_id == job_id).values(**values))


def _of_attempt(job_id: int, attempt: int, statuses: Iterable[str]) -> Update:
    """A change of a job, if this is its attempt and it has one of these statuses."""
    c = t.jobs.c
    return update(t.jobs).where(c.job_id == job_id, c.attempt == attempt, c.status.in_(statuses))


def _asked_to(connection: Connection, run_id: int, status: str) -> str:
    """What a run was asked to do and had not told, 'stop' or 'pause', or '' if it was to train."""
    c = t.controls.c
    unheard = set(connection.scalars(select(c.name).where(c.run_id == run_id, c.status == "requested")))
    if "stop" in unheard:
        return "stop"
    return "pause" if "pause" in unheard or (status == "paused" and "unpause" not in unheard) else ""


def _per_set(connection: Connection) -> dict[str, int]:
    """How many runs of each set have been started and not ended."""
    c = t.jobs.c
    names = select(t.runs.c.set_name).join(t.jobs, and_(c.kind == "train", c.target_id == t.runs.c.run_id))
    return dict(Counter(connection.scalars(names.where(c.status.in_(_TAKEN)))))


def _jobs() -> Select[Any]:
    """The query that `_job` reads: jobs with the last heartbeat of their run or trial, and the set of the run."""
    c = t.jobs.c
    of_run = select(t.runs.c.heartbeat_at).where(t.runs.c.run_id == c.target_id).scalar_subquery()
    of_trial = select(t.trials.c.heartbeat_at).where(t.trials.c.trial_id == c.target_id).scalar_subquery()
    set_name = select(t.runs.c.set_name).where(c.kind == "train", t.runs.c.run_id == c.target_id).scalar_subquery()
    return select(
        t.jobs,
        case((c.kind == "train", of_run), (c.kind == "trial", of_trial)).label("target_heartbeat_at"),
        set_name.label("set_name"),
        database_time().label("now"),
    )


def _job(row: Row[Any]) -> Job:
    return Job(
        job_id=row.job_id, kind=row.kind, target_id=row.target_id, status=_true_status(row), queued_at=row.queued_at,
        started_at=row.started_at, ended_at=row.ended_at, pid=row.pid, host=row.host, exit_code=row.exit_code, error=row.error,
        launcher=row.launcher, resources=row.resources, handle=row.handle, node=row.node, state=row.state, attempt=row.attempt,
    )  # fmt: skip


def _true_status(row: Row[Any]) -> JobStatus:
    # processes of earlier versions send no sign of life of their own, but their run or trial does
    of_before = row.claimed_at, row.started_at, row.target_heartbeat_at
    signs = of_before if row.heartbeat_at is None else (row.heartbeat_at,)
    if row.status in _TAKEN and row.pid is not None and not is_alive(row, *signs):
        return "interrupted"
    if row.status == "ended":
        return "interrupted" if row.exit_code in (None, EXIT_INTERRUPTED) else "failed" if row.exit_code else "finished"
    status: JobStatus = row.status
    return status


def _target(job: Job) -> str:
    return f"{'run' if job.kind == 'train' else job.kind} {job.target_id}"
