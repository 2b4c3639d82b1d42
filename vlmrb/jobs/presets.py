"""What to launch: matched sets of runs, and presets for the most common ones."""

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
        key: for URLs and the command line.
        title, text: for people.
        settings: fields of `TrainConfig` shared by all runs.
        variations: settings that each method changes.
        seeds: seeds of each method.
    """

    key: str
    title: str
    text: str
    settings: Mapping[str, Any]
    variations: Sequence[Mapping[str, Any]]
    seeds: Sequence[int] = field(default=(0, 1, 2, 3, 4))

    def configs(self) -> list[TrainConfig]:
        """The configurations of its runs."""
        return matched_set(self.settings, self.variations, self.seeds)


def presets() -> list[LaunchPreset]:
    """The presets in display order. None needs a download or a GPU."""
    # 8 draws per stored transition: at the default's 32 no method was clearly ahead (assets/results/doorkey)
    doorkey = {"env": "DoorKey-8x8", "total_steps": 300_000, "train_freq": 16, "scorer": "embedded"}
    recommended = {  # what confirm-8x8 confirmed
        "base": "per",
        "importance_weights": False,
        "prompt": "milestones",
        "strata": True,
        "enrichment": 10.0,
        "first_in_episode": True,
        "lambda_max": 0.25,
    }
    return [
        LaunchPreset(
            "quick",
            "Quick look",
            "Recommended VLM-RB, PER and uniform on DoorKey-5x5, three seeds each: half a minute per run on a free core. At 8 "
            "draws per transition uniform replay falls behind within 30,000 steps; three seeds are a lead, no proof.",
            {
                "env": "DoorKey-5x5",
                "total_steps": 30_000,
                "train_freq": 16,
                "scorer": "embedded",
                "eval_interval": 2_500,
                "epsilon_decay": 0.4,
                **recommended,
            },
            _comparison(),
            (0, 1, 2),
        ),
        LaunchPreset(
            "compare",
            "VLM-RB vs PER vs uniform",
            "The main comparison: DoorKey-8x8 for 300,000 steps, 8 draws per stored transition, five seeds per method, identical "
            "except for replay.",
            doorkey,
            _comparison(),
        ),
        LaunchPreset(
            "recommended",
            "Recommended VLM-RB vs PER",
            "The setting that made the most of the first successes (study confirm-8x8): three questions, one stratum each, over "
            "PER, at most 10 times as often as by chance. All without importance weights, as PER is the stronger baseline "
            "without them.",
            {**doorkey, **recommended},
            _comparison(),
        ),
        LaunchPreset(
            "lambda",
            "λ ablation",
            "How much of each batch the VLM should choose: λ from 0.1 to 1, and no mixture at all.",
            doorkey,
            [{"replay": "vlm", "lambda_max": value} for value in (0.1, 0.25, 0.5, 0.75, 1.0, None)],
            (0, 1, 2),
        ),
        LaunchPreset(
            "visuals",
            "Modified visuals",
            "Misleadingly swapped sprites, or abstract textures: does the model know the pictures or the game? The oracle "
            "ignores pictures, so with it as the scorer nothing changes.",
            doorkey,
            [{"replay": "vlm", "visuals": value} for value in ("normal", "swapped", "abstract")],
            (0, 1, 2),
        ),
        LaunchPreset(
            "clips",
            "Clip length",
            "Shorter clips pinpoint what mattered, longer ones show the model more: 8 to 64 steps.",
            doorkey,
            [{"replay": "vlm", "clip_length": value} for value in (8, 16, 32, 64)],
            (0, 1, 2),
        ),
        LaunchPreset(
            "robot",
            "Robot arm",
            "SAC moves a cube to its goal, after 10,000 steps of scripted play: about 15 minutes per run on one core. "
            "A separate small embedded model scores the robot's frames.",
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
    """The preset with this key.

    Raises:
        ConfigError: there is no such preset.
    """
    for found in presets():
        if found.key == key:
            return found
    raise ConfigError(f"preset: there is no {key!r}; choose from {', '.join(each.key for each in presets())}")


def matched_set(settings: Mapping[str, Any], variations: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> list[TrainConfig]:
    """Every variation with every seed, otherwise identical; ordered by seed, so that all methods advance together.

    Settings that a run's replay method does not read are left out; what then makes the same run is there once.

    Raises:
        ConfigError: a value is invalid, there are no variations or no seeds, or a seed is repeated.
    """
    if not variations or not seeds:
        raise ConfigError("launch: at least one method and one seed are needed")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds: {', '.join(map(str, seeds))} contains a duplicate; give each seed once")
    configs = (_config({**settings, **variation, "seed": seed}) for seed in seeds for variation in variations)
    return list({config.model_dump_json(): config for config in configs}.values())


def _config(values: dict[str, Any]) -> TrainConfig:
    unread = unread_settings(str(values.get("replay", "vlm")), str(values.get("base", "uniform")), values.get("her"))
    return make_config(**{name: value for name, value in values.items() if name not in unread})


def parse_seeds(text: str) -> list[int]:
    """'0-2, 7' → [0, 1, 2, 7]; numbers and ranges separated by commas or blanks. '' → [].

    Raises:
        ConfigError: the text contains anything else, or more than 100 seeds.
    """
    seeds: list[int] = []
    for word in filter(None, re.split(r"[\s,]+", text.strip())):
        found = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", word)
        if found is None:
            raise ConfigError(f"seeds: got {word!r}; allowed: numbers and ranges, such as 0-4 or 0, 1, 2")
        low, high = int(found[1]), int(found[2] or found[1])
        if high < low or len(seeds) + high - low >= MAX_SEEDS:
            raise ConfigError(f"seeds: {word!r} is not a range, or gives more than {MAX_SEEDS} seeds")
        seeds += range(low, high + 1)
    return seeds
