"""Runs on a Ray cluster of this machine: what is refused, and nodes that die. Skipped without the extra [ray].

`VLMRB_NODE_DEATHS=20,30` lets 20 runs train on three nodes while 30 nodes are killed (slow).
"""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.ending import end_jobs
from tests.endless import assert_whole
from tests.ray_nodes import Nodes, end, processes_of
from tests.store.samples import new_run
from tests.waiting import wait_until
from vlmrb import jobs
from vlmrb.config import make_config
from vlmrb.errors import ConfigError, LauncherError
from vlmrb.jobs.launchers import ray_cluster
from vlmrb.jobs.launchers.ray import Keeping, RayLauncher, address_of
from vlmrb.jobs.launchers.ray_cluster import Machine, check_machines, check_resources
from vlmrb.ray_address import make_token, use_token
from vlmrb.store import Store
from vlmrb.types import Destination, Job

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed; pip install -e '.[ray]' brings it"
)
SHORT = {"env": "DoorKey-5x5", "total_steps": 3_000, "scorer": "oracle", "sync_scoring": True, "hidden_size": 16,
         "learning_starts": 500, "train_freq": 64, "eval_interval": 1_000, "eval_episodes": 1, "checkpoint_interval": 500,
         "log_interval": 500}  # fmt: skip
RUNS, KILLS = map(int, os.environ.get("VLMRB_NODE_DEATHS", "20,30").split(","))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "runs.db")) as store:
        yield store
        end_jobs(store)


def launch(store: Store, on: str, seeds: int, **settings: object) -> list[int]:
    return jobs.launch(
        store, jobs.matched_set(SHORT | settings, [{"replay": "vlm"}], range(seeds)), destination=jobs.destination(on)
    )


# -- what is refused, before anything is written


@pytest.mark.parametrize(
    ("on", "amounts", "words"),
    [
        ("slurm", {}, "local, ray, or ray:HOST:PORT"),
        ("local:here", {}, "local, ray, or ray:HOST:PORT"),
        ("ray://127.0.0.1:10001", {}, "ray:HOST:PORT"),
        ("local", {"gpus": 1}, "resources are for --on ray"),
        ("ray", {"cpus": -1}, "from 0 to 10,000"),
        ("ray", {"gpus": float("nan")}, "from 0 to 10,000"),
        ("ray", {"other": ["licence"]}, "NAME=AMOUNT"),
        ("ray", {"other": ["licence=some"]}, "licence: got 'some'"),
        ("ray", {"other": ["GPU=1"]}, "NAME=AMOUNT"),
    ],
)
def test_places_that_do_not_exist_are_refused(on: str, amounts: dict, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        jobs.destination(on, **amounts)
    assert words in str(caught.value)


def test_without_ray_the_extra_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LauncherError, match=r"pip install -e '.\[ray\]'"):
        launch(store, "ray", 1)
    assert store.runs() == []


@needs_ray
@pytest.mark.parametrize(("address", "words"), [("127.0.0.1:9", "ray start --head"), ("nowhere", "HOST:PORT")])
def test_an_unreachable_cluster_is_named(store: Store, address: str, words: str) -> None:
    with pytest.raises(LauncherError, match=address) as caught:
        launch(store, f"ray:{address}", 1)
    assert words in str(caught.value) and store.runs() == []


@pytest.mark.parametrize(
    ("address", "given", "mode"),
    [
        ("", {}, "token"),
        ("127.0.0.1:6379", {}, "token"),
        ("10.1.1.1:6379", {}, "token"),  # what `ray start` has noted for this machine
        ("10.1.1.2:6379", {}, None),
        ("127.0.0.1:6379", {"RAY_AUTH_MODE": "disabled"}, "disabled"),
        ("127.0.0.1:6379", {"RAY_AUTH_TOKEN_PATH": "nowhere"}, None),
        ("127.0.0.1:6379", {"RAY_AUTH_TOKEN_PATH": "nowhere", "RAY_AUTH_TOKEN": "secret"}, "token"),
    ],
)
def test_a_token_is_shown_to_clusters_on_this_machine_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, given: dict[str, str], mode: str | None
) -> None:
    for folder, name, text in ((".ray", "auth_token", "f" * 64), ("ray", "ray_current_cluster", "10.1.1.1:6379")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": str(tmp_path), "RAY_TMPDIR": str(tmp_path)} | given).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    use_token(address)
    assert os.environ.get("RAY_AUTH_MODE") == mode


@needs_ray
def test_a_token_that_cannot_be_made_is_said_before_a_cluster_is_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    (tmp_path / "a file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "a file"))
    with pytest.raises(LauncherError, match=r"could not make a token.*~/\.ray.*RAY_AUTH_MODE=disabled"):
        make_token()
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    make_token()


def test_resources_that_no_node_has_are_refused_with_what_there_is() -> None:
    nodes = [{"CPU": 2.0, "GPU": 1.0}, {"CPU": 8.0, "licence": 1.0}]
    check_resources("a:1", {"cpus": 2, "gpus": 0.2}, nodes)
    check_resources("a:1", {"cpus": 8, "licence": 1}, nodes)
    with pytest.raises(LauncherError, match="no node of the cluster at a:1 has cpus 8, gpus 1; its nodes have: cpus 2, gpus 1; "):
        check_resources("a:1", {"cpus": 8, "gpus": 1}, nodes)


def here(**changes: object) -> Machine:
    """What this machine would say of itself."""
    mine = ray_cluster._machine("node-1", [], ray_cluster.PACKAGE_FOLDER) if importlib.util.find_spec("ray") else {}
    return Machine(**(mine | changes))


@needs_ray
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"python": "3.12.1"}, "node node-1 has python 3.12.1, and this machine"),
        ({"ray": "2.50.0"}, "has ray 2.50.0"),
        ({"vlmrb": "is missing (No module named 'vlmrb')"}, "has vlmrb is missing"),
        ({"missing": ("toy", "Box2D")}, "lacks the package toy, Box2D"),
        ({"machine": "another"}, "store on PostgreSQL"),
    ],
)
def test_a_node_that_could_not_train_the_runs_is_named(changes: dict, words: str) -> None:
    check_machines([here()], is_file=True, store="runs.db")
    with pytest.raises(LauncherError) as caught:
        check_machines([here(), here(**changes)], is_file=True, store="runs.db")
    assert words in str(caught.value)


@needs_ray
def test_a_server_may_be_used_from_other_machines() -> None:
    check_machines([here(), here(machine="another")], is_file=False, store="postgresql://…")


# -- the next job


def test_a_runner_whose_job_has_ended_takes_the_oldest_that_is_to_have_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def submit(launcher: RayLauncher, store: Store, job: Job) -> None:
        store.job_submitted(job.job_id, job.attempt, f"{job.job_id}-{job.attempt}")

    killed: list[str] = []
    monkeypatch.setattr(RayLauncher, "submit", submit)
    monkeypatch.setattr(RayLauncher, "kill", lambda launcher, handle: killed.append(handle))
    keeping = Keeping(address_of(store), "ray:a:1")
    first, larger, second, third = (_job(store, cpus=cpus) for cpus in (1, 2, 1, 1))
    keeping._take_and_submit(store)
    assert store.job_started(first, 1, 1.0)
    assert keeping.next_job("runner", first, 0) == (first, 1)  # its process has not reported, and so it is queued again
    _report(store, first, attempt=1)
    assert keeping.next_job("runner", first, 1) == (second, 0)
    assert killed == [f"{first}-1", f"{second}-0"]
    assert [store.job(each).handle for each in (larger, second, third)] == [f"{larger}-0", "runner", f"{third}-0"]
    _report(store, second)
    assert store.job_started(third, 1, 1.0)  # its own runner was quicker
    assert keeping.next_job("runner", second, 0) is None
    store.job_ended(third, 0)
    _report(store, larger)


def _job(store: Store, **resources: float) -> int:
    (job_id,) = store.enqueue_jobs("train", [new_run(store)], Destination("ray:a:1", {k: float(v) for k, v in resources.items()}))
    return job_id


def _report(store: Store, job_id: int, attempt: int = 0) -> None:
    assert store.job_started(job_id, 1, 1.0, attempt)
    store.job_ended(job_id, 0, attempt=attempt)


# -- nodes that die


@needs_ray
@pytest.mark.timeout(900)  # a minute, most of it Ray's: its nodes start, and it notices that one is gone
def test_a_run_whose_node_dies_goes_on_elsewhere(store: Store, tmp_path: Path) -> None:
    with Nodes() as nodes:
        nodes.add()
        (run_id,) = launch(store, f"ray:{nodes.address}", 1, total_steps=3_000)
        job = wait_until(lambda: _with_checkpoint(store, run_id), lambda: f"a checkpoint of the run: {_words(store)}", 400)
        nodes.kill(0)  # at once: a few seconds later the run is over
        nodes.add()
        wait_until(lambda: store.run(run_id).status == "finished", lambda: f"the run to finish: {_words(store)}", 400)
        again = store.job(job)
        assert (again.attempt, again.launcher) == (1, f"ray:{nodes.address}")
        assert "finished at step" in jobs.log_tail(store, run_id)
        check_rows(store, run_id)


def check_rows(store: Store, run_id: int) -> None:
    """Nothing is lost or doubled, and every clip was scored once."""
    assert_whole(store, run_id, SHORT["eval_interval"])
    clips = {clip.clip_id for clip in store.clips(run_id, limit=10**6)}
    scored = Counter(score.clip_id for score in store.scores_of_run(run_id) if score.clip_id in clips)
    assert scored == dict.fromkeys(clips, 1)
    ends = Counter((episode.env_index, episode.step) for episode in store.episodes(run_id))
    assert max(ends.values(), default=1) == 1  # between its kills a short run may end no episode
    events = Counter(store.events(run_id))
    assert max(events.values(), default=1) == 1


def _with_checkpoint(store: Store, run_id: int) -> int:
    """The run's job, once there is something to go on from."""
    job = store.job_of("train", run_id)
    assert job is not None
    return job.job_id if store.run(run_id).step >= 600 else 0


def _words(store: Store) -> list[tuple]:
    return [(job.target_id, store.run(job.target_id).step, job.status, job.state, job.attempt, job.error) for job in store.jobs()]


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_the_nodes_lack_is_refused_in_words(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Only-v0', entry_point='gymnasium.envs.classic_control:CartPoleEnv', max_episode_steps=50)\n"
    )
    with Nodes() as nodes:
        nodes.add()
        with pytest.raises(LauncherError, match=r"no node of the cluster at .* has cpus 64"):
            jobs.launch(store, [make_config(**SHORT)], destination=jobs.destination(f"ray:{nodes.address}", cpus=64))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("PYTHONPATH", "")
        with pytest.raises(LauncherError, match=r"node .* lacks the package only_here"):
            launch(store, f"ray:{nodes.address}", 1, env="only_here:Only-v0")
    assert store.runs() == []


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("has_token", [False, True])
def test_without_a_cluster_one_is_started_here_and_listens_on_loopback_alone(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_token: bool
) -> None:
    folder = tempfile.mkdtemp(prefix="vr-", dir="/tmp")  # Ray's sockets allow no long path
    monkeypatch.setenv("RAY_TMPDIR", folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    if has_token:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("f" * 64)
    try:
        (run_id,) = launch(store, "ray", 1, total_steps=10**6)
        wait_until(lambda: store.run(run_id).status == "running", lambda: f"the run to start: {_words(store)}", 400)
        found = [each.net_connections("inet") for each in processes_of(folder)]
        heard = {each.laddr.ip for connections in found for each in connections if each.status == psutil.CONN_LISTEN}
        assert heard and heard <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
        (again,) = launch(store, "ray", 1, total_steps=10**6)  # finds the cluster that is there
        assert len({store.job_of("train", each).launcher for each in (run_id, again)}) == 1
        assert {each.environ()["RAY_AUTH_MODE"] for each in processes_of(folder) if each.name() == "raylet"} == {"token"}
        assert (tmp_path / ".ray" / "auth_token").is_file()
        jobs.stop(store, again)  # waits for a CPU, or has just begun
        _steer(store, run_id)
    finally:
        end(processes_of(folder))
        shutil.rmtree(folder, ignore_errors=True)


def _steer(store: Store, run_id: int) -> None:
    """λ, pause, continue, stop and resume of a run act as locally."""

    def to(status: str) -> None:
        wait_until(lambda: store.run(run_id).status == status, lambda: f"the run to be {status}: {_words(store)}", 200)

    jobs.request_lambda(store, run_id, 0.9)
    wait_until(lambda: store.live_changes(run_id, status="applied"), "λ to be applied", 200)
    jobs.pause(store, run_id)
    to("paused")
    jobs.unpause(store, run_id)
    to("running")
    jobs.stop(store, run_id)
    to("stopped")
    step = store.run(run_id).step
    assert step < 10**6 and f"stopped at step {step:,}" in jobs.log_tail(store, run_id)
    jobs.resume(store, run_id)
    to("running")
    wait_until(lambda: store.run(run_id).step > step, "the resumed run to go on", 200)
    jobs.stop(store, run_id)
    to("stopped")
    assert_whole(store, run_id, SHORT["eval_interval"])


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_nodes_killed_at_random_lose_and_double_nothing(store: Store) -> None:
    rng, killed = random.Random(0), 0
    with Nodes() as nodes:
        for _ in range(3):
            nodes.add()
        run_ids = launch(store, f"ray:{nodes.address}", RUNS, total_steps=4_000)
        while any(store.run(run_id).status != "finished" for run_id in run_ids):
            time.sleep(rng.uniform(2, 40))
            if killed < KILLS:
                nodes.kill(rng.randrange(len(nodes)))
                nodes.add()
                killed += 1
                print(killed, "nodes killed;", sum(run.status == "finished" for run in store.runs()), "runs finished", flush=True)
            assert not [job for job in store.jobs() if job.error], _words(store)
        attempts = sum(store.job_of("train", run_id).attempt for run_id in run_ids)
        print(f"{len(run_ids)} runs finished; {killed} nodes killed, {attempts} runs queued again")
        for run_id in run_ids:
            check_rows(store, run_id)
        assert store.check() == []
