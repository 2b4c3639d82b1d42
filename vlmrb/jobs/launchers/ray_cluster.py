"""A Ray cluster from outside: found or started, its machines looked at, and its keeper woken.

Each time in a process of its own, which is connected for a moment: a connection takes seconds to make, leaves threads behind,
and there can be only one in a process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmrb.errors import LauncherError, VlmrbError
from vlmrb.hosts import is_loopback
from vlmrb.jobs.launchers.local import PACKAGE_FOLDER, search_path
from vlmrb.jobs.launchers.ray import NAMESPACE, address_of, keeper_class, keeper_of, node_words
from vlmrb.ray_address import TOKEN_WORDS, make_token, ray_command, running_here, unreachable, use_token
from vlmrb.store import Store
from vlmrb.types import Destination

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
    make_token()
    done = ray_command("start", *options)
    if done.returncode != 0:
        words = " ".join((done.stderr or done.stdout).split()[-40:])
        raise LauncherError(f"on: no Ray cluster could be started on this machine: {words}; try: {START}")
    return f"127.0.0.1:{port}"


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


def _machine(node: str, packages: Sequence[str], package_folder: str) -> dict[str, Any]:
    """What this machine is, as the fields of a `Machine`; needs nothing but Python and Ray."""
    import importlib.metadata
    import importlib.util
    import platform
    import sys

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
        keeper = ray.remote(keeper_class()).options(
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


if __name__ == "__main__":
    _serve()
