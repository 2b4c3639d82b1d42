"""The launcher 'ray:ADDRESS': jobs as processes on the machines of a Ray cluster (extra `[ray]`).

    launch ─► `ray_cluster.connected` looks at the cluster's machines, and refuses in words
           ─► queue ─► the keeper, an actor of the cluster ─► a runner per job, an actor with the job's resources
                                                              └─► `python -m vlmrb.jobs JOB ATTEMPT`, then perhaps another

Tasks of Ray die with whoever submitted them; detached actors do not, so runner and keeper are such actors. The keeper hands
queued jobs to Ray in order, a few ahead of what has started, and queues those again whose runner is gone. If it dies, Ray
starts it again on another machine. A runner ends with its job's process, and the process with its runner, so that whatever
Ray does to the one happens to the other. A runner costs as much CPU time as starting a job, so one whose job was short asks the
keeper for the next one that is to have the same resources.

Whoever reaches the ports of a Ray cluster can run code on its machines. A cluster that is started here listens on loopback.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path

from vlmrb.errors import NotFoundError
from vlmrb.jobs.launchers.local import PACKAGE_FOLDER, LocalLauncher
from vlmrb.jobs.logs import log_path
from vlmrb.store import Store
from vlmrb.types import Job

NAMESPACE = "vlmrb"
AHEAD = 8
"""Jobs that Ray may have before their process has started: it places them as resources become free, nearly in order."""

LOOK_S = 1.0
IDLE_S = 60.0
"""The keeper ends after this long without a job."""

ORPHAN_S = 5.0
"""A runner whose job has ended or was cancelled is ended after this long."""

REUSE_S = 120.0
"""A runner takes no further job after this long, so that what others want from the cluster gets its turn."""


class RayLauncher:
    """A Ray cluster. `submit`, `names` and `kill` need a connection, which only the keeper has.

    Args:
        name: 'ray:' and the address.
    """

    def __init__(self, name: str) -> None:
        self.name, self.address = name, name.partition(":")[2]

    def submit(self, store: Store, job: Job) -> str:
        """Create the job's runner; Ray starts it as soon as a node has its resources free."""
        import ray

        handle = f"{prefix_of(store)}{job.job_id}-{job.attempt}"
        amounts = dict(job.resources)
        threads = {"OMP_NUM_THREADS": str(max(1, int(amounts.get("cpus", 1)))), "LP_NUM_THREADS": "0", "PYTHONUNBUFFERED": "1"}
        runner = ray.remote(_runner_class()).options(
            name=handle,
            lifetime="detached",
            namespace=NAMESPACE,
            max_restarts=0,
            num_cpus=amounts.pop("cpus", 1.0),
            num_gpus=amounts.pop("gpus", 0.0),
            resources=amounts,
        )
        with suppress(ValueError):  # a keeper before this one had created it, and died before it could say so
            first = (job.job_id, job.attempt)
            runner.remote(address_of(store), first, threads, PACKAGE_FOLDER, keeper_of(store), handle, REUSE_S)
        store.job_submitted(job.job_id, job.attempt, handle)
        return handle

    def cancel(self, job: Job) -> None:
        """End its process, if it is on this machine; else it finds out by itself, and the keeper ends its runner."""
        LocalLauncher().cancel(job)

    def state(self, job: Job) -> str:
        """What the keeper heard last of it."""
        return job.state

    def log(self, store: Store, job: Job, max_bytes: int) -> str:
        """The file, if it is on this machine, else what its process sent of it last."""
        here = job.host in (None, socket.gethostname())
        return (LocalLauncher().log(store, job, max_bytes) if here else "") or store.job_log(job.job_id)[-max_bytes:]

    def names(self) -> set[str]:
        """The handles of all runners that Ray has: waiting for resources, starting or alive."""
        import ray

        return set(ray.util.list_named_actors())

    def kill(self, handle: str) -> None:
        """End a runner, and with it the process of its job."""
        import ray

        with suppress(ValueError):  # it has just ended
            ray.kill(ray.get_actor(handle, NAMESPACE))


def address_of(store: Store) -> str:
    """What opens the store in another folder."""
    return store.url if "://" in store.url else str(Path(store.url).absolute())


def prefix_of(store: Store) -> str:
    """What the names of the store's actors begin with: other stores may use the cluster, too."""
    return f"vlmrb-{hashlib.sha256(address_of(store).encode()).hexdigest()[:12]}-"


def keeper_of(store: Store) -> str:
    """The keeper's name."""
    return f"{prefix_of(store)}keeper"


def node_words(name: str, node_id: str) -> str:
    """A node for people: nodes on one machine may have one name."""
    return f"{name} ({node_id[:8]})"


# -- inside the cluster. The classes are sent by value: nodes may lack this package, and then say so


def keeper_class() -> type:
    class Keeper:
        """Keeps the queue moving, in a thread."""

        def __init__(self, store_url: str, launcher: str, package_folder: str) -> None:
            import sys
            import threading

            sys.path.insert(0, package_folder)
            from vlmrb.jobs.launchers.ray import Keeping

            self._keeping = Keeping(store_url, launcher)
            threading.Thread(target=self._keeping.run, daemon=True).start()

        def wake(self) -> None:
            self._keeping.wake()

        def next_job(self, handle: str, job_id: int, attempt: int) -> tuple[int, int] | None:
            return self._keeping.next_job(handle, job_id, attempt)

    return Keeper


def _runner_class() -> type:
    class Runner:
        """The parent of a job's process: neither outlives the other."""

        def __init__(
            self,
            store_url: str,
            job: tuple[int, int],
            environment: dict[str, str],
            package_folder: str,
            keeper: str,
            handle: str,
            reuse_s: float,
        ) -> None:
            import os
            import sys
            import threading
            import time

            import ray

            context, until = ray.get_runtime_context(), time.monotonic() + reuse_s
            name = next((node["NodeName"] for node in ray.nodes() if node["NodeID"] == context.get_node_id()), "?")
            path = os.pathsep.join(filter(None, [package_folder, os.environ.get("PYTHONPATH", "")]))
            environment = (
                environment
                | {
                    "VLMRB_STORE": store_url,  # not an argument: the URL may hold a password
                    "VLMRB_NODE": f"{name} ({context.get_node_id()[:8]})",
                    "PYTHONPATH": path,
                }
            )

            def start(job: tuple[int, int]) -> None:
                command = [sys.executable, "-m", "vlmrb.jobs", *map(str, job)]
                self._process = subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | environment)

            def next_job(last: tuple[int, int]) -> tuple[int, int] | None:
                try:
                    return ray.get(ray.get_actor(keeper, context.namespace).next_job.remote(handle, *last), timeout=30)
                except Exception as error:  # noqa: BLE001  the keeper has just died, say: Ray starts another runner
                    print(f"the keeper gave no further job: {error}", flush=True)  # to Ray's log
                    return None

            def follow(job: tuple[int, int] | None) -> None:
                while job:
                    self._process.wait()
                    job = next_job(job) if time.monotonic() < until else None
                    if job:
                        start(job)
                os._exit(0)

            start(job)
            threading.Thread(target=follow, args=[job], daemon=True).start()

    return Runner


class Keeping:
    """What the keeper does: every second it looks at queue and cluster.

    Args:
        store_url: opens the store.
        launcher: the cluster's name in the queue.
    """

    def __init__(self, store_url: str, launcher: str) -> None:
        self._store_url, self._launcher = store_url, RayLauncher(launcher)
        self._lock, self._woken_at, self._ending = threading.Lock(), time.monotonic(), False
        self._queue = threading.Lock()
        self._orphans: dict[str, float] = {}

    def wake(self) -> None:
        """There is a job.

        Raises:
            RuntimeError: too late; another keeper is needed.
        """
        with self._lock:
            if self._ending:
                raise RuntimeError("the keeper is ending")
            self._woken_at = time.monotonic()

    def run(self) -> None:
        """Look until nothing is left to do, whatever store and cluster are up to meanwhile."""
        import ray

        while not self._ending:
            try:
                with Store(self._store_url, create=False) as store:
                    while self._is_needed():
                        with self._queue:
                            busy = self.look(store)
                        if busy:
                            self.wake()
                        time.sleep(LOOK_S)
            except NotFoundError:  # the store was deleted
                self._is_needed()
                time.sleep(LOOK_S)
            except Exception:  # noqa: BLE001  a server that restarts, say: there may be jobs
                traceback.print_exc()
                self.wake()
                time.sleep(LOOK_S)
        ray.kill(ray.get_runtime_context().current_actor)

    def next_job(self, handle: str, job_id: int, attempt: int) -> tuple[int, int] | None:
        """What a runner is to start now that its job has ended; the runner that was to is ended before it begins.

        Args:
            handle: the runner's.
            job_id, attempt: its job, whose process has ended.

        Returns:
            Id and attempt of the oldest job that is to have the same resources; None if there is none.
        """
        with self._queue, Store(self._store_url, create=False) as store:
            last = store.job(job_id)
            store.job_lost(job_id, attempt, f"its process on node {last.node or 'unknown'} ended without a report")
            self._take_and_submit(store)
            for job in store.active_jobs(self._launcher.name):
                waits = job.status == "starting" and job.handle and job.resources == last.resources
                if waits and store.job_handed_over(job.job_id, job.attempt, handle):
                    self._launcher.kill(job.handle)
                    return job.job_id, job.attempt
        return None

    def _is_needed(self) -> bool:
        with self._lock:
            self._ending = time.monotonic() - self._woken_at > IDLE_S
            return not self._ending

    def look(self, store: Store) -> bool:
        """Bring queue and cluster together; whether there are jobs."""
        launcher = self._launcher
        there = {name for name in launcher.names() if name.startswith(prefix_of(store)) and not name.endswith("keeper")}
        jobs = store.active_jobs(launcher.name)  # read after the names, so that a process has reported before its runner is gone
        for job in jobs:
            if job.handle and job.handle not in there:
                why, node_died = became_of(job)
                store.job_lost(job.job_id, job.attempt, why, node_died=node_died)
        self._end_orphans(there - {job.handle for job in jobs})
        self._take_and_submit(store)
        for job in store.active_jobs(launcher.name):
            if job.handle and (words := _state_words(job)) != job.state:
                store.job_state(job.job_id, words)
        return bool(jobs)

    def _take_and_submit(self, store: Store) -> None:
        from vlmrb.jobs.launchers import set_limits

        for job in store.take_jobs({"train": AHEAD}, launcher=self._launcher.name, set_limits=set_limits(store)):
            self._launcher.submit(store, job)

    def _end_orphans(self, names: set[str]) -> None:
        now = time.monotonic()
        self._orphans = {name: self._orphans.get(name, now) for name in names}
        for name, since in self._orphans.items():
            if now - since > ORPHAN_S:
                self._launcher.kill(name)


def became_of(job: Job) -> tuple[str, bool]:
    """What became of a job whose runner is gone, in words, and whether that is its node's fault."""
    import ray

    if not job.node:
        return "its process was not there yet when its node died, or could not be started (see Ray's logs)", True
    alive = {node_words(node["NodeName"], node["NodeID"]) for node in ray.nodes() if node["Alive"]}
    return (
        (f"its process on node {job.node} ended without a report", False)
        if job.node in alive
        else (f"node {job.node} died", True)
    )


def _state_words(job: Job) -> str:
    amounts = ", ".join(f"{name} {amount:g}" for name, amount in job.resources.items())
    return f"alive on node {job.node}" if job.node else f"waits for a node with {amounts} free"


def follow_runner() -> None:
    """End this process at once when its runner does, which holds the other end of its standard input."""

    def follow() -> None:
        while os.read(0, 1):  # not of `sys.stdin`, whose lock would be held when this process ends by itself
            pass
        os._exit(137)

    threading.Thread(target=follow, name="runner", daemon=True).start()


def write_log(store: Store, job: Job) -> None:
    """Let this process write to the job's log file, where it runs."""
    path = log_path(store, job.kind, job.target_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as log:
        sys.stdout.flush()
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
