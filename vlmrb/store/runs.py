"""Runs: their rows, their actual status, and which process trains them."""

from __future__ import annotations

import itertools
import os
import secrets
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    Text,
    and_,
    cast,
    delete,
    exists,
    false,
    func,
    insert,
    or_,
    select,
    update,
)

from vlmrb.errors import NotFoundError, RunBusyError, RunLostError
from vlmrb.panels import listed_scorer
from vlmrb.replay.hindsight import asks_in_words
from vlmrb.replay.registry import replay_methods
from vlmrb.retention import retention_of
from vlmrb.store import tables as t
from vlmrb.store.batches import delete_some, in_batches
from vlmrb.store.database import Database
from vlmrb.store.liveness import LEASE_S, database_time, holder, is_alive, silence_s, watch
from vlmrb.store.text import clean, clean_name, clean_tags, plain
from vlmrb.store.trials import forget_run
from vlmrb.types import CLIPS_PER_RUN, EDITS, LIVE, SUCCESS, Lineage, RunCounters, RunListItem, RunStatus, RunSummary

MAX_NAME = 200

_DELETING = "deleting"
"""Stored as the status of a run whose deletion has begun. It reads as 'failed'."""

_DELETE_AGAIN = "if that was cut short, delete it again"


class Runs(Database):
    """The part of the store for runs."""

    def create_run(
        self,
        config: dict[str, Any],
        *,
        name: str | None = None,
        render_spec: dict[str, Any],
        success_rule: str,
        set_name: str = "",
        tags: Iterable[str] = (),
        lineage: Lineage | None = None,
    ) -> int:
        """Add a run that has not started; returns its id. Ids count up from 1 and are never reused.

        Args:
            config: the fields of a `TrainConfig`.
            name: for people; None builds one from environment, agent, replay method, scorer and seed.
            render_spec: input of `make_renderer` for the run's frames.
            success_rule: in words.
            set_name: the matched set that it belongs to, if any.
            tags: as for `tag_run`.
            lineage: where it comes from, if it is a branch.

        Raises:
            ConfigError: a value is not plain JSON data, or a tag is invalid.
        """
        row = {
            "name": clean_name((name or default_name(config))[:MAX_NAME], "name"),
            "status": "created",
            "config": plain(config, "config"),
            "render_spec": plain(render_spec, "render_spec"),
            "success_rule": clean(success_rule),
            "step": 0 if lineage is None else lineage.parent_step,
            "counters": {},
            "created_at": time.time(),
            "error": "",
            "tags": clean_tags(tags),
            "set_name": clean_name(set_name[:MAX_NAME], "set name") if set_name else "",
            **({} if lineage is None else asdict(lineage)),
        }
        with self._write() as connection:
            run_id = int(connection.execute(insert(t.runs).values(**row).returning(t.runs.c.run_id)).scalar_one())
        _set_aside(self.folder_of_run(run_id))
        return run_id

    def claim_run(self, run_id: int, pid: int, pid_started_at: float) -> dict[str, Any]:
        """Make a process the one that trains the run, and set its status to 'running'; returns the values that this replaced.

        From then on, until somebody else claims it, only what is written through this object is taken for this run's.

        Args:
            run_id: the run.
            pid: the process.
            pid_started_at: its creation time as psutil reports it, seconds since the epoch.

        Raises:
            NotFoundError: there is no such run.
            RunBusyError: a live process is training it.
        """
        self._watch(run_id)
        with self._write() as connection:
            row = _locked(connection, run_id)
            _refuse_live(row, "stop it first")
            if row.status == _DELETING:
                raise RunBusyError(f"run {run_id} is being deleted; {_DELETE_AGAIN}")
            values = {"status": "running", **holder(pid, pid_started_at), "started_at": row.started_at or time.time(),
                      "ended_at": None, "heartbeat_at": database_time(), "error": "", "owner": secrets.token_hex(16)}  # fmt: skip
            _update(connection, run_id, values)
        self._owned[run_id] = values["owner"]
        return {name: getattr(row, name) for name in values}

    def _watch(self, run_id: int) -> None:
        """See whether a machine that seems dead is: its clock, or ours, may just have been set."""
        with self._read() as connection:
            row = connection.execute(_row_of(run_id)).one_or_none()
        if row is not None and row.status in LIVE:
            watch(row, lambda: self.run(run_id).status in LIVE)

    def unclaim_run(self, run_id: int, before: dict[str, Any]) -> None:
        """Make the run's row what it was before `claim_run`, which returned `before`."""
        with self._write() as connection:
            _update(connection, run_id, before, self._owned.get(run_id))
        self._owned.pop(run_id, None)

    def has_begun(self, run_id: int) -> bool:
        """Whether anything is stored that the run did; what the parent of a branch did does not count.

        Raises:
            NotFoundError: there is no such run.
        """
        run = self.run(run_id)
        if run.step > (run.parent_step or 0):
            return True
        rows = [exists().where(table.c.run_id == run_id) for table in (t.episodes, t.metrics, t.events, t.clips)]
        with self._read() as connection:
            return bool(connection.scalar(select(or_(*rows))))

    def release_run(self, run_id: int, status: RunStatus, error: str = "", *, counters: RunCounters | None = None) -> None:
        """Record that the process is done with the run: 'finished', 'stopped', 'failed' or 'interrupted'.

        Raises:
            RunLostError: another process has taken the run over.
        """
        values: dict[str, Any] = {"status": status, "ended_at": time.time(), "heartbeat_at": database_time(),
                                  "error": clean(error), "pid": None, "owner": None}  # fmt: skip
        if counters is not None:
            values["counters"] = _stored_counters(counters)
        with self._write() as connection:
            _update(connection, run_id, values, self._owned.get(run_id))
        self._owned.pop(run_id, None)

    def heartbeat(self, run_id: int, step: int, *, status: RunStatus | None = None, steps_per_second: float | None = None,
                  counters: RunCounters | None = None, durable: bool = False) -> None:  # fmt: skip
        """Record that the run is alive at `step`; `durable`: on return, this and all earlier rows survive a power cut.

        Raises:
            RunLostError: another process has taken the run over.
        """
        with self._write_durably() if durable else self._write() as connection:
            self._beat(connection, run_id, step, status, steps_per_second, counters)

    def _beat(self, connection: Connection, run_id: int, step: int, status: RunStatus | None = None,
              steps_per_second: float | None = None, counters: RunCounters | None = None) -> None:  # fmt: skip
        """A heartbeat in a transaction."""
        stored = None if counters is None else _stored_counters(counters)
        given = {"status": status, "steps_per_second": steps_per_second, "counters": stored}
        values = {
            "step": int(step),
            "heartbeat_at": database_time(),
            **{key: plain(value) for key, value in given.items() if value is not None},
        }
        _update(connection, run_id, values, self._owned.get(run_id))

    @contextmanager
    def write_rows_of(self, run_id: int) -> Iterator[Connection]:
        """A transaction for rows of a run. Until it ends, nobody else can take the run over.

        Raises:
            RunLostError: another process has taken over the run that was claimed here.
        """
        owner = self._owned.get(run_id)
        with self._write() as connection:
            if owner is not None:
                row = select(t.runs.c.owner).where(t.runs.c.run_id == run_id).with_for_update(read=True, key_share=True)
                if connection.scalar(row) != owner:
                    raise _lost(run_id)
            yield connection

    def runs(
        self, *, status: RunStatus | None = None, run_ids: Iterable[int] | None = None, limit: int | None = None
    ) -> list[RunSummary]:
        """Runs, newest first.

        Args:
            status: only runs whose actual status is this.
            run_ids: only these; missing ones are skipped.
            limit: maximum number of runs to list.
        """
        return [run for run, _ in self._listed(status, run_ids, limit)]

    def run_list(
        self, *, status: RunStatus | None = None, run_ids: Iterable[int] | None = None, limit: int | None = None
    ) -> list[RunListItem]:
        """Like `runs`, with each run's best and latest success rate, all in one query."""
        c = t.metrics.c
        of_run = select(c.value).where(c.run_id == t.runs.c.run_id, c.name == SUCCESS, c.value.is_not(None))
        best = of_run.with_only_columns(func.max(c.value)).scalar_subquery().label("best")
        latest = of_run.order_by(c.step.desc()).limit(1).scalar_subquery().label("latest")
        return [RunListItem(run, row.best, row.latest) for run, row in self._listed(status, run_ids, limit, best, latest)]

    def _listed(
        self, status: RunStatus | None, run_ids: Iterable[int] | None, limit: int | None, *columns: ColumnElement[Any]
    ) -> list[tuple[RunSummary, Row[Any]]]:
        query = select(t.runs, _now(), _job_status(), *columns).order_by(t.runs.c.run_id.desc())
        if run_ids is not None:
            query = query.where(t.runs.c.run_id.in_(list(run_ids)))
        if status is not None and status != "queued":  # a run recorded as live may be dead
            stored = {status, *(LIVE if status == "interrupted" else (_DELETING,) if status == "failed" else ())}
            query = query.where(t.runs.c.status.in_(stored))
        elif status is None and limit is not None:
            query = query.limit(max(limit, 0))
        with self._read() as connection:
            rows = connection.execute(query).all()
        found = [(run, row) for row in rows if (run := _summary(row)).status == status or status is None]
        return found if limit is None else found[: max(limit, 0)]

    def run_marks(self, limit: int) -> dict[int, tuple[Any, ...]]:
        """The newest runs, newest first, each with all that can change of it and of its newest job.

        Whether its process is alive is not looked at.
        """
        rest = [column for column in t.runs.c if column.name not in ("config", "render_spec", "success_rule")]
        columns = [cast(column, Text) if isinstance(column.type, JSON) else column for column in rest]
        query = select(*columns, _job_status()).order_by(t.runs.c.run_id.desc()).limit(limit)
        with self._read() as connection:
            return {row[0]: tuple(row) for row in connection.execute(query)}

    def created_at(self, limit: int) -> dict[int, float]:
        """When the newest runs were created, in seconds since the epoch, by id, newest first."""
        c = t.runs.c
        with self._read() as connection:
            rows = connection.execute(select(c.run_id, c.created_at).order_by(c.run_id.desc()).limit(limit))
            return {row.run_id: row.created_at for row in rows}

    def branch_places(self, parent_ids: Iterable[int]) -> list[tuple[int, int]]:
        """Where branches of these runs start: the parent and its step, once per branch, ascending."""
        c = t.runs.c
        query = select(c.parent_id, c.parent_step).where(c.parent_id.in_(list(parent_ids))).order_by(c.parent_id, c.parent_step)
        with self._read() as connection:
            return [(parent, step or 0) for parent, step in connection.execute(query)]

    def run(self, run_id: int) -> RunSummary:
        """One run.

        Raises:
            NotFoundError: there is no such run.
        """
        with self._read() as connection:
            row = connection.execute(_row_of(run_id).add_columns(_job_status())).one_or_none()
        if row is None:
            raise _no_run(run_id)
        return _summary(row)

    def rename_run(self, run_id: int, name: str) -> None:
        """Rename the run.

        Raises:
            ConfigError: the name contains invalid characters, or nothing that can be seen.
            NotFoundError: there is no such run.
        """
        values = {"name": clean_name(name[:MAX_NAME], "name")}
        with self._write() as connection:
            _update(connection, run_id, values)

    def tag_run(self, run_id: int, tags: Iterable[str]) -> None:
        """Replace the run's tags; surrounding blanks and duplicates are dropped.

        Raises:
            ConfigError: more than 20 tags, or one of more than 40 characters.
            NotFoundError: there is no such run.
        """
        values = {"tags": clean_tags(tags)}
        with self._write() as connection:
            _update(connection, run_id, values)

    def change_tags(self, run_id: int, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Add tags to the run's and remove others; those that nobody names stay. Raises like `tag_run`."""
        added, removed = clean_tags(add), {clean(tag).strip() for tag in remove}
        with self._write() as connection:
            tags = [tag for tag in _locked(connection, run_id).tags if tag not in removed]
            _update(connection, run_id, {"tags": clean_tags([*tags, *added])})

    def delete_run(self, run_id: int) -> None:
        """Delete the run's rows, clips and scores, including those in trials. The caller deletes its folder.

        Other writers get their turn in between. If this process ends halfway, the run can only be deleted again.

        Raises:
            NotFoundError: there is no such run.
            RunBusyError: it is being trained.
        """
        self._watch(run_id)
        with self._write() as connection:
            _refuse_live(_locked(connection, run_id), "stop it before deleting it")
            forget_run(connection, run_id)
            connection.execute(delete(t.jobs).where(t.jobs.c.kind == "train", t.jobs.c.target_id == run_id))
            _update(connection, run_id, {"status": _DELETING, "pid": None})
        first = run_id * CLIPS_PER_RUN
        self._delete_rows(t.clips, t.clips.c.clip_id.between(first, first + CLIPS_PER_RUN - 1))  # with their scores and the like
        for table in (t.metrics, t.episodes, t.events, t.draws, t.drawn_clips, t.controls):
            self._delete_rows(table, table.c.run_id == run_id)
        with self._write() as connection:
            connection.execute(delete(t.runs).where(t.runs.c.run_id == run_id))

    def _delete_rows(self, table: Table, condition: ColumnElement[bool]) -> None:
        in_batches(self._write, lambda connection, rows: delete_some(connection, table, condition, rows))

    def rollback_run(self, run_id: int, step: int, clip_number: int | None = None) -> None:
        """Roll back to the checkpoint at `step`, from which the run resumes: steps 0 … step − 1 are done.

        Metrics and draws after `step` (their step counts the steps done) are deleted, and so are episodes and events at or
        after it. Clips that reach it, and those numbered `clip_number` or higher (recorded after it), are kept but marked
        superseded. Changes of λ and prompt applied at or after it are requested again. Pauses and stops are not: a
        resumed run is meant to run. Done in steps that can be repeated, so that other writers get their turn.
        """
        with self.write_rows_of(run_id) as connection:
            _locked(connection, run_id)
        for table, beyond in (
            (t.metrics, t.metrics.c.step > step),
            (t.draws, t.draws.c.step > step),
            (t.drawn_clips, t.drawn_clips.c.step > step),
            (t.episodes, t.episodes.c.step >= step),
            (t.events, t.events.c.step >= step),
        ):
            self._delete_rows(table, and_(table.c.run_id == run_id, beyond))
        end = t.clips.c.start_step + (t.clips.c.length - 1) * t.clips.c.stride
        recorded_after = t.clips.c.number >= clip_number if clip_number is not None else false()
        counts = and_(t.clips.c.run_id == run_id, t.clips.c.superseded.is_(False), or_(end >= step, recorded_after))
        self._supersede(counts)
        with self._write() as connection:
            later = and_(t.controls.c.run_id == run_id, t.controls.c.applied_step >= step, t.controls.c.name.in_(EDITS))
            connection.execute(update(t.controls).where(later).values(status="requested", applied_step=None))

    def _supersede(self, condition: ColumnElement[bool]) -> None:
        """Mark a run's clips as superseded; nobody else adds clips in the meantime."""
        matching = select(t.clips.c.clip_id).where(condition)

        def supersede(connection: Connection, rows: int) -> int:
            some = left[:rows]
            connection.execute(update(t.clips).where(t.clips.c.clip_id.in_(some)).values(superseded=True))
            del left[:rows]
            return len(some)

        while True:  # once, unless a connection was lost
            with self._read() as connection:
                left = list(connection.scalars(matching))
            if not left:
                return
            in_batches(self._write, supersede)


def _set_aside(folder: Path) -> None:
    """Rename what is in a new run's place: files left by a store of the same name that has since been deleted."""
    if folder.exists():
        names = (folder.with_name(f"{folder.name}-left-{number}") for number in itertools.count(1))
        folder.rename(next(name for name in names if not name.exists()))


def _job_status() -> ColumnElement[Any]:
    """Status of the run's newest training job; while it is 'queued' or 'starting', the run is queued."""
    c = t.jobs.c
    newest = select(c.status).where(c.kind == "train", c.target_id == t.runs.c.run_id).order_by(c.job_id.desc()).limit(1)
    return newest.scalar_subquery().label("job")


def default_name(config: dict[str, Any]) -> str:
    """A name such as 'DoorKey-8x8 dqn vlm(oracle) s0'; '+play' if the run starts with scripted play."""
    env = str(config.get("env", "run")).removeprefix("MiniGrid-").removesuffix("-v0")
    method = replay_methods().get(config.get("replay", ""))
    scorer = listed_scorer(config["scorer"]) if config.get("scorer") else ""
    labels = method is not None and method.labels
    details = [scorer] if labels and scorer else []
    details += [f"base {config['base']}"] if config.get("base", "uniform") != "uniform" else []
    details += [f"her {config['her']}"] if config.get("her", "off") != "off" else []
    if asks_in_words(config.get("her")) and scorer and not labels:
        details[-1] += f" by {scorer}"
    words = f"({', '.join(details)})" if details else ""
    play = " +play" if config.get("play_steps") else ""
    return f"{env} {config.get('algo', '')} {config.get('replay', '')}{words}{play} s{config.get('seed', 0)}"


def _locked(connection: Connection, run_id: int) -> Row[Any]:
    """The run's row, locked until this transaction ends."""
    row = connection.execute(_row_of(run_id).with_for_update()).one_or_none()
    if row is None:
        raise _no_run(run_id)
    return row


def _row_of(run_id: int) -> Select[Any]:
    return select(t.runs, _now()).where(t.runs.c.run_id == run_id)


def _now() -> ColumnElement[float]:
    return database_time().label("now")


def _update(connection: Connection, run_id: int, values: dict[str, Any], owner: str | None = None) -> None:
    """Change the run's row; `owner`: if it still has this one."""
    change = update(t.runs).where(t.runs.c.run_id == run_id)
    if owner is not None:
        change = change.where(t.runs.c.owner == owner)
    if connection.execute(change.values(**values)).rowcount == 0:
        there = connection.scalar(select(t.runs.c.run_id).where(t.runs.c.run_id == run_id))
        raise _no_run(run_id) if there is None else _lost(run_id)


def take_from(connection: Connection, run_id: int, pid: int, host: str, status: RunStatus) -> bool:
    """Take a live run from a process that is gone; False if it does not have it. What it still writes is refused."""
    row = _locked(connection, run_id)
    if row.status not in LIVE or (row.pid, row.host) != (pid, host):
        return False
    _update(connection, run_id, {"status": status, "ended_at": time.time(), "pid": None, "owner": None})
    return True


def _lost(run_id: int) -> RunLostError:
    return RunLostError(f"run {run_id} was taken over by another process, since this one was considered dead; it ends here")


def _no_run(run_id: int) -> NotFoundError:
    return NotFoundError(f"there is no run {run_id}; `vlmrb runs` lists all runs")


def _is_live(row: Row[Any]) -> bool:
    return row.status in LIVE and is_alive(row, row.heartbeat_at)


def _refuse_live(row: Row[Any], way_out: str) -> None:
    if not _is_live(row):
        return
    if row.host != socket.gethostname():
        ago, limit = silence_s(row, row.heartbeat_at), LEASE_S
        who = f"process {row.pid} on {row.host}, last heartbeat {ago:.0f} s ago (considered dead after {limit:.0f} s)"
    elif row.pid == os.getpid():
        who = f"this process ({row.pid})"
    else:
        who = f"process {row.pid}"
    raise RunBusyError(f"run {row.run_id} is being trained by {who}; {way_out}: vlmrb control {row.run_id} stop")


def _stored_counters(counters: RunCounters) -> dict[str, Any]:
    return {name: value for name, value in plain(asdict(counters)).items() if value != ""}


_COUNTERS = {field.name: type(field.default) for field in fields(RunCounters)}


def _counters(stored: dict[str, Any]) -> RunCounters:
    """The counters in a row; those of another version may lack some or have others."""
    known: dict[str, Any] = {name: value for name, value in stored.items() if isinstance(value, _COUNTERS.get(name, ()))}
    return RunCounters(**known)


def _summary(row: Row[Any]) -> RunSummary:
    deleting = row.status == _DELETING
    status: RunStatus = "failed" if deleting else row.status
    error = f"its deletion has begun; {_DELETE_AGAIN}" if deleting else row.error
    if status in LIVE and not _is_live(row):
        status = "interrupted"
    if status not in LIVE and (row.job in ("queued", "starting") or (row.job == "running" and status == "created")):
        status = "queued"
    config = row.config
    if isinstance(config.get("keep_clips"), bool):  # as versions stored it that kept all or none
        config = {**config, "keep_clips": str(retention_of(config))}
    return RunSummary(
        run_id=row.run_id, name=row.name, status=status, env=config.get("env", ""), algo=config.get("algo", ""),
        replay=config.get("replay", ""), scorer=config.get("scorer"), seed=config.get("seed", 0),
        total_steps=config.get("total_steps", 0), step=row.step, steps_per_second=row.steps_per_second,
        created_at=row.created_at, started_at=row.started_at, ended_at=row.ended_at, heartbeat_at=row.heartbeat_at,
        pid=row.pid, error=error, config=config, render_spec=row.render_spec, success_rule=row.success_rule,
        counters=_counters(row.counters), tags=tuple(row.tags), set_name=row.set_name, parent_id=row.parent_id,
        parent_step=row.parent_step, parent_moment=row.parent_moment, continuation_seed=row.continuation_seed,
    )  # fmt: skip
