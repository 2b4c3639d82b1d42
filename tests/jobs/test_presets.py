"""Matched sets, presets and estimates."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmrb import jobs
from vlmrb.cli.jobs import KEYS
from vlmrb.config import TrainConfig
from vlmrb.errors import ConfigError
from vlmrb.store import Store

BASE = {"env": "DoorKey-6x6", "scorer": "oracle", "lambda_max": 0.3, "clip_length": 16, "total_steps": 1_000}


def test_a_matched_set_has_every_method_with_every_seed_and_is_otherwise_identical() -> None:
    configs = jobs.matched_set(BASE, [{"replay": "vlm"}, {"replay": "per"}, {"replay": "uniform"}], [3, 5])
    assert [(c.seed, c.replay) for c in configs] == [(s, r) for s in (3, 5) for r in ("vlm", "per", "uniform")]
    different = {"seed", "replay", "scorer", "lambda_max", "clip_length", "importance_weights"}
    shared = [{name: value for name, value in c.model_dump().items() if name not in different} for c in configs]
    assert all(each == shared[0] for each in shared)


def test_settings_of_vlm_replay_are_left_out_for_other_methods() -> None:
    vlm, uniform = jobs.matched_set(BASE, [{"replay": "vlm"}, {"replay": "uniform"}], [0])
    assert (vlm.scorer, vlm.lambda_max, vlm.clip_length) == ("oracle", 0.3, 16)
    defaults = {name: field.default for name, field in TrainConfig.model_fields.items()}
    assert (uniform.scorer, uniform.lambda_max) == (None, defaults["lambda_max"])


def test_a_setting_goes_only_to_the_methods_that_read_it() -> None:
    base = {"env": "DoorKey-6x6", "per_alpha": 0.3, "laber_factor": 7, "base": "per", "scorer": "oracle"}
    methods = ("vlm", "per", "relo", "laber", "uniform")
    runs = {c.replay: c for c in jobs.matched_set(base, [{"replay": key} for key in methods], [0])}
    assert [runs[key].per_alpha for key in methods] == [0.3, 0.3, 0.3, 0.6, 0.6]  # for vlm it is the base method's
    assert [runs[key].laber_factor for key in methods] == [4, 4, 4, 7, 4]
    assert [runs[key].base for key in methods] == ["per", *["uniform"] * 4]


def test_runs_of_a_set_are_named_by_the_settings_that_differ() -> None:
    configs = jobs.matched_set(BASE, [{"replay": "per"}, {"lambda_max": 0.1}, {"lambda_max": None}], [0, 1])
    assert jobs.launching.default_names(configs)[:3] == [
        "DoorKey-6x6 dqn per s0",
        "DoorKey-6x6 dqn vlm(oracle) s0 lambda_max=0.1",
        "DoorKey-6x6 dqn vlm(oracle) s0 lambda_max=none",
    ]
    assert len(set(jobs.launching.default_names(configs))) == 6


@pytest.mark.parametrize(
    ("variations", "seeds", "words"), [([], [0], "at least one"), ([{}], [], "at least one"), ([{}], [1, 1], "duplicate")]
)
def test_an_empty_set_or_repeated_seeds_are_refused(variations: list[dict], seeds: list[int], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        jobs.matched_set(BASE, variations, seeds)


def test_every_preset_can_be_launched_as_it_is() -> None:
    assert tuple(preset.key for preset in jobs.presets()) == KEYS
    for preset in jobs.presets():
        configs = preset.configs()
        assert len(configs) == len(preset.variations) * len(preset.seeds)
    with pytest.raises(ConfigError, match="choose from quick"):
        jobs.preset("nonsense")


@pytest.mark.parametrize(("text", "seeds"), [("0 3-5", [0, 3, 4, 5]), ("0,1, 2", [0, 1, 2]), ("", []), ("7-7", [7])])
def test_seeds_are_numbers_and_ranges(text: str, seeds: list[int]) -> None:
    assert jobs.parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["x", "-1", "5-3", "1-", "0-100", "0-60 70-120", "1.5", "١", "9" * 12])
def test_other_seeds_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="seeds: "):
        jobs.parse_seeds(text)


def measured(store: Store, speed: float, **config: object) -> None:
    run_id = store.create_run({"env": "CartPole-v1", "algo": "dqn", "replay": "per"} | config, render_spec={}, success_rule="")
    store.heartbeat(run_id, 5_000, steps_per_second=speed)


def test_an_estimate_is_based_on_the_most_similar_runs(tmp_path: Path) -> None:
    configs = jobs.matched_set(BASE, [{"replay": "per"}], [0, 1, 2])
    with Store(str(tmp_path / "runs.db")) as store:
        jobs.set_job_limit(store, 2)
        assert jobs.estimate(store, configs).seconds is None
        measured(store, 5_000.0, learning_starts=4_000)  # has mostly played at random so far
        assert jobs.estimate(store, configs).seconds is None
        measured(store, 50.0)
        rough = jobs.estimate(store, configs)
        assert (rough.seconds, "rough guess" in rough.basis) == (2 * 1_000 / 50, True)  # three runs, two at a time
        measured(store, 100.0, env="DoorKey-6x6")
        assert jobs.estimate(store, configs).seconds == 2 * 1_000 / 100
        assert (jobs.estimate(store, configs).runs, jobs.estimate(store, configs[:1]).at_a_time) == (3, 1)


def test_an_estimate_knows_how_long_evaluations_take(tmp_path: Path) -> None:
    (config,) = jobs.matched_set(BASE | {"eval_interval": 400, "eval_episodes": 20}, [{"replay": "per"}], [0])
    with Store(str(tmp_path / "runs.db")) as store:
        run_id = store.create_run(
            {"env": "CartPole-v1", "algo": "dqn", "replay": "per", "eval_episodes": 10}, render_spec={}, success_rule=""
        )
        store.heartbeat(run_id, 5_000, steps_per_second=100.0)
        writer = store.writer(run_id)
        for step, seconds in ((1_000, 20.0), (2_000, 10.0)):
            writer.add_metric("speed/evaluation_s", step, seconds)
        writer.flush()
        # 1,000 steps, and evaluations after 400, 800 and 1,000 of them with twice as many episodes
        assert jobs.estimate(store, [config]).seconds == 10 + 3 * 2 * 15
