"""What an answer is judged by: events of clips, and the truth that fits a question's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmrb.events import PROGRESS_KINDS
from vlmrb.scoring.prompts import load_presets
from vlmrb.store import Store
from vlmrb.truths import PROGRESS, accomplished, choices, truth_for, truths_of
from vlmrb.types import Event

OTHERS = ["dropped key", "closed door", "entered room"]


@pytest.mark.parametrize(
    ("question", "truth"),
    [
        ("Does the agent open a door?", "opened door"),
        ("Do these frames show the agent picking up a key?", "picked_up key"),
        ("Is there a moment when the door is opened?", "opened door"),
        ("Has the agent reached the goal?", "goal_reached"),
        ("Does the agent drop a key?", "dropped key"),
        ("Is a key dropped here?", "dropped key"),
        ("Does the robot close the window?", "closed window"),
        ("Is the cube lifted off the table?", "lifted cube"),
        ("Does the robot place the cube in the drawer?", "placed_in_drawer cube"),
        ("Does the cube reach its target?", "reached_target cube"),
        ("Look closely: a door may open. Does the agent pick up a key?", "picked_up key"),
        ("Does the agent pick up a key or open a door?", PROGRESS),  # two fit
        ("Does anything happen?", PROGRESS),
        ("Does the agent not open the door?", PROGRESS),
        ("Doesn't the agent open the door?", PROGRESS),
        ("Does the agent fail to reach the goal?", PROGRESS),
        ("Is there a monkey near the doormat?", PROGRESS),
        ("", PROGRESS),
    ],
)
def test_the_truth_that_fits_is_found_by_a_questions_words(question: str, truth: str) -> None:
    assert truth_for(question, [PROGRESS, *PROGRESS_KINDS, *OTHERS]) == truth


def test_presets_are_judged_by_progress_and_milestones_each_by_its_own() -> None:
    presets = load_presets()
    for name in ("games", "manipulation", "progress"):
        assert [truth_for(question) for question in presets[name][-1].questions] == [PROGRESS]
    assert [truth_for(question) for question in presets["milestones"][-1].questions] == [
        "picked_up key",
        "opened door",
        "goal_reached",
    ]


def test_a_clip_shows_its_events_their_kinds_and_progress() -> None:
    assert truths_of([(3, Event("unlocked", "door", "red"))]) == {"unlocked door", "opened door", PROGRESS}
    assert truths_of([(3, Event("dropped", "key"))]) == {"dropped key"}
    assert truths_of([(3, Event("success"))]) == {"success", "goal_reached", PROGRESS}
    assert truths_of([(3, Event("goal_reached", "goal", "green"))]) == {"goal_reached", PROGRESS}
    assert truths_of([]) == set()
    assert choices([truths_of([(3, Event("dropped", "key"))]), frozenset()]) == [PROGRESS, *PROGRESS_KINDS, "dropped key"]


@pytest.mark.parametrize(
    ("mission", "ahead", "events", "truth"),
    [
        ("go to the red ball", "red ball", (), True),
        ("go to a red ball", "red ball", (), True),
        ("go to the ball", "grey ball", (), True),
        ("go to the object", "grey ball", (), True),
        ("go to an object", "grey wall", (), False),
        ("go to the red ball", "red key", (), False),
        ("go to the red ball", "blue ball", (), False),
        ("go to the red ball", "", (), False),
        ("go to the red ball", "grey wall", (Event("picked_up", "ball", "red"),), False),
        ("pick up the red ball", "grey wall", (Event("picked_up", "ball", "red"),), True),
        ("pick up a ball", "grey wall", (Event("picked_up", "ball", "red"),), True),
        ("pick up the red ball", "red ball", (), False),
        ("pick up the red ball", "red ball", (Event("dropped", "ball", "red"),), False),
        ("open the blue door", "blue door", (Event("opened", "door", "blue"),), True),
        ("open the blue door", "blue door", (Event("closed", "door", "blue"),), False),
        ("you must fetch a green key", "", (Event("picked_up", "key", "green"), Event("failed")), True),
        ("go get a green key", "", (Event("picked_up", "key", "red"),), False),
        ("go to the red ball on your left", "red ball", (), None),
        ("put the red ball next to the box", "red box", (), None),
        ("go to the red ball and pick up the key", "red ball", (), None),
        ("use the key to open the door and then get to the goal", "green goal", (), None),
        ("", "red ball", (), None),
    ],
)
def test_a_mission_that_is_one_act_is_judged_by_the_last_step(
    mission: str, ahead: str, events: tuple, truth: bool | None
) -> None:
    assert accomplished(mission, ahead, events) is truth


@pytest.mark.parametrize("env_id", ["BabyAI-GoToLocalS6N4-v0", "BabyAI-Pickup-v0", "BabyAI-OpenDoorColor-v0"])
def test_what_is_true_of_other_missions_is_what_babyai_itself_says_step_by_step(env_id: str) -> None:
    import numpy as np
    from minigrid.core.constants import COLOR_NAMES
    from minigrid.envs.babyai.core.verifier import GoToInstr, ObjDesc, OpenInstr, PickupInstr

    from tests.test_train import small
    from vlmrb.envs import make_env, make_renderer

    env, rng, said = make_env(small(env=env_id)), np.random.default_rng(0), {True: 0, False: 0}
    task, renderer = env._env.unwrapped, make_renderer(env.render_spec)  # type: ignore[attr-defined]
    for seed in range(6):
        env.reset(seed)
        things = [(kind, color) for kind in ("ball", "box", "key", "door") for color in (*COLOR_NAMES, None)]
        others = {f"go to the {color or ''} {kind}": GoToInstr(ObjDesc(kind, color)) for kind, color in things}
        others |= {
            f"pick up a {color or ''} {kind}": PickupInstr(ObjDesc(kind, color)) for kind, color in things if kind != "door"
        }
        others |= {f"open the {color or ''} door": OpenInstr(ObjDesc("door", color)) for kind, color in things if kind == "door"}
        for instruction in others.values():
            instruction.reset_verifier(task)
        gone = False  # a thing that was picked up or a box that was opened: BabyAI goes on to take its place for it
        for _ in range(80):
            action = int(rng.choice(6, p=[0.15, 0.15, 0.4, 0.1, 0.1, 0.1]))
            step = env.step(action)
            gone |= bool({(event.name, event.object) for event in step.events} & {("opened", "box")}) or task.carrying is not None
            for mission, instruction in others.items():
                if action == task.actions.drop:
                    instruction.update_objs_poss()
                theirs = instruction.verify(action) == "success"
                if mission.startswith("go to") and gone:
                    continue
                ours = accomplished(" ".join(mission.split()), renderer.ahead(env.snapshot()), step.events)  # type: ignore[attr-defined]
                assert ours is theirs, (seed, mission)
                said[theirs] += 1
            if step.terminated or step.truncated:
                break
    assert min(said.values()) > 10


@pytest.mark.slow
def test_a_trial_judges_each_question_by_what_it_asks_about(tmp_path: Path) -> None:
    from tests.test_train import small
    from vlmrb.rescoring import create_trial, run_trial, trial_report
    from vlmrb.train import train

    with Store(str(tmp_path / "store.db")) as store:
        run_id = train(small(scorer="oracle", total_steps=3_200), store=store).run_id
        asked = {"run_ids": [run_id], "scorer": "embedded", "sample": 40}
        one = create_trial(store, prompt="Does the agent pick up a key?", **asked)
        three = create_trial(store, prompt="milestones", **asked)
        for trial in (one, three):
            run_trial(store, trial)
        single, of_set = trial_report(store, one).agreement, trial_report(store, three).agreement
        assert single is not None and of_set is not None
        assert (single.truth, single.questions) == ("picked_up key", ())
        keys = sum("picked_up key" in truths_of(row.clip.events) for row in trial_report(store, one).rows)
        assert single.events.confusion.true_positives + single.events.confusion.false_negatives == keys > 0
        assert of_set.truth == PROGRESS
        assert [each.truth for each in of_set.questions] == ["picked_up key", "opened door", "goal_reached"]
        chosen = trial_report(store, one, "opened door").agreement
        assert chosen is not None and chosen.truth == "opened door"
        with pytest.raises(Exception, match=r"truth: got 'magic'; allowed: progress, picked_up key, "):
            trial_report(store, one, "magic")
