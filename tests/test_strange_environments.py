"""Two hundred strange environments: each trains rightly, or is refused in words before there is a run, or stops in words.

All but the first are slow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

from tests.strange_environments import BRIGHTER, COUNT, LENGTH, REWARD, Recipe, env_id, recipe_of
from vlmrb.config import TrainConfig, make_config
from vlmrb.errors import VlmrbError
from vlmrb.store import Store
from vlmrb.train import train

QUICK = 15
STEPS = 160


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(str(tmp_path_factory.mktemp("strange") / "store.db")) as opened:
        yield opened


def settings_of(recipe: Recipe, number: int) -> TrainConfig:
    algo = "sac" if getattr(recipe.actions, "shape", None) is not None and hasattr(recipe.actions, "low") else "dqn"
    return make_config(
        env=env_id(number), algo=algo, replay="vlm" if recipe.labels else "per", scorer="oracle" if recipe.labels else None,
        keep_clips=recipe.draws, total_steps=STEPS, n_envs=2, learning_starts=32, train_freq=32, batch_size=4, hidden_size=8,
        clip_length=8, eval_interval=STEPS, eval_episodes=2, log_interval=40, checkpoint_interval=STEPS, buffer_size=100,
    )  # fmt: skip


@pytest.mark.parametrize(
    "number", [pytest.param(number, marks=[pytest.mark.slow] if number >= QUICK else []) for number in range(COUNT)]
)
def test_a_strange_environment_trains_rightly_or_says_what_is_wrong(store: Store, number: int) -> None:
    recipe = recipe_of(number)
    print(recipe)
    before = len(store.runs())
    try:
        result = train(settings_of(recipe, number), store=store)
    except VlmrbError as error:
        said = str(error)
        assert recipe.fault, said
        assert f"Strange{number}-v0" in said and "\n" not in said and len(said) < 1_200
        assert re.search(recipe.words, said), said
        if recipe.since == 0:
            assert len(store.runs()) == before
        else:
            run = store.runs()[0]
            assert len(store.runs()) == before + 1 and run.status == "failed"
            assert run.error == said.replace("\0", "").encode("utf-8", "ignore").decode()
            assert re.search(r"-v0, step \d+: environment \d of 2, episode with seed \d+: ", said), said
            assert 2 * recipe.since - 2 <= run.step < 2 * recipe.since + 2 * LENGTH
    else:
        assert not recipe.fault and result.status == "finished"
        assert_learned_rightly(store, result.run_id, recipe)


def assert_learned_rightly(store: Store, run_id: int, recipe: Recipe) -> None:
    episodes = store.episodes(run_id)
    assert [(each.length, each.episodic_return) for each in episodes] == [(LENGTH, LENGTH * REWARD)] * (STEPS // LENGTH)
    assert {each.success for each in episodes} == {True if recipe.info == "success" else None}
    clips = store.load_clips([clip.clip_id for clip in store.clips(run_id, limit=1_000)])
    assert sum(len(clip.item_ids) for clip in clips) == STEPS * recipe.draws
    for clip in clips:
        place = clip.item_ids // 2 % LENGTH + 1
        assert np.array_equal(clip.snapshots.max((1, 2, 3)), BRIGHTER * place), (place, clip.snapshots.max((1, 2, 3)))
