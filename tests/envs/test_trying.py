"""What a run needs is found out before its row is written."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from tests import odd_environments
from tests.odd_environments import env_id
from vlmrb import memory
from vlmrb.config import make_config
from vlmrb.envs import make_env
from vlmrb.errors import ConfigError, EnvironmentFailedError, EnvironmentSetupError, VlmrbError
from vlmrb.jobs.launching import check_all
from vlmrb.store import Store
from vlmrb.train import create_run, resume, train


@pytest.fixture
def store(tmp_path: Path):
    with Store(str(tmp_path / "store.db")) as opened:
        yield opened


def short(name: str, **settings: object):
    values = {"replay": "uniform", "scorer": None, "total_steps": 40, "n_envs": 2, "learning_starts": 8, "batch_size": 4,
              "hidden_size": 8, "eval_interval": 40, "eval_episodes": 1, "buffer_size": 100}  # fmt: skip
    return make_config(**{**values, "env": env_id(name), **settings})


@pytest.mark.parametrize(
    "name", ["ChannelFirst", "Stacked", "DictOfAll", "TupleOfAll", "ArrayReward", "PythonNumbers", "GoodSuccess"]
)
def test_what_users_expect_to_work_does(store: Store, name: str) -> None:
    assert train(short(name), store=store).status == "finished"


def test_images_are_learned_from_with_continuous_actions_too(store: Store) -> None:
    assert train(short("Camera", algo="sac", train_freq=8), store=store).status == "finished"


def test_a_channel_first_image_is_turned_around_and_a_dict_flattened() -> None:
    env = make_env(short("ChannelFirst"))
    assert env.observation_spec.shape == (40, 44, 3) and env.observation_spec.kind == "image"
    space = odd_environments.SPACES["ChannelFirst"]
    space.seed(3)
    seen = env.reset(3)
    space.seed(3)
    np.testing.assert_array_equal(seen, space.sample().transpose(1, 2, 0))
    assert make_env(short("DictOfAll")).observation_spec.shape == (gym.spaces.flatdim(odd_environments.SPACES["DictOfAll"]),)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("TinyImage", "images of 8×8 pixels; the network needs at least 36×36.*ResizeObservation"),
        ("FourDimensions", r"shape \(4, 40, 40, 3\); allowed: vectors and images"),
        ("WithSequence", "no fixed number of values"),
        ("Graph", "no fixed number of values"),
        ("Huge", "has 1,099,511,627,776 values"),
        ("ManyActions", r"action space is MultiDiscrete\(\[2 2\]\); agents need Discrete or Box"),
        ("TwoRewardsAtOnce", r"cannot be used: the reward is \[1. 2.\]; it must be one number"),
        ("OldStep", "cannot be used: step fails with ValueError: not enough values"),
        ("LostFile", r"cannot be used: reset fails with FileNotFoundError: .*maze.png.*odd_environments.py, line \d+"),
        ("NoPicture", "NoPicture-v0 cannot be used: render.. fails with RuntimeError: no display"),
        ("Gone", "cannot be created.*ThereWasOne"),
        ("GonePackage", "installed packages lack what it needs.*there_was_a_package"),
    ],
)
def test_what_cannot_work_is_told_in_words_before_anything_is_written(store: Store, name: str, words: str) -> None:
    for make in (train, create_run):
        with pytest.raises(EnvironmentSetupError, match=words):
            make(short(name), store=store)
    assert store.runs() == []


def test_pictures_are_needed_only_where_somebody_looks_at_them(store: Store) -> None:
    assert train(short("NoPicture", keep_clips=False), store=store).status == "finished"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Breaks", r"step fails with KeyError: 'door' \(odd_environments.py, line \d+\)"),
        ("LongObservation", r"the observation has shape \(3,\), but its space has \(2,\)"),
    ],
)
def test_an_environment_that_fails_in_mid_run_names_itself_its_step_and_its_line(store: Store, name: str, words: str) -> None:
    with pytest.raises(EnvironmentFailedError, match=rf"{name}-v0, step 5\d: environment 1 of 2, episode with seed \d+: {words}"):
        train(short(name, total_steps=120), store=store)
    assert store.run(1).status == "failed" and "train --resume 1" in store.run(1).error


def test_an_environment_is_tried_once_for_all_runs_that_share_it() -> None:
    odd_environments.made.clear()
    configs = [short("GoodSuccess", learning_rate=rate, seed=seed) for rate in (1e-4, 1e-3, 1e-2) for seed in range(5)]
    assert len(check_all(configs)) == 15 and odd_environments.made == ["Walk"]
    check_all([*configs, short("GoodSuccess", success_step="any")])
    assert odd_environments.made == ["Walk"] * 3


def test_a_replay_buffer_larger_than_memory_is_refused_with_the_size_that_fits(store: Store, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.creation.available_memory", lambda: 2**30)
    wide = {"buffer_size": 300_000, "total_steps": 200_000}
    with pytest.raises(ConfigError, match=r"200,000 .*images of 400×400×3 .*178\.8 GiB, and 1\.0 GiB .*at most 1,118,"):
        create_run(short("Wide", **wide), store=store)
    with pytest.raises(ConfigError, match="run 2 of 2"):
        check_all([short("GoodSuccess"), short("Wide", **wide)])
    assert store.runs() == []
    create_run(short("Wide", **wide | {"total_steps": 1_000}), store=store)  # it never holds more than it trains
    create_run(short("Wide", **wide | {"buffer_size": 1_000}), store=store)


def test_networks_larger_than_memory_are_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match=r"hidden_size: with 8, .*1,099,511,627,776 choices"):
        create_run(short("ManyChoices"), store=store)
    assert store.runs() == []


def test_memory_is_what_the_machine_has_and_no_cgroup_allows_less(tmp_path: Path, monkeypatch) -> None:
    machine = memory.available_memory()
    assert machine > 2**20
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 100000\n")
    monkeypatch.setattr(memory, "_cgroups", lambda: [tmp_path / "none", tmp_path])
    assert memory.available_memory() == 400_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_memory() > 400_000


def test_a_run_whose_environment_is_gone_is_told_so_and_stays_as_it_was(store: Store) -> None:
    run_id = train(short("GoodSuccess"), store=store).run_id
    with store._write() as connection:
        from sqlalchemy import update

        from vlmrb.store import tables

        config = store.run(run_id).config | {"env": env_id("Gone"), "total_steps": 80}
        connection.execute(update(tables.runs).values(config=config, status="stopped"))
    before = store.run(run_id)
    with pytest.raises(EnvironmentSetupError, match=r"cannot be created.*ThereWasOne"):
        resume(run_id, store=store)
    after = store.run(run_id)
    assert (after.status, after.error, after.step) == (before.status, before.error, before.step)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CliffWalking-v0", "no longer in the installed version of its package.*CliffWalking-v1"),
        (":CartPole-v1", "cannot be imported"),
        ("tests.no_such_module:Walk-v0", "must be on PYTHONPATH"),
    ],
)
def test_an_id_that_is_gone_is_told_in_words(name: str, words: str) -> None:
    with pytest.raises(EnvironmentSetupError, match=words):
        make_env(make_config(env=name, replay="uniform"))


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "assert False, 'old'", "1/0", "def"])
def test_a_module_that_fails_while_it_is_imported_is_told_in_words(tmp_path: Path, monkeypatch, code: str) -> None:
    (tmp_path / "failing_module.py").write_text(code + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(VlmrbError, match="the module 'failing_module' cannot be imported"):
        make_env(make_config(env="failing_module:Any-v0", replay="uniform"))
