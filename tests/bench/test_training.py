"""(b) Agents versus Stable-Baselines3, (c) where the time of a step goes, (d) VLM-RB versus PER.

(d) uses a scorer that takes 20 ms per clip, and a robot whose frames are drawn and scored in another process.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.whole_convolutions import convolved
from vlmrb.agents.networks import GridTorso
from vlmrb.config import TrainConfig, make_config
from vlmrb.envs.factory import make_env
from vlmrb.store import Store
from vlmrb.train import Trainer, create_run
from vlmrb.types import ClipScore

pytestmark = pytest.mark.bench

STEPS = int(os.environ.get("VLMRB_BENCH_STEPS", "12000"))
ROUNDS = 3


def config(**settings: object) -> TrainConfig:
    values = {
        "env": "DoorKey-8x8",
        "replay": "uniform",
        "total_steps": STEPS,
        "learning_starts": 1_000,
        "batch_size": 128,
        "eval_interval": 10**9,
        "eval_episodes": 1,
        "checkpoint_interval": 10**9,
        "n_envs": 8,
    }
    return make_config(**{**values, **settings})


def trainer(store: Store, settings: TrainConfig) -> Trainer:
    run_id = create_run(settings, store=store)
    store.claim_run(run_id, os.getpid(), psutil.Process().create_time())
    return Trainer(run_id, settings, store)


def ours(store: Store, settings: TrainConfig) -> float:
    return trainer(store, settings).run().steps_per_second


TURN, OFFSET, TURNS = 256, 32, 12  # TURN and OFFSET in steps; eight 32-step clips fill up at once, at step 32 of each turn

Count = Callable[[int], None]


class Relay:
    """Learners in one process that take turns, so that noise on the machine slows all of them equally.

    Each learner is a function that learns for `Relay.STEPS` steps and calls its argument with each step it reaches.
    """

    STEPS = TURN * (TURNS + 2)

    def __init__(self, *learners: Callable[[Count], object]) -> None:
        self._seconds: list[list[float]] = [[] for _ in learners]
        self._turns = [threading.Semaphore(0) for _ in learners]
        threads = [threading.Thread(target=self._go, args=each) for each in enumerate(learners)]
        for thread in threads:
            thread.start()
        self._turns[0].release()
        for thread in threads:
            thread.join()

    @property
    def seconds(self) -> np.ndarray:
        """Duration of each learner's turns, without the first two: [L, TURNS]."""
        return np.array([seconds[2 : 2 + TURNS] for seconds in self._seconds])

    def _go(self, number: int, learn: Callable[[Count], object]) -> None:
        self._turns[number].acquire()
        self._began = time.perf_counter()
        try:
            learn(partial(self._count, number))
        finally:
            self._next(number).release()

    def _count(self, number: int, step: int) -> None:
        if step % TURN == TURN - OFFSET and step < self.STEPS:
            self._seconds[number].append(time.perf_counter() - self._began)
            self._next(number).release()
            self._turns[number].acquire()
            self._began = time.perf_counter()

    def _next(self, number: int) -> threading.Semaphore:
        return self._turns[(number + 1) % len(self._turns)]


def counted(run: Trainer) -> Callable[[Count], object]:
    """Make a run a learner for `Relay`."""

    def learn(count: Count) -> None:
        keep_house = run._keep_house

        def keep_house_and_count(item_ids: np.ndarray) -> None:
            keep_house(item_ids)
            count(run.step)

        run._keep_house = keep_house_and_count  # type: ignore[method-assign]
        run.run()

    return learn


def compared(name: str, benchmark, relay: Relay) -> str:
    """Record the speeds of a relay's two learners with the benchmark, and return them as text."""
    mine, theirs = relay.seconds
    ratio, speeds = float(np.median(theirs / mine)), [TURN / float(np.median(seconds)) for seconds in (mine, theirs)]
    benchmark.extra_info.update(ours=speeds[0], theirs=speeds[1], ratio=ratio)
    benchmark.pedantic(lambda: None, rounds=1)
    return f"\n{name}, steps/s: {speeds[0]:.1f} versus {speeds[1]:.1f}, ratio {ratio:.2f} (median of {TURNS} turns)"


def stable_baselines() -> float:
    """Steps per second of SB3's DQN: MLP 256-128 on the flat 7×7×3 view, 8 environments, batch 128, one update per 4 steps."""
    sb3 = pytest.importorskip("stable_baselines3")
    import gymnasium as gym
    import torch
    from minigrid.wrappers import ImgObsWrapper
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    envs = make_vec_env(
        "MiniGrid-DoorKey-8x8-v0", 8, wrapper_class=lambda env: gym.wrappers.FlattenObservation(ImgObsWrapper(env))
    )
    model = sb3.DQN(
        "MlpPolicy",
        envs,
        batch_size=128,
        train_freq=1,
        gradient_steps=2,
        learning_starts=1_000,
        buffer_size=300_000,
        target_update_interval=1_000,
        policy_kwargs={"net_arch": [256, 128]},
        device="cpu",
        seed=0,
    )
    began = time.perf_counter()
    model.learn(STEPS)
    return STEPS / (time.perf_counter() - began)


def equal_network(monkeypatch) -> None:
    """Give our agent SB3's network: 147 inputs → 256 → 128 → actions."""
    import numpy as np
    import torch
    from torch import nn

    class Torso(nn.Module):
        def __init__(self, spec, hidden_size) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(147, 256), nn.ReLU(), nn.Linear(256, hidden_size), nn.ReLU())

        def prepare(self, observation, device):
            return torch.from_numpy(np.ascontiguousarray(observation[:, :147])).float().to(device)

        def forward(self, observation):
            return self.layers(observation)

    monkeypatch.setattr("vlmrb.agents.networks.GridTorso", Torso)


def test_training_against_stable_baselines(benchmark, tmp_path: Path, monkeypatch, capsys) -> None:
    equal_network(monkeypatch)
    settings = config(hidden_size=128, dueling=False, double=False, n_step=1)
    with Store(str(tmp_path / "store.db")) as store:
        pairs = [(ours(store, settings), stable_baselines()) for _ in range(ROUNDS)]
    mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    benchmark.extra_info.update(ours=mine, sb3=theirs, ratio=mine / theirs)
    benchmark.pedantic(lambda: None, rounds=1)
    with capsys.disabled():
        print(f"\nDQN steps/s, vlmrb : Stable-Baselines3: {mine:,.0f} versus {theirs:,.0f}, ratio {mine / theirs:.2f}")


def stable_baselines_continuous(algo: str, count: Count) -> None:
    """SB3's SAC or TD3 on Pendulum: 256×256, 8 environments, batch 256, one update per step."""
    import stable_baselines3
    import torch
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    model = {"sac": stable_baselines3.SAC, "td3": stable_baselines3.TD3}[algo](
        "MlpPolicy",
        make_vec_env("Pendulum-v1", 8),
        batch_size=256,
        train_freq=1,
        gradient_steps=8,
        learning_starts=200,
        buffer_size=300_000,
        policy_kwargs={"net_arch": [256, 256]},
        device="cpu",
        seed=0,
    )

    def step(*_: object) -> bool:
        count(model.num_timesteps)
        return True

    model.learn(Relay.STEPS, callback=step)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("algo", ["sac", "td3"])
def test_continuous_control_against_stable_baselines(benchmark, tmp_path: Path, capsys, algo: str) -> None:
    pytest.importorskip("stable_baselines3")
    settings = make_config(
        env="Pendulum-v1", algo=algo, replay="uniform", total_steps=Relay.STEPS, learning_starts=200, eval_interval=10**9,
        eval_episodes=1, checkpoint_interval=10**9, keep_clips=False, layer_norm=False,
    )  # fmt: skip
    with Store(str(tmp_path / "store.db")) as store:
        relay = Relay(counted(trainer(store, settings)), partial(stable_baselines_continuous, algo))
    text = compared(f"{algo}, vlmrb : Stable-Baselines3", benchmark, relay)
    with capsys.disabled():
        print(text)


@pytest.mark.parametrize("replay", ["uniform", "per", "vlm"])
def test_where_the_time_of_a_step_goes(benchmark, tmp_path: Path, capsys, replay: str) -> None:
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, function):
        def call(*args):
            began = time.perf_counter()
            try:
                return function(*args)
            finally:
                spent[name] += time.perf_counter() - began

        return call

    with Store(str(tmp_path / "store.db")) as store:
        one = trainer(store, config(replay=replay, scorer="oracle" if replay == "vlm" else None))
        for env in one._envs.envs:
            env.step = timed("env.step", env.step)
            env.reset = timed("env.reset", env.reset)
        one._agent.act = timed("network", one._agent.act)
        one._agent.update = timed("network", one._agent.update)
        one._evaluate = lambda: None
        learn = one._learn
        one._learn = timed("all", learn)
        one.run()
    total = spent.pop("all")
    rest = total - sum(spent.values())
    benchmark.extra_info.update(rest_share=rest / total, **{name: value / total for name, value in spent.items()})
    benchmark.pedantic(lambda: None, rounds=1)
    shares = ", ".join(f"{name} {value / total:.1%}" for name, value in sorted(spent.items()))
    with capsys.disabled():
        print(f"\n{replay}: {total / STEPS * 1e6:,.0f} µs per step: {shares}, everything else {rest / total:.1%}")


@pytest.mark.parametrize(("env", "observation"), [("DoorKey-8x8", "egocentric"), ("DoorKey-12x12", "full")])
def test_convolving_each_different_patch_once_against_convolving_whole_grids(compare, env: str, observation: str) -> None:
    """A forward and a backward pass, on states of random play."""
    import torch

    torch.set_num_threads(1)
    world = make_env(config(env=env, observation=observation))
    rng, seen = np.random.default_rng(0), []
    for episode in range(32):
        world.reset(episode)
        seen += [world.step(int(rng.integers(7))).observation for _ in range(40)]
    spec, batch = world.observation_spec, np.stack(seen)[rng.choice(len(seen), 128, replace=False)]
    assert spec.grid_shape is not None
    torso, size = GridTorso(spec, 128), (spec.grid_shape[0], spec.grid_shape[1])
    prepare = partial(torso.prepare, batch, torch.device("cpu"))
    compare(
        f"{env}, {observation}, batch of 128",
        lambda: torso(prepare()).sum().backward(),
        lambda: convolved(torso, size, spec.extras, batch).sum().backward(),
    )


class BusyScorer:
    """Keeps a core busy for 20 ms per clip and says yes to one in five."""

    frames_per_clip = 0

    def score(self, requests, prompt):
        for _ in requests:
            until = time.perf_counter() + 0.020
            while time.perf_counter() < until:
                pass
        return [
            ClipScore(r.clip.clip_id, float(r.clip.clip_id % 5 == 0), None, None, 0.5, "busy", "busy", "", None) for r in requests
        ]

    def close(self) -> None:
        pass


def _make_busy(scorer, options):
    return BusyScorer()


def busy(store: Store, monkeypatch) -> tuple[float, float]:
    settings = config(replay="vlm", scorer="oracle")
    run_id = create_run(settings, store=store)
    store.claim_run(run_id, os.getpid(), psutil.Process().create_time())
    monkeypatch.setattr("vlmrb.train.labelling.make_scorer", _make_busy)
    result = Trainer(run_id, settings, store).run()
    return result.steps_per_second, result.dropped / result.clips


def test_vlm_against_per_with_a_scorer_that_takes_20_ms_per_clip(benchmark, tmp_path: Path, monkeypatch, capsys) -> None:
    with Store(str(tmp_path / "store.db")) as store:
        rounds = [(busy(store, monkeypatch), ours(store, config(replay="per"))) for _ in range(2 * ROUNDS)]
    vlm, per = statistics.median(r[0][0] for r in rounds), statistics.median(r[1] for r in rounds)
    benchmark.extra_info.update(vlm=vlm, per=per, ratio=vlm / per, dropped=rounds[-1][0][1])
    benchmark.pedantic(lambda: None, rounds=1)
    with capsys.disabled():
        print(
            f"\nsteps/s, vlm : per: {vlm:,.0f} versus {per:,.0f}, ratio {vlm / per:.2f}; {rounds[-1][0][1]:.0%} of clips dropped"
        )


ROBOT = {"env": "scene-singletask-task4-v0", "algo": "sac", "n_envs": 8, "learning_starts": 200,
         "eval_interval": 10**9, "eval_episodes": 1, "checkpoint_interval": 10**9, "seed": 0}  # fmt: skip


@pytest.mark.timeout(1200)
def test_vlm_against_per_on_a_robot_with_frames_drawn_and_scored_in_another_process(benchmark, tmp_path: Path, capsys) -> None:
    with Store(str(tmp_path / "vlm.db")) as one, Store(str(tmp_path / "per.db")) as other:
        runs = [trainer(store, make_config(**ROBOT, replay=replay, total_steps=Relay.STEPS))
                for store, replay in ((one, "vlm"), (other, "per"))]  # fmt: skip
        text = compared("robot, vlm : per", benchmark, Relay(*map(counted, runs)))
    clips, dropped = runs[0]._result().clips, runs[0]._result().dropped
    benchmark.extra_info.update(dropped=dropped)
    with capsys.disabled():
        print(f"{text}; {dropped} of {clips} clips dropped")
