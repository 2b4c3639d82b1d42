"""Labels from events, rewards and chance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vlmrb.events import PROGRESS_EVENTS, PROGRESS_KINDS, shows_progress
from vlmrb.scoring import ScorerOptions, make_scorer
from vlmrb.types import Event, OtherMissions, Prompt

PROMPT = Prompt("custom", 1, "- Is it a key?\n- Is it a door?")


def test_the_oracle_answers_one_question_per_kind_of_progress(make_request) -> None:
    request, oracle = make_request(1, frames=0), make_scorer("oracle", ScorerOptions())
    events = ((3, Event("opened", "door", "red")), (4, Event("dropped", "key")), (31, Event("success")))
    [none, some] = oracle.score([request, replace(request, clip=replace(request.clip, events=events))], PROMPT)
    assert none.answers == (0.0,) * len(PROGRESS_KINDS)
    assert (none.probability, none.label) == (0.0, False)
    assert {kind for kind, label in zip(PROGRESS_KINDS, some.labels, strict=True) if label} == {"opened door", "goal_reached"}
    assert (some.probability, some.label, some.prompt_id) == (1.0, True, None)


@pytest.mark.parametrize("event", sorted(PROGRESS_EVENTS))
def test_progress_is_any_of_its_kinds(event, make_request) -> None:
    events = ((0, Event(*event)),)
    request = make_request(1, frames=0)
    [score] = make_scorer("oracle", ScorerOptions()).score([replace(request, clip=replace(request.clip, events=events))], PROMPT)
    assert sum(score.answers) == score.probability == 1.0
    assert shows_progress(events)


@pytest.mark.parametrize("scorer", ["reward", "random:0.5"])
def test_other_control_scorers_have_one_answer(scorer, make_request) -> None:
    for score in make_scorer(scorer, ScorerOptions()).score([make_request(number, frames=0) for number in range(4)], PROMPT):
        assert score.answers == (score.probability,)


@pytest.mark.parametrize("net_progress", [False, True])
def test_net_progress_leaves_out_what_is_undone_within_the_clip(net_progress: bool, make_request) -> None:
    events = ((2, Event("picked_up", "key", "red")), (3, Event("opened", "door", "red")), (5, Event("dropped", "key", "red")))
    request = make_request(1, frames=0)
    request = replace(request, clip=replace(request.clip, events=events))
    [score] = make_scorer("oracle", ScorerOptions(net_progress=net_progress)).score([request], PROMPT)
    yes = {kind for kind, label in zip(PROGRESS_KINDS, score.labels, strict=True) if label}
    assert yes == ({"opened door"} if net_progress else {"picked_up key", "opened door"})


def test_the_oracle_knows_whether_the_last_step_accomplished_another_mission_and_random_guesses(make_request) -> None:
    missions = ("pick up the red key", "pick up the blue key", "go to the red ball", "solve the maze")
    asked = replace(PROMPT, others=OtherMissions(Prompt("hindsight", 1, "Done: {mission}?", 7), missions))
    last, before = (((at, Event("picked_up", "key", "red")),) for at in (31, 30))
    request = replace(make_request(1, frames=0), ahead="red ball")
    requests = [replace(request, clip=replace(request.clip, events=events)) for events in (last, before)]
    [done, earlier] = make_scorer("oracle", ScorerOptions()).score(requests, asked)
    assert done.answers[-4:] == (1.0, 0.0, 1.0, None) and earlier.answers[-4:] == (0.0, 0.0, 1.0, None)
    assert done.answers[:-4] == make_scorer("oracle", ScorerOptions()).score(requests, PROMPT)[0].answers
    clips = [make_request(number, frames=0) for number in range(500)]
    first, second = (make_scorer("random:0.25", ScorerOptions()).score(clips, asked) for _ in range(2))
    assert first == second
    yes = [answer for score in first for answer in score.answers[1:]]
    assert len(yes) == 2_000 and sum(yes) / 2_000 == pytest.approx(0.25, abs=0.03)
    assert [score.answers[:1] for score in first] == [
        score.answers for score in make_scorer("random:0.25", ScorerOptions()).score(clips, PROMPT)
    ], "its labels stay as they are"
