"""What to launch: matched sets of runs, and the ones that people want most."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vlmrb.config import TrainConfig, make_config, unread_settings
from vlmrb.errors import ConfigError
from vlmrb.replay.registry import usual_methods

MAX_SEEDS = 100


def _comparison() -> list[Mapping[str, Any]]:
    return [{"replay": key} for key in usual_methods()]


@dataclass(frozen=True, slots=True)
class LaunchPreset:
    """A set of runs ready to launch.

    Attributes:
        key: for addresses and the command line.
        title, text: for people.
        settings: shared by all runs; fields of `TrainConfig`.
        variations: what each method changes about them.
        seeds: of each method.
    """

    key: str
    title: str
    text: str
    settings: Mapping[str, Any]
    variations: Sequence[Mapping[str, Any]]
    seeds: Sequence[int] = field(default=(0, 1, 2, 3, 4))

    def configs(self) -> list[TrainConfig]:
        """Its runs."""
        return matched_set(self.settings, self.variations, self.seeds)


def presets() -> list[LaunchPreset]:
    """The presets, in the order in which they are offered. None needs a download or a GPU."""
    doorkey = {"env": "DoorKey-8x8", "total_steps": 300_000, "scorer": "embedded"}
    return [
        LaunchPreset(
            "quick",
            "Quick look",
            "VLM-RB, PER and uniform on DoorKey-5x5, one seed each: one to three minutes per run. Shows how everything works; "
            "one seed tells nothing about which method is better.",
            {"env": "DoorKey-5x5", "total_steps": 30_000, "scorer": "embedded", "eval_interval": 2_500, "epsilon_decay": 0.4},
            _comparison(),
            (0,),
        ),
        LaunchPreset(
            "compare",
            "VLM-RB vs PER vs uniform",
            "The comparison that counts: DoorKey-8x8 to 300,000 steps with five seeds each, alike in everything but replay.",
            doorkey,
            _comparison(),
        ),
        LaunchPreset(
            "lambda",
            "λ ablation",
            "How much of each batch the VLM's choice should be: λ from 0.1 to 1, and no mixture at all.",
            doorkey,
            [{"replay": "vlm", "lambda_max": value} for value in (0.1, 0.25, 0.5, 0.75, 1.0, None)],
            (0, 1, 2),
        ),
        LaunchPreset(
            "visuals",
            "Modified visuals",
            "Sprites swapped misleadingly, or abstract textures: does the model know the pictures or the game? The oracle looks "
            "at no pictures: with it as the scorer nothing changes.",
            doorkey,
            [{"replay": "vlm", "visuals": value} for value in ("normal", "swapped", "abstract")],
            (0, 1, 2),
        ),
        LaunchPreset(
            "clips",
            "Clip length",
            "Shorter clips point closer to what mattered, longer ones give the model more to see: 8 to 64 steps.",
            doorkey,
            [{"replay": "vlm", "clip_length": value} for value in (8, 16, 32, 64)],
            (0, 1, 2),
        ),
        LaunchPreset(
            "robot",
            "Robot arm",
            "SAC puts a cube where it belongs, after 10,000 steps of scripted play: a quarter of an hour per run on a core. "
            "A small model of its own looks at the robot's frames.",
            {
                "env": "cube-single-singletask-task1-v0",
                "algo": "sac",
                "total_steps": 40_000,
                "play_steps": 10_000,
                "n_step": 3,
                "scorer": "embedded",
                "eval_interval": 4_000,
                "eval_episodes": 20,
            },
            _comparison(),
            (0, 1, 2),
        ),
    ]


def preset(key: str) -> LaunchPreset:
    """The preset of that key.

    Raises:
        ConfigError: there is none.
    """
    for found in presets():
        if found.key == key:
            return found
    raise ConfigError(f"preset: there is no {key!r}; there are {', '.join(each.key for each in presets())}")


def matched_set(settings: Mapping[str, Any], variations: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> list[TrainConfig]:
    """Every variation with every seed, alike in all else; seed by seed, so that all methods grow together.

    Settings that a run's replay method does not read are left out of it.

    Raises:
        ConfigError: a value is wrong, or there are no variations or seeds, or a seed twice.
    """
    if not variations or not seeds:
        raise ConfigError("launch: at least one method and one seed are needed")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds: {', '.join(map(str, seeds))} holds one twice; seeds of a method must differ")
    return [_config({**settings, **variation, "seed": seed}) for seed in seeds for variation in variations]


def _config(values: dict[str, Any]) -> TrainConfig:
    unread = unread_settings(str(values.get("replay", "vlm")), str(values.get("base", "uniform")))
    return make_config(**{name: value for name, value in values.items() if name not in unread})


def parse_seeds(text: str) -> list[int]:
    """'0-2, 7' → [0, 1, 2, 7]; numbers and ranges with commas or blanks between them. '' → [].

    Raises:
        ConfigError: it holds something else, or more than 100 seeds.
    """
    seeds: list[int] = []
    for word in filter(None, re.split(r"[\s,]+", text.strip())):
        found = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", word)
        if found is None:
            raise ConfigError(f"seeds: got {word!r}; write numbers and ranges, such as 0-4 or 0, 1, 2")
        low, high = int(found[1]), int(found[2] or found[1])
        if high < low or len(seeds) + high - low >= MAX_SEEDS:
            raise ConfigError(f"seeds: {word!r} is no range, or makes more than {MAX_SEEDS} seeds")
        seeds += range(low, high + 1)
    return seeds
