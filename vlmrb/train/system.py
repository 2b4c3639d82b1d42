"""How much of the machine a run uses: processor and memory of its processes, and the GPUs that it may use."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any, NamedTuple

import psutil

from vlmrb.types import SYSTEM

INTERVAL_S = 10.0
"""Seconds between two samples, at least: reading takes about a millisecond."""


class _Gpus(NamedTuple):
    nvml: Any  # the library, None without GPUs
    handles: list[Any]


class SystemUse:
    """Samples what the learner, the scoring process and the GPUs use. Draws no random numbers.

    GPUs are read through NVIDIA's management library, where the package nvidia-ml-py is installed and there are any.
    """

    def __init__(self) -> None:
        self._processes: dict[str, psutil.Process] = {}
        self._gpus: _Gpus | None = None  # looked for with the first sample
        self._begin("learner", os.getpid())
        self._sampled_at = time.monotonic()

    def sample(self, scorer_pid: int | None = None) -> dict[str, float]:
        """What has been used since the last sample, by metric; {} if that was less than INTERVAL_S ago.

        Of a process: `system/…_cpu`, busy cores on average, and `system/…_memory`, bytes now. Of a GPU: `system/gpu…_use`, the
        share of the last moment in which it computed, and `system/gpu…_memory`, bytes that all programs together hold.

        Args:
            scorer_pid: the scoring process; None if there is none. What a new one has used comes with its second sample.
        """
        if time.monotonic() - self._sampled_at < INTERVAL_S:
            return {}
        self._sampled_at = time.monotonic()
        found = self._of_process("learner", os.getpid())
        if scorer_pid is not None:
            found |= self._of_process("scorer", scorer_pid)
        return found | self._of_gpus()

    def _begin(self, name: str, pid: int) -> None:
        process = psutil.Process(pid)
        process.cpu_percent()  # the time from here on counts
        self._processes[name] = process

    def _of_process(self, name: str, pid: int) -> dict[str, float]:
        try:
            if name not in self._processes or self._processes[name].pid != pid:
                self._begin(name, pid)
                return {}
            process = self._processes[name]
            with process.oneshot():
                cores, memory = process.cpu_percent() / 100, float(process.memory_info().rss)
        except psutil.Error:  # it has ended meanwhile
            return {}
        return {f"{SYSTEM}{name}_cpu": cores, f"{SYSTEM}{name}_memory": memory}

    def _of_gpus(self) -> dict[str, float]:
        if self._gpus is None:
            self._gpus = _visible_gpus()
        nvml, found = self._gpus.nvml, dict[str, float]()
        for number, gpu in enumerate(self._gpus.handles):
            try:
                found[f"{SYSTEM}gpu{number}_memory"] = float(nvml.nvmlDeviceGetMemoryInfo(gpu).used)
                found[f"{SYSTEM}gpu{number}_use"] = nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100
            except nvml.NVMLError:  # parts of a GPU do not tell their use
                continue
        return found


def _visible_gpus() -> _Gpus:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves to this process, in the order of the numbers that CUDA gives them."""
    try:
        import pynvml
    except ImportError:
        return _Gpus(None, [])
    handles: list[Any] = []
    with suppress(pynvml.NVMLError):  # no driver, or no such GPU: CUDA does not see those after it, either
        pynvml.nvmlInit()
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = map(str, range(pynvml.nvmlDeviceGetCount())) if chosen is None else chosen.split(",")
        for name in (each.strip() for each in names):
            by_index = name.isdecimal()
            handles.append(pynvml.nvmlDeviceGetHandleByIndex(int(name)) if by_index else pynvml.nvmlDeviceGetHandleByUUID(name))
    return _Gpus(pynvml, handles)
