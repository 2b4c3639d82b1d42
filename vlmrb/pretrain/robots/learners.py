"""Footage of agents that learn: runs of SAC and TD3, and policies that have learnt from scripted play for a while."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from vlmrb.pretrain.learning import Learner, clips_of
from vlmrb.pretrain.robots.footage import STEPS, Footage, make_footage
from vlmrb.pretrain.robots.stage import Stage
from vlmrb.types import Clip

_SCENE = "scene-v0"
_WIDTH, _BATCH, _LEARNING_RATE = 256, 256, 1e-3
_NOISE = (0.0, 0.1, 0.3)  # standard deviations of the noise that is added to a policy's actions
_SHORTEST = STEPS // 2  # steps of an episode that is filmed; what is missing at its end, it stands still


class Agents(Protocol):
    """Who is filmed while learning.

    Attributes:
        films: how many episodes.
    """

    @property
    def films(self) -> int: ...

    def film(self, seed: int) -> Iterator[Footage]:
        """Let them learn, and film them: the same episodes for the same seed."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """A run of this project's own agents, filmed from its beginning to its end.

    Attributes:
        learner: of a cube or puzzle task.
        films: number of episodes, evenly spaced.
    """

    learner: Learner
    films: int = 25

    def film(self, seed: int) -> Iterator[Footage]:
        """Train, then show the states that were recorded."""
        episodes = _episodes(clips_of(self.learner, seed, self.learner.steps))
        stage = Stage(self.learner.env.partition("-singletask")[0] + "-v0")
        for number, index in enumerate(np.linspace(0, len(episodes) - 1, self.films).round().astype(int)):
            states = iter(episodes[index])
            stage.begin_at(np.random.default_rng([seed, number]), next(states))
            yield make_footage(stage, (stage.show(state) for state in states))
        stage.close()


def _episodes(clips: Sequence[Clip]) -> list[np.ndarray]:
    """What is recorded in these clips, by episode in pieces of STEPS + 1 states: uint8 [STEPS + 1, S] each."""
    episodes: dict[tuple[int, int], list[np.ndarray]] = {}
    for clip in clips:
        episodes.setdefault((clip.episode, clip.env_index), []).append(clip.snapshots)
    found = []
    for _, parts in sorted(episodes.items()):
        states = np.concatenate(parts)
        for begin in range(0, len(states) - _SHORTEST, STEPS + 1):
            piece = states[begin : begin + STEPS + 1]
            found.append(np.concatenate([piece, np.repeat(piece[-1:], STEPS + 1 - len(piece), axis=0)]))
    return found


@dataclass(frozen=True, slots=True)
class Pupils:
    """Policies that learn what scripted play does in the scene, each filmed as it was after some of the updates.

    A policy sees the state and what the play aims at, and imitates its actions. Layouts and goals are random.

    Attributes:
        plays: episodes of scripted play to learn from.
        stages: updates after which a policy is kept.
        films: number of episodes, by all stages in turn.
    """

    plays: int = 60
    stages: tuple[int, ...] = (200, 600, 2_000, 6_000)
    films: int = 75

    def film(self, seed: int) -> Iterator[Footage]:
        """Teach, then let the policies act."""
        stage, rng = Stage(_SCENE), np.random.default_rng(seed)
        policies = _teach(*_watch(stage, self.plays, rng), self.stages, rng)
        for number in range(self.films):
            rng = np.random.default_rng([seed, number])
            policy, noise = policies[number % len(policies)], float(rng.choice(_NOISE))
            stage.begin(rng)
            yield make_footage(stage, (stage.step(_act(policy, stage, noise, rng)) for _ in range(STEPS)))
        stage.close()


def _watch(stage: Stage, plays: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What scripted play sees and does: float32 [N, D] and [N, 5]."""
    seen, done = [], []
    for _ in range(plays):
        stage.begin(rng)
        for _ in range(STEPS):
            done.append(stage.suggest())
            seen.append(stage.observe())
            stage.step(done[-1])
    return np.array(seen), np.array(done)


def _teach(seen: np.ndarray, done: np.ndarray, stages: Sequence[int], rng: np.random.Generator) -> list[Any]:
    """A network after each of these numbers of updates."""
    import torch
    from torch import nn

    mean, scale = seen.mean(0), seen.std(0) + 0.1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        first = nn.Linear(seen.shape[1], _WIDTH)
        net = nn.Sequential(first, nn.ReLU(), nn.Linear(_WIDTH, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, done.shape[1]))
    with torch.no_grad():  # inputs of about unit size
        first.weight.div_(torch.from_numpy(scale))
        first.bias.sub_(first.weight @ torch.from_numpy(mean))
    optimizer, kept = torch.optim.Adam(net.parameters(), lr=_LEARNING_RATE), []
    for update in range(1, max(stages) + 1):
        rows = rng.integers(len(seen), size=_BATCH)
        loss = nn.functional.mse_loss(net(torch.from_numpy(seen[rows])), torch.from_numpy(done[rows]))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if update in stages:
            kept.append(copy.deepcopy(net))
    return kept


def _act(policy: Any, stage: Stage, noise: float, rng: np.random.Generator) -> np.ndarray:
    import torch

    stage.suggest()  # so that scripted play starts the next subtask once one is done
    with torch.inference_mode():
        action = policy(torch.from_numpy(stage.observe())).numpy()
    return np.clip(action + rng.normal(0, noise, len(action)), -1, 1).astype(np.float32)


def _of(env: str, task: int) -> str:
    return f"{env}-singletask-task{task}-v0"


AGENTS: tuple[Agents, ...] = (
    *(Pupils() for _ in range(3)),
    Run(Learner(_of("cube-single", 1), 6_000, algo="sac", play_steps=2_000)),
    Run(Learner(_of("cube-single", 2), 6_000, algo="td3", play_steps=2_000)),
    Run(Learner(_of("cube-single", 3), 6_000, algo="sac")),
    Run(Learner(_of("cube-single", 4), 6_000, "uniform", "sac", 3_000)),
    Run(Learner(_of("cube-double", 1), 6_000, algo="sac", play_steps=2_000)),
    Run(Learner(_of("cube-double", 2), 6_000, algo="td3", play_steps=2_000)),
    Run(Learner(_of("puzzle-3x3", 1), 6_000, algo="sac", play_steps=2_000)),
    Run(Learner(_of("puzzle-3x3", 2), 6_000, algo="td3", play_steps=2_000)),
    Run(Learner(_of("puzzle-3x3", 4), 6_000, algo="sac")),
)
"""Whom training sees. None learns in a scene's task, which the model is evaluated on."""
