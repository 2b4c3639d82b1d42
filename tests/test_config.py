"""The configuration: what it refuses, in which words, and that it survives a round trip."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmrb.config import (
    TrainConfig,
    defaults_for,
    defaults_of_run,
    feedback_for,
    make_config,
    replay_ratio,
    settings,
    unread_settings,
)
from vlmrb.errors import ConfigError, VlmrbError


def config(**values) -> TrainConfig:
    return make_config(**({"scorer": "oracle"} | values))


def test_the_defaults_with_a_scorer_are_valid() -> None:
    assert config().replay == "vlm"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lambda_max": 1.5}, ["lambda_max", "1.5", "0 to 1", "none"]),
        ({"lambda_max": math.nan}, ["lambda_max", "finite"]),
        ({"lambda_max": "nan"}, ["lambda_max", "finite"]),
        ({"lambda_max": "a lot"}, ["lambda_max", "a lot"]),
        ({"lambda_max": -0.1}, ["lambda_max", "-0.1"]),
        ({"total_steps": -5}, ["total_steps", "-5", "≥ 1"]),
        ({"total_steps": 0}, ["total_steps", "≥ 1"]),
        ({"total_steps": "many"}, ["total_steps", "many"]),
        ({"learning_rate": 0}, ["learning_rate", "> 0"]),
        ({"learning_rate": math.inf}, ["learning_rate", "inf"]),
        ({"gamma": 1.01}, ["gamma", "1.01", "0 to 1"]),
        ({"prompt": "  "}, ["prompt", "empty", "games"]),
        ({"env": ""}, ["env"]),
        ({"env": " "}, ["env", "empty"]),
        ({"algo": "ppo"}, ["algo", "ppo", "dqn", "iqn"]),
        ({"epsilon_start": 0.1, "epsilon_end": 0.5}, ["epsilon_end", "0.5", "0.1"]),
        ({"buffer_size": 8, "n_step": 3, "n_envs": 8}, ["buffer_size", "8", "24"]),
        ({"replay": "magic"}, ["replay", "magic", "vlm, per, uniform, laber, reaper, relo"]),
        ({"base": "vlm"}, ["base", "vlm", "uniform, per, laber, reaper, relo"]),
        ({"replay": "per", "base": "relo"}, ["base", "per is not mixed"]),
        ({"base": "laber", "importance_weights": True}, ["importance_weights", "laber", "no exact weights"]),
        ({"laber_factor": 0}, ["laber_factor", "0", "1 to 64"]),
        ({"reaper_omega": 1.5}, ["reaper_omega", "1.5", "0 to 1"]),
        ({"no_such_setting": 1}, ["no_such_setting", "no such setting"]),
        ({"enrichment": 0}, ["enrichment", "> 0", "none"]),
        ({"enrichment": "inf"}, ["enrichment", "finite"]),
        ({"credit": 1.0}, ["credit", "1.0", "< 1"]),
        ({"lambda_from": "success"}, ["lambda_from", "'start' or 'first-success'"]),
        ({"per_beta": 0.6, "per_beta_end": 0.5}, ["per_beta", "0.6", "per_beta_end 0.5"]),
        ({"net_progress": True, "scorer": "reward"}, ["net_progress", "oracle", "reward"]),
        ({"net_progress": True, "scorer": None}, ["net_progress", "oracle", "embedded"]),
        ({"lambda_max": None, "lambda_from": "first-success"}, ["lambda_from", "no λ"]),
        ({"lambda_max": None, "lambda_falls": True}, ["lambda_falls", "no λ"]),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(values: dict, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        config(**values)
    for word in words:
        assert word in str(caught.value)


def test_every_wrong_value_gets_a_line() -> None:
    with pytest.raises(ConfigError) as caught:
        config(lambda_max=2, gamma=-1, seed=-1)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["seed", "gamma", "lambda_max"]


def test_a_config_error_is_caught_as_ours_and_as_a_value_error() -> None:
    assert issubclass(ConfigError, VlmrbError)
    assert issubclass(ConfigError, ValueError)


@pytest.mark.parametrize("word", ["none", "None", " NULL ", None])
def test_no_mixture_can_be_said_in_words(word: str | None) -> None:
    assert config(lambda_max=word).lambda_max is None


def test_the_bound_and_the_exponent_of_the_weights_follow_what_is_given() -> None:
    assert config(enrichment="none").enrichment is None and config(enrichment="20").enrichment == 20.0
    assert config(enrichment=10, lambda_max=None).lambda_max is None  # a bound on λ = 1
    assert config(per_beta=0.7, per_beta_end=0.7).per_beta_end == 0.7


@given(st.floats(0, 1))
def test_every_weight_from_zero_to_one_is_taken_as_it_is(weight: float) -> None:
    assert config(lambda_max=weight).lambda_max == weight
    assert config(lambda_max=repr(weight)).lambda_max == weight


@given(st.floats().filter(lambda value: not 0 <= value <= 1))
def test_no_other_weight_gets_through(weight: float) -> None:
    with pytest.raises(ConfigError, match="lambda_max"):
        config(lambda_max=weight)


def test_the_configuration_survives_json() -> None:
    before = config(lambda_max="none", env="DoorKey-12x12", success_return=0.5)
    assert make_config(**json.loads(json.dumps(before.model_dump()))) == before


def test_the_configuration_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        config().seed = 3


@pytest.mark.parametrize("name", TrainConfig.model_fields)
def test_every_setting_has_a_description_a_group_and_the_models_default(name: str) -> None:
    setting = settings()[name]
    assert setting.description and setting.group and setting.flag == "--" + name.replace("_", "-")
    assert setting.default == TrainConfig.model_fields[name].default


@pytest.mark.parametrize("name", TrainConfig.model_fields)
def test_the_stated_limits_are_the_real_ones(name: str) -> None:
    outside = {"minimum": -1, "exclusiveMinimum": 0, "maximum": 1, "exclusiveMaximum": 0}
    for bound, value in settings()[name].limits.items():
        with pytest.raises(ConfigError, match=name):
            config(**{name: value + outside[bound]})


def test_the_embedded_model_scores_where_no_other_is_named() -> None:
    assert make_config().scorer == "embedded"
    assert make_config(scorer=None, replay="vlm").scorer == "embedded"
    assert make_config(scorer="reward").scorer == "reward"
    assert make_config(replay="per").scorer is None


def test_an_agent_for_continuous_actions_has_defaults_of_its_own_and_what_is_given_wins() -> None:
    sac = config(env="Pendulum-v1", algo="sac")
    assert (sac.train_freq, sac.batch_size, sac.n_step, sac.hidden_size, sac.td_boost) == (1, 256, 1, 256, True)
    assert config(algo="dqn").td_boost is False
    given = config(env="Pendulum-v1", algo="td3", train_freq="4", td_boost="false")
    assert (given.train_freq, given.td_boost, given.batch_size) == (4, False, 256)
    assert TrainConfig(**given.model_dump()) == given


def test_a_method_brings_its_defaults_a_mixture_those_of_its_base_too_and_what_is_given_wins() -> None:
    assert config(replay="per").importance_weights and not config(replay="vlm").importance_weights
    reaper = config(replay="reaper")
    assert (reaper.per_alpha, reaper.per_beta, reaper.reaper_omega, reaper.importance_weights) == (0.4, 0.5, 0.2, True)
    mixed = config(replay="vlm", base="reaper")
    assert (mixed.per_alpha, mixed.per_beta, mixed.importance_weights) == (0.4, 0.5, False)
    assert config(replay="vlm", base="reaper", per_alpha="0.9").per_alpha == 0.9
    assert defaults_for("dqn", "vlm", "reaper")["per_alpha"] == 0.4 and defaults_for()["per_alpha"] == 0.6
    assert defaults_of_run(mixed.model_dump())["per_alpha"] == 0.4


def test_a_run_asks_its_agent_for_what_its_replay_and_its_base_want() -> None:
    assert feedback_for(config(replay="uniform")) == feedback_for(config(replay="laber")) == frozenset()
    assert feedback_for(config(replay="per")) == feedback_for(config(replay="vlm", base="reaper")) == {"td_errors"}
    assert feedback_for(config(replay="relo")) == feedback_for(config(replay="vlm", base="relo")) == {"reducible_losses"}


def test_what_only_other_methods_read_decides_nothing_in_a_run() -> None:
    assert {"lambda_max", "base", "laber_factor", "reaper_omega", "prompt"} <= unread_settings("per")
    assert not {"per_alpha", "per_beta", "importance_weights", "replay", "batch_size"} & unread_settings("per")
    assert {"per_alpha", "reaper_omega", "laber_factor"} <= unread_settings("vlm")
    assert "laber_factor" in unread_settings("vlm", "reaper") and "reaper_omega" not in unread_settings("vlm", "reaper")


def test_a_setting_knows_who_reads_it_and_whose_default_is_another() -> None:
    alpha, noise = settings()["per_alpha"], settings()["target_noise"]
    assert alpha.methods == ("per", "reaper", "relo") and alpha.agents == () and alpha.range == "0 to 1"
    assert (alpha.default, alpha.default_for("per"), alpha.default_for("sac", "reaper")) == (0.6, 0.6, 0.4)
    assert noise.agents == ("td3",) and noise.methods == ()
    assert settings()["replay"].choices == ("vlm", "per", "uniform", "laber", "reaper", "relo")
    assert settings()["base"].choices == ("uniform", "per", "laber", "reaper", "relo")
    assert settings()["algo"].choices == ("dqn", "iqn", "sac", "td3")
    kinds = {name: settings()[name].kind for name in ("double", "n_envs", "gamma", "lambda_max", "env", "replay")}
    assert list(kinds.values()) == ["flag", "whole", "number", "number", "text", "choice"]
    assert settings()["lambda_max"].optional and not settings()["gamma"].optional


# -- replay ratio


@pytest.mark.parametrize(
    ("given", "train_freq", "ratio"),
    [
        ({}, 4, 32),
        ({"replay_ratio": 8}, 16, 8),
        ({"replay_ratio": "8"}, 16, 8),
        ({"replay_ratio": 0.5, "batch_size": "64"}, 128, 0.5),
        ({"replay_ratio": 7.11111}, 18, 128 / 18),  # as it is shown
        ({"replay_ratio": 128, "algo": "sac", "env": "Pendulum-v1"}, 2, 128),
        ({"replay_ratio": 8, "train_freq": "16"}, 16, 8),
        ({"replay_ratio": None, "train_freq": 2}, 2, 64),
    ],
)
def test_the_replay_ratio_can_be_given_in_place_of_train_freq(given, train_freq, ratio) -> None:
    stored = config(**given).model_dump()
    assert stored["train_freq"] == train_freq
    assert "replay_ratio" not in stored
    assert replay_ratio(stored) == ratio


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"replay_ratio": 7}, ["replay_ratio: got 7", "batch_size 128", "6.73684 (train_freq 19) and 7.11111 (train_freq 18)"]),
        ({"replay_ratio": 200}, ["replay_ratio: got 200", "128 (train_freq 1)"]),
        ({"replay_ratio": 8, "train_freq": 4}, ["replay_ratio: 8", "is train_freq 16", "train_freq is given as 4"]),
        ({"replay_ratio": "lots"}, ["replay_ratio: got 'lots'", "> 0"]),
        ({"replay_ratio": 0}, ["replay_ratio: got 0", "> 0"]),
    ],
)
def test_a_replay_ratio_that_cannot_be_says_what_can(given, words) -> None:
    with pytest.raises(ConfigError) as error:
        config(**given)
    for word in words:
        assert word in str(error.value)
    assert "batch_size: " not in str(error.value)


def test_the_replay_ratio_of_an_older_run_comes_from_the_defaults_of_its_agent() -> None:
    assert replay_ratio({"algo": "sac"}) == 256
    assert replay_ratio({"batch_size": 64}) == 16
