"""A Ray cluster on this machine whose nodes can be killed, all on loopback, in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import psutil

SMALL = {"node_ip_address": "127.0.0.1", "object_store_memory": 80_000_000, "include_dashboard": False}


class Nodes:
    """A head without CPUs, and nodes that look like machines of their own."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="vr-", dir="/tmp")  # Ray's sockets allow no long path
        self._before = os.environ.copy()
        self._nodes: list[Any] = []

    def __enter__(self) -> Self:
        os.environ |= {"RAY_TMPDIR": self._folder, "RAY_USAGE_STATS_ENABLED": "0", "TMPDIR": self._folder}
        from ray.cluster_utils import Cluster

        head = SMALL | {"num_cpus": 0, "temp_dir": f"{self._folder}/ray"}
        try:
            self._cluster = started(lambda: Cluster(initialize_head=True, head_node_args=head))
        except BaseException:
            self._clean_up()
            raise
        self.address = self._cluster.address
        return self

    def add(self, cpus: int = 1) -> None:
        """Add a node."""
        self._nodes.append(started(lambda: self._cluster.add_node(num_cpus=cpus, **SMALL)))

    def kill(self, index: int) -> None:
        """Kill a node as a power cut would: all of its processes at once."""
        node = self._nodes.pop(index)
        for raylet in node.all_processes["raylet"]:
            for process in psutil.Process(raylet.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self._cluster.remove_node(node, allow_graceful=False)

    def __len__(self) -> int:
        return len(self._nodes)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._cluster.shutdown()
        self._clean_up()

    def _clean_up(self) -> None:
        end(processes_of(self._folder))
        for name in set(os.environ) - set(self._before):
            del os.environ[name]
        os.environ.update(self._before)
        shutil.rmtree(self._folder, ignore_errors=True)


def started(make: Callable[[], Any]) -> Any:
    """Start a node. Ray gives it 30 s, which it may not keep to on a busy machine: then another try."""
    for left in range(4, -1, -1):
        try:
            return make()
        except Exception as error:
            if not left or "timed out during startup" not in str(error):
                raise
    raise AssertionError("not reached")


def processes_of(folder: str) -> list[psutil.Process]:
    """All processes of the cluster with this folder, with those that they have started."""
    found = psutil.process_iter(["environ"])
    return [each for each in found if each.pid != os.getpid() and (each.info["environ"] or {}).get("RAY_TMPDIR") == folder]


def end(processes: list[psutil.Process]) -> None:
    """Kill processes, as far as they are still there."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, 10)
