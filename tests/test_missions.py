"""Missions and goals in prompts: what an episode is about, filled in for each clip, stored, and refused where there is none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from tests.test_train import small
from vlmrb.__main__ import main
from vlmrb.creation import create_run
from vlmrb.envs.factory import make_env
from vlmrb.envs.missions import LONGEST, mission_of
from vlmrb.errors import ConfigError
from vlmrb.prompt_library import questions_of, save_prompt
from vlmrb.rescoring import create_trial
from vlmrb.scoring import resolve_prompt
from vlmrb.scoring.worker import _answer
from vlmrb.store import Store
from vlmrb.train import resume, train
from vlmrb.types import Clip, ClipScore, Prompt, ScoringRequest

ASKS = "Does the agent do what it should: {mission}?"


@pytest.fixture
def store(tmp_path: Path):
    with Store(str(tmp_path / "store.db")) as opened:
        yield opened


def test_minigrid_babyai_and_ogbench_say_what_their_episodes_are_about() -> None:
    grid = make_env(small(env="BabyAI-GoToLocal-v0"))
    missions = set()
    for seed in range(8):
        grid.reset(seed)
        missions.add(grid.mission)
    assert len(missions) > 3 and all(mission.startswith("go to ") for mission in missions)
    robot = make_env(small(env="scene-singletask-task4-v0", algo="sac"))
    robot.reset(0)
    assert robot.mission == "press a button and put the cube into the drawer"
    none = make_env(small(env="CartPole-v1", replay="uniform", scorer=None))
    none.reset(0)
    assert none.mission == ""


class Talks(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, mission: Any) -> None:
        self.mission = mission


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("reach  the\n goal", "reach the goal"),
        (lambda: "a function's", "a function's"),
        (None, ""),
        (3, ""),
        (b"x", ""),
        ("x" * 9_999, "x" * LONGEST),
    ],
)
def test_an_environment_of_ones_own_says_it_with_an_attribute_or_a_function(given: Any, found: str) -> None:
    assert mission_of(gym.wrappers.TimeLimit(Talks(given), 5)) == found
    assert mission_of(gym.make("CartPole-v1")) == ""


def test_the_missions_of_clips_and_what_was_asked_are_stored_filled_in(store: Store) -> None:
    prompt = f"- {ASKS}\n- [2] Did it reach {{goal}}?"
    run_id = train(small(env="BabyAI-GoToLocal-v0", scorer="embedded", prompt=prompt, total_steps=400), store=store).run_id
    clips = store.clips(run_id, limit=1_000)
    assert len({clip.mission for clip in clips}) > 3
    stored = store.prompts()[-1]
    for clip in clips:
        assert clip.mission.startswith("go to ") and store.load_clip(clip.clip_id).mission == clip.mission
        if clip.score is not None:
            expected = (f"Does the agent do what it should: {clip.mission}?", f"Did it reach {clip.mission}?")
            assert questions_of(clip.score, stored) == expected
            assert clip.mission in clip.score.asked and "[2]" in clip.score.asked
            for (yes, no), answer in zip(clip.score.logits, clip.score.answers, strict=True):
                assert 1 / (1 + np.exp(no - yes)) == pytest.approx(answer, abs=1e-6)


def test_clips_of_one_mission_are_asked_about_together_and_come_back_in_order() -> None:
    class Reports:
        def __init__(self) -> None:
            self.asked: list[tuple[str, list[int]]] = []

        def score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
            self.asked.append((prompt.text, [request.clip.clip_id for request in requests]))
            return [ClipScore(r.clip.clip_id, 0.5, None, None, 0.5, "x", "x", "", prompt.prompt_id) for r in requests]

    def request(number: int, mission: str) -> ScoringRequest:
        none = np.zeros(0)
        clip = Clip(number, 0, 0, np.arange(1), none.astype(np.uint8), none, (), "length", mission=mission)
        return ScoringRequest(clip, np.zeros((0, 0, 0, 3), np.uint8), ())

    backend = Reports()
    requests = [request(number, mission) for number, mission in enumerate(["a", "b", "a", "", "b"])]
    scores = _answer(backend, requests, Prompt("custom", 1, "Is it {goal}?", 4))  # type: ignore[arg-type]
    assert backend.asked == [("Is it a?", [0, 2]), ("Is it b?", [1, 4]), ("Is it the task?", [3])]
    assert [(score.clip_id, score.asked) for score in scores] == [
        (0, "Is it a?"),
        (1, "Is it b?"),
        (2, "Is it a?"),
        (3, "Is it the task?"),
        (4, "Is it b?"),
    ]


@pytest.mark.parametrize("prompt", [ASKS, "Is {goal} reached?"])
def test_a_placeholder_that_the_environment_does_not_fill_is_refused_before_the_run_is_made(store: Store, prompt: str) -> None:
    with pytest.raises(ConfigError, match=r"prompt: it asks about the mission or goal, and CartPole-v1 does not say"):
        create_run(small(env="CartPole-v1", scorer="reward", prompt=prompt), store=store)
    assert store.runs() == []


@pytest.mark.parametrize(
    "braces",
    ["{mision}", "{Mission}", "{ mission }", "{goal!r}", "{mission.__class__}", "{goal[0]}", "{the goal}", "{but}", "{}"],
)
@pytest.mark.parametrize("prompt", ["Does the agent {}?", "any of\n- Is a door open?\n- Does it {}, or {{goal}}?"])
def test_braces_that_nothing_fills_are_refused_and_named_before_anything_is_written(
    store: Store, braces: str, prompt: str
) -> None:
    text = prompt.replace("{}", braces).replace("{{goal}}", "{goal}")
    refused = rf"prompt: nothing fills {re.escape(braces)}; write \{{mission\}} or \{{goal\}}"
    with pytest.raises(ConfigError, match=refused):
        create_run(small(scorer="embedded", prompt=text), store=store)
    with pytest.raises(ConfigError, match=refused):
        save_prompt(store, "doors", text)
    assert store.runs() == [] and store.prompts() == []
    if "any of" not in text:
        with pytest.raises(ConfigError, match="her_question: nothing fills"):
            create_run(small(env="BabyAI-GoToLocal-v0", her="words:2", her_question=f"{{mission}} {text}"), store=store)


def test_other_braces_are_asked_as_they_stand() -> None:
    for text in ('Answer {"yes": 1} or {0}: is a door open?', "Is the cube one of {red, blue}?", "Is P > {0.5}? {mission}{goal}"):
        assert resolve_prompt(text).text == text
    assert resolve_prompt("Is {mission} done?").filled("{goal} or \\1").text == "Is {goal} or \\1 done?"


def test_a_run_that_was_made_before_with_other_braces_in_its_prompt_is_trained(store: Store, monkeypatch) -> None:
    with monkeypatch.context() as before:
        before.setattr("vlmrb.scoring.prompts.check_placeholders", lambda text: None)
        run_id = create_run(small(prompt="Is {mision} done?", total_steps=200, eval_interval=200), store=store)
    resume(run_id, store=store)
    assert store.run(run_id).status == "finished" and store.prompts()[0].text == "Is {mision} done?"


@pytest.mark.parametrize("prompt", [ASKS, "- Is a door open?\n- Is {goal} reached?"])
def test_stored_clips_without_a_mission_are_not_asked_about_it(store: Store, prompt: str, capsys) -> None:
    without = train(small(env="CartPole-v1", scorer="reward", total_steps=200, eval_interval=200), store=store).run_id
    given = train(small(env="BabyAI-GoToLocal-v0", scorer="oracle", total_steps=200, eval_interval=200), store=store).run_id
    asked = len(store.prompts())
    with pytest.raises(ConfigError, match=f"clips of run {without} do not say what their episodes are about"):
        create_trial(store, run_ids=[without, given], scorer="hf:some/model", prompt=prompt)
    assert main(["score", str(without), "--scorer", "embedded", "--prompt", prompt, "--store", store.url]) != 0
    assert "do not say what their episodes are about" in capsys.readouterr().err
    assert len(store.prompts()) == asked and store.trials() == []
    for scorer, runs in (("hf:some/model", [given]), ("oracle", [without, given])):  # a control scorer reads no prompt
        assert create_trial(store, run_ids=runs, scorer=scorer, prompt=prompt)


def test_a_live_prompt_that_the_environment_does_not_fill_is_rejected(store: Store, monkeypatch) -> None:
    def ask(step: int, *_: object) -> None:
        if step >= 200 and not asked:
            asked.append(store.request_change(1, "prompt", store.save_prompt("custom", ASKS).prompt_id))

    asked: list[int] = []
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.02)
    train(small(env="CartPole-v1", scorer="reward", total_steps=400, eval_interval=400), store=store, progress=ask)
    [change] = store.live_changes(1)
    assert change.status == "rejected" and "does not say what that is" in change.error


def test_without_a_placeholder_nothing_is_filled_in(store: Store) -> None:
    run_id = train(small(total_steps=200, prompt="progress", scorer="oracle"), store=store).run_id
    assert {clip.score.asked for clip in store.clips(run_id) if clip.score} == {""}
    assert {clip.mission for clip in store.clips(run_id)} == {"use the key to open the door and then get to the goal"}
