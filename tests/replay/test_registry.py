"""The registry: built-in methods, and one that another package brings, which is then known everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlmrb.config import TrainConfig, make_config
from vlmrb.errors import ConfigError
from vlmrb.replay import ReplayMethod, bases, replay_method, replay_methods
from vlmrb.replay.methods.uniform import UniformSampler
from vlmrb.replay.registry import usual_methods

ROOT = Path(__file__).parents[2]
BUILT_IN = ["vlm", "per", "uniform", "laber", "reaper", "relo"]


def test_mixtures_come_first_then_what_is_usually_compared_then_the_others() -> None:
    assert list(replay_methods()) == BUILT_IN
    assert usual_methods() == ("vlm", "per", "uniform")
    assert bases() == ("uniform", "per", "laber", "reaper", "relo")


@pytest.mark.parametrize("key", BUILT_IN)
def test_a_method_is_what_it_says(key: str) -> None:
    method = replay_methods()[key]
    assert replay_method(key) is method and method.key == key and method.label and method.summary
    assert set(method.settings) <= set(TrainConfig.model_fields)
    sampler = method.make(make_config(replay=key, scorer="oracle"), 64)
    assert callable(sampler.sample) and callable(sampler.chances)
    assert hasattr(sampler, "label") == method.labels and hasattr(sampler, "change") == ("lambda" in method.live)
    assert len({each.color for each in replay_methods().values()}) == len(replay_methods())


def test_an_unknown_method_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="got 'magic'; allowed: vlm, per, uniform"):
        replay_method("magic")
    with pytest.raises(ConfigError, match=r"replay: got 'magic'; allowed: vlm, per, uniform, laber, reaper, relo$"):
        make_config(replay="magic")
    with pytest.raises(ConfigError, match=r"base: got 'vlm'; allowed: uniform, per"):
        make_config(base="vlm")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"key": "Per"}, "key: got 'Per'"),
        ({"key": ""}, "key: got ''"),
        ({"key": "x" * 41}, "up to 40"),
        ({"color": "beige"}, "color: got 'beige'; allowed: indigo"),
        ({"feedback": ("losses",)}, "feedback: got 'losses'; allowed: td_errors, reducible_losses"),
        ({"live": ("volume",)}, "live: got 'volume'; allowed: lambda, prompt"),
        ({"defaults": {"per_alpha": 1.0}}, "'per_alpha' has a default"),
        ({"variants": {"per_beta": str}}, "'per_beta' has a default or a variant"),
    ],
)
def test_a_wrong_description_is_refused_with_what_is_allowed(wrong: dict[str, Any], words: str) -> None:
    right = {"key": "mine", "label": "Mine", "summary": "mine", "color": "lime", "make": lambda config, size: UniformSampler()}
    ReplayMethod(**right)
    with pytest.raises(ValueError, match=words):
        ReplayMethod(**{**right, **wrong})


# -- another package

RECENT = '''
import numpy as np

from vlmrb.replay import ReplayMethod, Sample


class RecentSampler:
    """The newest `per_alpha` of the buffer, all alike."""

    def __init__(self, capacity, share):
        self.ages, self.share, self.added = np.zeros(capacity, np.int64), share, 0

    def add(self, slots, added):
        self.ages[slots] = added.item_ids

    def newest(self, size):
        return np.argsort(-self.ages[:size])[: max(1, round(self.share * size))]

    def sample(self, batch_size, size, rng, score=None):
        slots = rng.choice(self.newest(size), batch_size)
        return Sample(slots, self.chances(slots, size), np.ones(batch_size, np.float32))

    def chances(self, slots, size):
        newest = self.newest(size)
        return np.isin(slots, newest) / len(newest)


METHOD = ReplayMethod(
    key="recent",
    label="Recent",
    summary="the newest items",
    color="lime",
    make=lambda config, capacity: RecentSampler(capacity, config.per_alpha),
    settings=("per_alpha",),
    defaults={"per_alpha": 0.25},
    variants={"per_alpha": lambda share: f"newest {share:g}"},
)
'''

Say = Callable[..., subprocess.CompletedProcess]


def install(folder: Path, name: str, text: str, entries: dict[str, str]) -> None:
    """Write a package as an installer leaves it: one module, and the entry points in its metadata."""
    (folder / f"{name}.py").write_text(text)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{key} = {value}" for key, value in entries.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[vlmrb.replay_methods]", *lines, ""]))


def said_with(folder: Path) -> Say:
    """Run `python …` with that folder on the path, in it."""

    def say(*words: str, fails: bool = False) -> subprocess.CompletedProcess:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
        outcome = subprocess.run(
            [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=200
        )
        assert (outcome.returncode != 0) == fails, outcome.stdout + outcome.stderr
        return outcome

    return say


@pytest.fixture(scope="module")
def with_recent(tmp_path_factory: pytest.TempPathFactory) -> Say:
    folder = tmp_path_factory.mktemp("packages")
    install(folder, "recent", RECENT, {"recent": "recent:METHOD"})
    return said_with(folder)


def test_a_method_of_another_package_is_offered_like_those_built_in(with_recent: Say) -> None:
    words = " ".join(with_recent("-m", "vlmrb", "train", "--help").stdout.split())
    assert "{vlm,per,uniform,laber,reaper,recent,relo}" in words  # --replay
    assert "{uniform,per,laber,reaper,recent,relo}" in words  # --base
    assert "recent: Recent, the newest items" in words
    assert "per, recent, relo" in words and "recent: 0.25" in words  # at --per-alpha
    assert "recent" in with_recent("-m", "vlmrb", "launch", "--help").stdout
    launched = json.loads(
        with_recent("-m", "vlmrb", "launch", "--methods", "recent", "per", "--dry-run", "--json", "--store", "dry.db").stdout
    )
    assert [(config["replay"], config["per_alpha"]) for config in launched["configs"]] == [("recent", 0.25), ("per", 0.6)]


@pytest.mark.slow
def test_a_method_of_another_package_trains_alone_and_as_a_base_and_is_compared(with_recent: Say) -> None:
    tiny = "--total-steps 400 --learning-starts 100 --n-envs 4 --batch-size 16 --hidden-size 16 --buffer-size 300".split()
    tiny += "--eval-interval 200 --eval-episodes 2 --clip-length 8 --quiet --json --store runs.db".split()
    alone = with_recent("-m", "vlmrb", "train", "--env", "CartPole-v1", "--replay", "recent", *tiny)
    assert json.loads(alone.stdout)["status"] == "finished"
    mixed = "--env CartPole-v1 --replay vlm --base recent --scorer reward --sync-scoring --lambda-warmup 0".split()
    assert json.loads(with_recent("-m", "vlmrb", "train", *mixed, *tiny).stdout)["status"] == "finished"
    words = ["-m", "vlmrb", "compare", "--metric", "eval/episodic_return", "--json", "--store", "runs.db"]
    compared = with_recent(*words).stdout
    names = [result["method"]["label"] for result in json.loads(compared)["results"]]
    assert "recent" in names and any(name.startswith("vlm") and "recent" in name for name in names), names


def test_a_method_of_another_package_has_its_place_and_colour_in_the_studio(with_recent: Say) -> None:
    script = (
        "import json\n"
        "from app.colors import style_sheet\n"
        "from app.launch_form import methods_of_form, settings_of_form\n"
        "alpha = next(each for each in settings_of_form() if each.name == 'per_alpha')\n"
        "method = next(each for each in methods_of_form() if each.key == 'recent')\n"
        "print(json.dumps([style_sheet(), method.title, method.text, method.token, alpha.readers]))"
    )
    sheet, title, text, token, readers = json.loads(with_recent("-c", script).stdout)
    assert (title, text, token) == ("Recent", "replays the newest items", "method-recent")
    assert sheet.count("--method-recent:") == 2  # on light and on dark ground
    assert "recent" in readers


BROKEN = """
from dataclasses import replace

from vlmrb.replay.methods.uniform import METHOD

NUMBER = 7
TWIN = METHOD
ODD = replace(METHOD, key="odd", usual=False, settings=("no_such_setting",), defaults={"no_such_setting": 1})


def __getattr__(name):
    return 1 / 0
"""


def test_a_broken_package_is_named_where_it_is_missed_and_ends_no_other_command(tmp_path: Path) -> None:
    entries = {"gone": "no_such_module:METHOD", "number": "broken:NUMBER", "twin": "broken:TWIN", "fails": "broken:OTHER"}
    install(tmp_path, "broken", BROKEN, entries | {"odd": "broken:ODD"})
    say = said_with(tmp_path)
    words = " ".join(say("-m", "vlmrb", "train", "--help").stdout.split())
    assert "{vlm,per,uniform,laber,odd,reaper,relo}" in words
    launched = say("-m", "vlmrb", "launch", "--methods", "uniform", "--dry-run", "--json", "--store", "dry.db").stdout
    assert json.loads(launched)["configs"][0]["replay"] == "uniform"
    error = say("-m", "vlmrb", "train", "--replay", "twin", fails=True).stderr
    assert "allowed: vlm, per, uniform, laber, odd, reaper, relo" in error
    for name, reason in (
        ("gone", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("number", "TypeError: broken:NUMBER is a int, not a ReplayMethod"),
        ("twin", "ValueError: there is a method with the key 'uniform' already"),
        ("fails", "ZeroDivisionError: division by zero"),
    ):
        assert f"'{name}' cannot be used: {reason}" in error
    assert "Traceback" not in error
    found = say("-c", "from vlmrb.cli.doctor import _replay_methods as look; told = []; print(look(told)); print(*told)").stdout
    assert "vlm, per, uniform, laber, odd, reaper, relo" in found
    for name in ("gone", "number", "twin", "fails"):
        assert f"the replay method {name!r} of another package cannot be used" in found
    error = say("-m", "vlmrb", "train", "--replay", "odd", fails=True).stderr
    assert "this method reads settings that do not exist: no_such_setting" in error and "Traceback" not in error


def test_the_example_samples_what_it_states(tmp_path: Path) -> None:
    space: dict[str, Any] = {}
    exec(RECENT, space)
    sampler = space["RecentSampler"](10, 0.3)
    sampler.ages[:] = [10, 11, 12, 3, 4, 5, 6, 7, 8, 9]
    slots, probabilities, _ = sampler.sample(50, 10, np.random.default_rng(0))
    assert set(slots) == {0, 1, 2} and (probabilities == 1 / 3).all()
