"""The robot's clips that batches are made of: windows of footage that is filmed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import accumulate
from pathlib import Path

import numpy as np

from vlmrb.pretrain.batches import BatchOrder, Scenes
from vlmrb.pretrain.collecting import make_parts
from vlmrb.pretrain.robots.footage import FilmMaker, load_footage, save_footage
from vlmrb.pretrain.robots.learners import AGENTS, Agents
from vlmrb.pretrain.robots.pictures import PatchPictures
from vlmrb.pretrain.robots.truth import GRID, truth_of
from vlmrb.pretrain.sampling import choose_balanced
from vlmrb.pretrain.truth import event_kinds

EPISODES = 1_950
"""How many of scripted robots are filmed. With those of agents that learn, 2,400 episodes with 96,000 frames."""

_PICTURED = 48  # episodes that the components are computed from
_POOL = 3  # windows drawn for each one chosen
_PLAIN_SHARE = 0.75  # of the windows with consecutive frames; of the rest, half are short and half skip every other frame


def prepare(
    folder: Path,
    seed: int,
    workers: int,
    report: Callable[[float], None],
    episodes: int = EPISODES,
    agents: Sequence[Agents] = AGENTS,
) -> None:
    """Film the episodes that do not exist yet and compute the codes of all frames.

    Args:
        folder: for the footage.
        seed: of the episodes.
        workers: processes that film; with 0, this one does.
        report: gets the finished share, in [0, 1].
        episodes: how many of scripted robots.
        agents: who else is filmed, after these.
    """
    if (folder / "codes.npy").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    firsts = list(accumulate((agent.films for agent in agents), initial=episodes))
    total = firsts[-1]
    missing = [number for number in range(total) if not _file(folder, number).exists()]
    scripted = [number for number in missing if number < episodes]
    untaught = [index for index in range(len(agents)) if any(firsts[index] <= number < firsts[index + 1] for number in missing)]
    learnt = 1 - episodes / total
    make_parts(
        partial(_film_agents, folder, seed, agents, firsts), untaught, len(agents), workers, lambda share: report(learnt * share)
    )
    make_parts(partial(_film, folder, seed), scripted, episodes, workers, lambda share: report(learnt + (1 - learnt) * share))
    _compute_codes(folder, total)


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.npz"


_film_maker = cache(FilmMaker)  # one per process


def _film(folder: Path, seed: int, number: int) -> None:
    save_footage(_file(folder, number), _film_maker().film(seed, number))


def _film_agents(folder: Path, seed: int, agents: Sequence[Agents], firsts: Sequence[int], index: int) -> None:
    for number, footage in enumerate(agents[index].film(seed + index), start=firsts[index]):
        save_footage(_file(folder, number), footage)


def _compute_codes(folder: Path, episodes: int) -> None:
    some = range(0, episodes, max(1, episodes // _PICTURED))
    pictures = PatchPictures.of(load_footage(_file(folder, number)).frames for number in some)
    pictures.save(folder / "pictures.npy")
    length = len(load_footage(_file(folder, 0)).frames)
    size = (episodes, length, GRID * GRID, pictures.components.shape[1])
    codes = np.lib.format.open_memmap(folder / "codes.partial.npy", mode="w+", dtype=np.float16, shape=size)
    for number in range(episodes):
        codes[number] = pictures.codes(load_footage(_file(folder, number)).frames)
    codes.flush()
    (folder / "codes.partial.npy").rename(folder / "codes.npy")


class RobotSource:
    """Clips from filmed episodes.

    Args:
        folder: filled by `prepare`.
    """

    def __init__(self, folder: Path) -> None:
        self._codes = np.load(folder / "codes.npy", mmap_mode="r")
        self._episodes = [load_footage(_file(folder, number), frames=False) for number in range(len(self._codes))]

    def scenes(self, order: BatchOrder) -> Scenes:
        """The clips of this order, the same ones every time."""
        rng = np.random.default_rng([order.seed, order.index])
        pool = [self._draw(rng, order.frames) for _ in range(_POOL * order.clips)]
        chosen = choose_balanced([self._kinds(episode, rows) for episode, rows in pool], order.clips, rng)
        windows = [pool[number] for number in chosen]
        truths = [truth_of(self._episodes[episode], rows) for episode, rows in windows]
        codes = np.concatenate([self._codes[episode, rows].transpose(1, 0, 2) for episode, rows in windows])  # float16 [N, F, C]
        taught = ("before", "after", "paths", "happened")
        view = {name: np.concatenate([getattr(truth, name) for truth in truths]) for name in taught}
        return Scenes(np.full((len(windows), 2), GRID), {"codes": codes, **view}, truths)

    def _draw(self, rng: np.random.Generator, frames: int) -> tuple[int, np.ndarray]:
        """An episode and frames of it, int [frames]: consecutive, every other one, or fewer with the last one repeated."""
        episode, length = int(rng.integers(len(self._episodes))), self._codes.shape[1]
        draw = rng.random()
        step = 2 if draw > (1 + _PLAIN_SHARE) / 2 and 2 * frames < length else 1
        shown = frames if draw < _PLAIN_SHARE or step == 2 else int(rng.integers(2, frames + 1))
        first = int(rng.integers(length - step * (shown - 1)))
        return episode, np.minimum(first + step * np.arange(frames), first + step * (shown - 1))

    def _kinds(self, episode: int, rows: np.ndarray) -> frozenset[str]:
        return event_kinds(event for at, _, event in self._episodes[episode].events if rows[0] < at <= rows[-1])
