"""How much of the machine a run uses: what is measured, and that measuring changes nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import psutil
import pytest

from tests.test_train import small
from vlmrb.store import Store
from vlmrb.train import system, train
from vlmrb.train.system import SystemUse
from vlmrb.types import SYSTEM


@pytest.fixture(autouse=True)
def no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as where nvidia-ml-py is not installed


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "INTERVAL_S", 0.0)


def test_a_process_is_measured_by_the_cores_it_keeps_busy_and_its_memory(at_once: None) -> None:
    use = SystemUse()
    began = time.process_time()
    while time.process_time() - began < 0.2:
        pass
    found = use.sample()
    assert set(found) == {"system/learner_cpu", "system/learner_memory"}
    assert found["system/learner_cpu"] > 0.0
    assert found["system/learner_memory"] == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)


def test_the_scoring_process_is_measured_from_its_second_sample_on_and_left_out_when_it_is_gone(at_once: None) -> None:
    use = SystemUse()
    idle = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(idle, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert "system/scorer_cpu" not in use.sample(process.pid)
        assert use.sample(process.pid)["system/scorer_memory"] > 1_000_000
        process.communicate(b"\n")
    assert set(use.sample(process.pid)) == set(use.sample(None)) == {"system/learner_cpu", "system/learner_memory"}


def test_samples_keep_their_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    use = SystemUse()
    assert use.sample() == {}
    monkeypatch.setattr(system, "INTERVAL_S", 0.0)
    assert use.sample()
    monkeypatch.setattr(system, "INTERVAL_S", 1_000.0)
    assert use.sample() == {}


class NVMLError(Exception):
    pass


def nvml(gpus: dict[str, int | None]) -> ModuleType:
    """A stand-in for NVIDIA's library, with these GPUs: how busy they are in percent; one that is None does not tell."""
    uuids = list(gpus)

    def find(uuid: str) -> str:
        if uuid not in gpus:
            raise NVMLError("not found")
        return uuid

    def rates(uuid: str) -> SimpleNamespace:
        if gpus[uuid] is None:
            raise NVMLError("not supported")
        return SimpleNamespace(gpu=gpus[uuid])

    library = ModuleType("pynvml")
    library.__dict__.update(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(uuids),
        nvmlDeviceGetHandleByIndex=lambda at: find(uuids[at] if at < len(uuids) else ""),
        nvmlDeviceGetHandleByUUID=find,
        nvmlDeviceGetMemoryInfo=lambda uuid: SimpleNamespace(used=1_000 + uuids.index(uuid)),
        nvmlDeviceGetUtilizationRates=rates,
    )
    return library


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, {"gpu0_use": 0.5, "gpu0_memory": 1_000, "gpu1_memory": 1_001, "gpu2_use": 1.0, "gpu2_memory": 1_002}),
        ("2, GPU-a", {"gpu0_use": 1.0, "gpu0_memory": 1_002, "gpu1_use": 0.5, "gpu1_memory": 1_000}),
        ("0,7,2", {"gpu0_use": 0.5, "gpu0_memory": 1_000}),  # CUDA does not look beyond one that is not there
        ("", {}),
        ("-1", {}),
    ],
)
def test_gpus_are_those_that_cuda_may_use_by_its_own_numbers(
    visible: str | None, found: dict[str, float], at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml({"GPU-a": 50, "GPU-b": None, "GPU-c": 100}))
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    use = SystemUse()
    for _ in range(2):
        assert {name.removeprefix(SYSTEM): value for name, value in use.sample().items() if "gpu" in name} == found


def test_a_machine_with_the_library_but_no_driver_has_no_curves_of_gpus(at_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    library = nvml({"GPU-a": 50})

    def no_driver() -> None:
        raise NVMLError("driver not loaded")

    library.__dict__["nvmlInit"] = no_driver
    monkeypatch.setitem(sys.modules, "pynvml", library)
    assert not any("gpu" in name for name in SystemUse().sample())


def test_a_run_is_the_same_whether_it_is_measured_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small(sync_scoring=True, total_steps=800)
    with Store(str(tmp_path / "runs.db")) as store:
        first = train(config, store=store).run_id
        monkeypatch.setattr(system, "INTERVAL_S", 0.0)
        second = train(config, store=store).run_id
        ours = [name for name in store.metric_names(second) if name.startswith(SYSTEM)]
        assert {"system/learner_cpu", "system/learner_memory", "system/scorer_memory"} <= set(ours)
        for name in ("train/td_loss", "train/mean_q", "eval/episodic_return"):
            np.testing.assert_array_equal(store.metrics(first, name), store.metrics(second, name))
