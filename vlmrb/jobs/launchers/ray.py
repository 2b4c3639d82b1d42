"""The launcher 'ray:ADDRESS': jobs as processes on the machines of a Ray cluster (extra `[ray]`).

    launch ─► `connected`: a process of its own looks at the cluster's machines, and refuses in words
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
import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmrb.errors import LauncherError, NotFoundError, VlmrbError
from vlmrb.hosts import is_loopback
from vlmrb.jobs.launchers.local import PACKAGE_FOLDER, LocalLauncher, search_path
from vlmrb.jobs.logs import log_path
from vlmrb.ray_address import TOKEN_WORDS, running_here, unreachable, use_token
from vlmrb.store import Store
from vlmrb.types import Destination, Job

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

CONNECT_S = 180.0
PROBE_S = 90.0
OBJECT_STORE_BYTES = 80 * 2**20
"""Nothing here uses Ray's object store; this is about the smallest that Ray accepts."""

_ON_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""At 0, Ray keeps a loopback address as it is, instead of replacing it by the machine's own, where nothing listens."""

START = "ray start --head"


@dataclass(frozen=True, slots=True)
class Machine:
    """What a node of the cluster says of itself.

    Attributes:
        node: its name for people.
        machine: the same for nodes on one machine.
        python, ray, vlmrb: their versions, or what is wrong with them.
        missing: packages that the runs need and that are not installed there.
    """

    node: str
    machine: str
    python: str
    ray: str
    vlmrb: str
    missing: tuple[str, ...] = ()


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


# -- from outside: a process of its own, which is connected for a moment


@contextmanager
def connected(store: Store, chosen: Destination, envs: Iterable[str]) -> Iterator[str]:
    """See whether runs of these environments can run there; yields the launcher's name, and then sees that the keeper runs.

    Raises:
        LauncherError: they cannot; or the keeper could not be started, and the jobs stay queued.
    """
    if importlib.util.find_spec("ray") is None:
        raise LauncherError("on: Ray is not installed here; install it with: pip install -e '.[ray]'")
    request: dict[str, Any] = {
        "store": address_of(store),
        "on": chosen.launcher,
        "resources": dict(chosen.resources),
        "envs": sorted(envs),
    }
    request["cpus"] = _usual_cpus(store)
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": search_path(), "RAY_USAGE_STATS_ENABLED": "0"},
    )
    timer = threading.Timer(CONNECT_S, process.kill)
    timer.start()
    try:
        launcher = _reply(process, request)
        yield launcher
        _reply(process, {"keep": launcher})
    finally:
        timer.cancel()
        process.kill()
        process.communicate()


def _usual_cpus(store: Store) -> int:
    from vlmrb.jobs.dispatching import job_limit

    return job_limit(store)


def _reply(process: subprocess.Popen[str], request: Mapping[str, Any]) -> str:
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    with suppress(BrokenPipeError):
        print(json.dumps(request), file=process.stdin, flush=True)
    for line in process.stdout:
        if line.startswith("reply "):
            said = json.loads(line.removeprefix("reply "))
            if "error" in said:
                raise LauncherError(said["error"])
            return str(said["launcher"])
    words = " ".join(process.stderr.read().split()[-40:])
    raise LauncherError(f"on: Ray gave no answer ({words or f'{CONNECT_S:g} s are up'}); see: ray status")


def _serve() -> None:
    """Answer one `connected`."""
    request = json.loads(sys.stdin.readline())
    try:
        with Store(request["store"]) as store:
            _say(launcher=(launcher := _connect_and_check(store, request)))
            if sys.stdin.readline():
                _wake_keeper(store, launcher)
                _say(launcher=launcher)
    except VlmrbError as error:
        _say(error=str(error))


def _say(**words: str) -> None:
    print("reply " + json.dumps(words), flush=True)


def _connect_and_check(store: Store, request: Mapping[str, Any]) -> str:
    address = _find(request["on"].partition(":")[2], request["cpus"])
    use_token(address)
    import ray

    try:
        ray.init(address, namespace=NAMESPACE, log_to_driver=False, logging_level="critical")
    except (RuntimeError, ValueError, OSError) as error:
        words = " ".join(str(error).split())
        if "ersion mismatch" in words:
            raise LauncherError(f"on: the cluster at {address} has other versions than this machine: {words[:300]}") from error
        raise LauncherError(
            f"on: the cluster at {address} cannot be used from here: {words[:300]}. This machine has to be one of it: "
            f"ray start --address={address}; {TOKEN_WORDS}"
        ) from error
    nodes = [node for node in ray.nodes() if node["Alive"]]
    check_resources(address, request["resources"], [node["Resources"] for node in nodes])
    packages = sorted({package for env in request["envs"] for package in packages_of(env)})
    check_machines(_probe(nodes, packages), is_file="://" not in address_of(store), store=store.name)
    return f"ray:{address}"


def _find(address: str, cpus: int) -> str:
    """The address of the cluster: the given one, that of RAY_ADDRESS, one on this machine, or one that is started now.

    Raises:
        LauncherError: nothing answers there.
    """
    given = address or os.environ.get("RAY_ADDRESS", "")
    known = given or running_here()
    if known:
        host, _, port = known.rpartition(":")
        if not host or not port.isdecimal():
            raise LauncherError(f"on: got the address {known!r}; allowed: HOST:PORT of the cluster's head, such as 10.0.0.5:6379")
        if not unreachable(host, int(port)):
            if is_loopback(host) and unreachable(_own_address(), int(port)):
                os.environ[_ON_LOOPBACK] = "0"
            return known
        if given:
            raise LauncherError(
                f"on: no Ray cluster answers at {known}; start one there with: {START}, join this machine to it with: "
                f"ray start --address={known}, or leave the address out to start one on this machine"
            )
    return _start(cpus)


def _own_address() -> str:
    """The address that other machines reach this one at, as Ray would find it."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(("8.8.8.8", 80))  # sends nothing
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _start(cpus: int) -> str:
    """Start a cluster of this machine alone, which outlives this process: `ray stop` ends it."""
    os.environ[_ON_LOOPBACK] = "0"
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    options = ["--head", "--node-ip-address=127.0.0.1", f"--port={port}", f"--num-cpus={cpus}", "--include-dashboard=false"]
    options += [f"--object-store-memory={OBJECT_STORE_BYTES}", "--disable-usage-stats"]
    if "RAY_AUTH_MODE" not in os.environ:
        _ray("get-auth-token", "--generate")  # so that other users of this machine cannot run code in it; old Rays have no tokens
        use_token("")
    done = _ray("start", *options)
    if done.returncode != 0:
        words = " ".join((done.stderr or done.stdout).split()[-40:])
        raise LauncherError(f"on: no Ray cluster could be started on this machine: {words}; try: {START}")
    return f"127.0.0.1:{port}"


def _ray(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def packages_of(env: str) -> set[str]:
    """The installed packages that an environment is made from."""
    module, found, _ = env.rpartition(":")
    if found:
        return {module.partition(".")[0]}
    import gymnasium as gym

    from vlmrb.envs.registered import register_ids

    register_ids()
    entry = getattr(gym.registry.get(env), "entry_point", None)
    if not isinstance(entry, str):
        return {"minigrid"}
    return {entry.partition(".")[0].partition(":")[0]} | ({"Box2D"} if ".box2d" in entry else set())


def check_resources(address: str, wanted: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> None:
    """Refuse resources that no node has.

    Args:
        address: the cluster's, for the message.
        wanted: amounts by name: 'cpus', 'gpus' or the cluster's own.
        nodes: what each node has, by Ray's names.

    Raises:
        LauncherError: no node has all of them.
    """
    names = {"cpus": "CPU", "gpus": "GPU"}
    if any(all(node.get(names.get(name, name), 0.0) >= amount for name, amount in wanted.items()) for node in nodes):
        return
    asked = ", ".join(f"{name} {amount:g}" for name, amount in wanted.items())
    there = "; ".join(", ".join(f"{name} {node.get(names.get(name, name), 0.0):g}" for name in wanted) for node in nodes[:5])
    raise LauncherError(
        f"resources: no node of the cluster at {address} has {asked}; its nodes have: {there}. Ask for less, or add a node: "
        f"ray start --address={address}"
    )


def check_machines(machines: Sequence[Machine], *, is_file: bool, store: str) -> None:
    """Refuse a cluster whose nodes could not train the runs.

    Args:
        machines: what each node says.
        is_file: whether the store is a file, which other machines do not have.
        store: its name, for the message.

    Raises:
        LauncherError: versions differ, packages are missing, or a node cannot reach the store.
    """
    mine = _machine("", [], PACKAGE_FOLDER)
    for there in machines:
        for what in ("python", "ray", "vlmrb"):
            if getattr(there, what) != mine[what]:
                raise LauncherError(
                    f"on: node {there.node} has {what} {getattr(there, what)}, and this machine {mine[what]}; install the same "
                    "version there, or take the node out of the cluster: ray stop"
                )
        if there.missing:
            raise LauncherError(
                f"on: node {there.node} lacks the package {', '.join(there.missing)}, which the runs' environment needs; install "
                "it there, or take the node out of the cluster: ray stop"
            )
    elsewhere = [there.node for there in machines if there.machine != mine["machine"]]
    if is_file and elsewhere:
        raise LauncherError(
            f"on: the store {store} is a file on this machine, and the cluster has others ({', '.join(elsewhere[:3])}); use a "
            "store on PostgreSQL: --store postgresql://HOST/NAME"
        )


def _probe(nodes: Sequence[Mapping[str, Any]], packages: Sequence[str]) -> list[Machine]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(_machine)  # with its code, as this is __main__
    asked = {}
    for node in nodes:
        name = node_words(node["NodeName"], node["NodeID"])
        there = task.options(num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], False))
        asked[there.remote(name, packages, PACKAGE_FOLDER)] = name
    done, late = ray.wait(list(asked), num_returns=len(asked), timeout=PROBE_S)
    if late:
        raise LauncherError(
            f"on: node {asked[late[0]]} does not answer within {PROBE_S:g} s; take it out of the cluster: ray stop"
        )
    try:
        return [Machine(**each) for each in ray.get(done)]
    except Exception as error:  # whatever happened there
        raise LauncherError(f"on: a node of the cluster cannot be used: {' '.join(str(error).split())[-300:]}") from error


def node_words(name: str, node_id: str) -> str:
    """A node for people: nodes on one machine may have one name."""
    return f"{name} ({node_id[:8]})"


def _machine(node: str, packages: Sequence[str], package_folder: str) -> dict[str, Any]:
    """What this machine is, as the fields of a `Machine`; needs nothing but Python and Ray."""
    import importlib.metadata
    import importlib.util
    import platform
    import sys
    from pathlib import Path

    if Path(package_folder).is_dir() and package_folder not in sys.path:
        sys.path.insert(0, package_folder)
    try:
        import vlmrb

        version = vlmrb.__version__
    except ImportError as error:
        version = f"is missing ({error})"
    boot = Path("/proc/sys/kernel/random/boot_id")
    return {
        "node": node,
        "machine": boot.read_text().strip() if boot.exists() else platform.node(),
        "python": platform.python_version(),
        "ray": importlib.metadata.version("ray"),
        "vlmrb": version,
        "missing": tuple(name for name in packages if importlib.util.find_spec(name) is None),
    }


def _wake_keeper(store: Store, launcher: str) -> None:
    import ray

    for _ in range(5):
        keeper = ray.remote(_keeper_class()).options(
            name=keeper_of(store),
            lifetime="detached",
            namespace=NAMESPACE,
            get_if_exists=True,
            max_restarts=-1,
            num_cpus=0,
        )
        try:
            ray.get(keeper.remote(address_of(store), launcher, PACKAGE_FOLDER).wake.remote(), timeout=60)
        except ray.exceptions.RayError:  # it was about to end
            time.sleep(0.5)
        else:
            return
    raise LauncherError(f"on: the keeper of the queue does not start on {launcher}; the runs are queued: see ray status")


# -- inside the cluster. The classes are sent by value: nodes may lack this package, and then say so


def _keeper_class() -> type:
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
            import subprocess
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
                except Exception:  # noqa: BLE001  the keeper has just died, say: Ray starts another runner
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


if __name__ == "__main__":
    _serve()
