"""The clips page: what it finds, what it shows of a clip, and what it lets a browser do."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.clip_views import clip_card, replay_view
from app.pages.clips import (
    PAGE_SIZE,
    QUEUE_AHEAD,
    browser_functions,
    cards_of,
    clip_filter,
    clip_order,
    find_page,
    look_at,
    read_menus,
)
from app.plain import to_json
from app.widgets import answering
from tests.store.samples import clip, filled, new_run, score, voted
from vlmrb import Store
from vlmrb.errors import NotFoundError
from vlmrb.events import PROGRESS_KINDS
from vlmrb.types import CLIPS_PER_RUN, ClipFilter, ClipReplay

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def filled_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run 1 with 60 clips: odd ones show progress; scored 0.9, 0.1 and unknown in turn. Run 2 has none."""
    path = tmp_path_factory.mktemp("clips") / "runs.db"
    with Store(str(path)) as store:
        filled(store, 60)
        new_run(store)
    return path


@pytest.fixture
def store(filled_store: Path, tmp_path: Path) -> Iterator[Store]:
    with Store(str(shutil.copy(filled_store, tmp_path))) as store:
        yield store


@pytest.fixture
def ask(store: Store) -> Ask:
    """Call a function of the page by name, as a browser does."""
    functions = {function.__name__: answering(function) for function in browser_functions(store)}
    return lambda name, **request: functions[name](request)


def clip_id(number: int, run_id: int = 1) -> int:
    return run_id * CLIPS_PER_RUN + number


# -- requests


def test_a_url_becomes_a_filter() -> None:
    address = {"runs": "1,2", "label": "yes", "min_step": "64", "max_p": "0.95", "event": "picked_up key", "agreement": "agrees",
               "human": "none", "prompt": "3", "min_spread": "0.3", "superseded": True, "order": "score_low"}  # fmt: skip
    assert clip_filter(address) == ClipFilter(
        run_ids=(1, 2), label="yes", min_step=64, max_probability=0.95, event="picked_up key", agreement="agrees", human="none",
        prompt_id=3, min_spread=0.3, superseded=True,
    )  # fmt: skip
    assert clip_order(address) == "score_low"


def test_a_url_without_values_finds_everything_newest_first() -> None:
    empty = {"runs": "", "label": "", "min_step": "", "min_p": None}
    assert clip_filter(empty) == ClipFilter()
    assert clip_order(empty) == "newest"


@pytest.mark.parametrize(
    "wrong",
    [
        {"label": "maybe"},
        {"agreement": "yes"},
        {"human": ["any"]},
        {"order": "clip_id; DROP TABLE clips"},
        {"runs": "1,x"},
        {"runs": [-1]},
        {"min_step": "-1"},
        {"max_step": 1.5},
        {"min_p": "nan"},
        {"max_p": 2},
        {"min_spread": 1.5},
        {"prompt": "0"},
        {"event": "x" * 300},
        {"event": 5},
        {"superseded": "yes"},
    ],
)
def test_invalid_values_are_refused_by_name(ask: Ask, wrong: dict[str, Any]) -> None:
    assert ask("find", **wrong)["error"].startswith(f"{next(iter(wrong))}: ")


# -- pages of cards


def test_pages_contain_each_match_once_and_give_the_total(store: Store) -> None:
    first, second = (find_page(store, ClipFilter(run_ids=(1,)), "newest", page) for page in (1, 2))
    assert (first.total, first.page, len(first.cards)) == (60, 1, PAGE_SIZE)
    shown = [card.clip_id for card in first.cards + second.cards]
    assert shown == [clip_id(number) for number in range(59, -1, -1)]


def test_a_page_beyond_the_last_is_the_last(store: Store) -> None:
    assert find_page(store, ClipFilter(), "newest", 999).page == 2
    assert find_page(store, ClipFilter(event="never"), "newest", 999).page == 1


def test_a_deleted_run_is_reported(store: Store) -> None:
    with pytest.raises(NotFoundError, match="no run 9"):
        find_page(store, ClipFilter(run_ids=(1, 9)), "newest", 1)


def test_a_card_shows_the_answer_and_the_events(store: Store) -> None:
    card = cards_of(store, [clip_id(3)])[0]
    assert (card.label, card.probability, card.threshold) == ("yes", 0.9, 0.5)
    assert card.events == ("success", "picked up red key")  # what the clip got to, before what led there
    assert card.progress is True
    assert card.agrees is True


def test_a_label_that_contradicts_the_events_is_marked(store: Store) -> None:
    yes_without_progress, no_with_progress, unknown = cards_of(store, [clip_id(0), clip_id(1), clip_id(2)])
    assert yes_without_progress.agrees is False
    assert no_with_progress.agrees is False
    assert (unknown.label, unknown.agrees) == ("unknown", None)


def test_a_clip_without_a_score_is_unscored(store: Store) -> None:
    writer = store.writer(2)
    writer.add_clip(clip(2, 0))
    writer.flush()
    card = cards_of(store, [clip_id(0, run_id=2)])[0]
    assert (card.label, card.probability, card.agrees, card.human) == ("unscored", None, None, None)


def test_pictures_of_another_store_have_another_url(store: Store) -> None:
    """Run 1 of another store is a different run, and browsers cache pictures forever."""
    stored, run = store.clip(clip_id(0)), store.run(1)
    with sqlite3.connect(store.name) as connection:
        connection.execute("UPDATE runs SET created_at = created_at + 1 WHERE run_id = 1")
    connection.close()
    assert clip_card(stored, run).edition != clip_card(stored, store.run(1)).edition


def test_menus_list_the_events_and_prompts_of_the_chosen_runs(store: Store) -> None:
    prompt = store.save_prompt("mine", "<script>alert(1)</script>?")
    writer = store.writer(2)
    writer.add_clip(clip(2, 0))
    writer.add_score(score(clip_id(0, run_id=2), 0.7, prompt_id=prompt.prompt_id))
    writer.flush()
    of_all, of_second = read_menus(store, ()), read_menus(store, (2,))
    assert [run.run_id for run in of_all.runs] == [2, 1]
    assert "picked_up key" in of_all.events
    assert of_second.events == []
    assert [each.text for each in of_second.prompts] == ["<script>alert(1)</script>?"]


# -- one clip


def test_all_scores_of_a_clip_are_shown_newest_first(store: Store) -> None:
    prompt = store.save_prompt("mine", "Is it <b>good</b>?")
    writer = store.writer(1)
    writer.add_score(score(clip_id(3), 0.2, scorer="hf:some/model", prompt_id=prompt.prompt_id))
    writer.flush()
    view = look_at(store, clip_id(3))
    assert [(said.label, said.scorer, said.prompt) for said in view.scores] == [
        ("no", "hf:some/model", "mine@1"),
        ("yes", "oracle", ""),
    ]
    assert view.scores[0].prompt_text == "Is it <b>good</b>?"
    assert (view.scores[0].yes_logit, view.scores[0].no_logit, view.scores[0].frame_indices) == (1.5, -0.5, (0, 3))
    assert view.card.label == "no"


def test_each_question_of_a_set_is_shown_with_its_answer(store: Store) -> None:
    prompt = store.save_prompt("mine", "- Is it a key?\n- Is it a door?\n- Is it a goal?")
    writer = store.writer(1)
    writer.add_score(replace(score(clip_id(3), 0.75, prompt_id=prompt.prompt_id), answers=(0.25, None, 0.75)))
    writer.add_score(replace(score(clip_id(6), 1.0), answers=tuple(float(kind == "opened door") for kind in PROGRESS_KINDS)))
    writer.flush()
    newest, before = look_at(store, clip_id(3)).scores
    assert [(said.question, said.label, said.probability) for said in newest.answers] == [
        ("Is it a key?", "no", 0.25),
        ("Is it a door?", "unknown", None),
        ("Is it a goal?", "yes", 0.75),
    ]
    assert before.answers == ()  # its only answer is its probability
    [door] = [said.question for said in look_at(store, clip_id(6)).scores[0].answers if said.label == "yes"]
    assert door == "opened door"


def test_what_each_voter_said_is_shown_with_the_rule(store: Store) -> None:
    writer = store.writer(1)
    said = voted(clip_id(3), (0.9, None), (0.3, 0.1))
    writer.add_score(replace(said, scorer="vote:mean:hf:a|hf:b"))
    writer.add_score(replace(voted(clip_id(4), (0.9,)), scorer="cascade:hf:a|hf:b@0.2"))
    writer.flush()
    view = look_at(store, clip_id(3))
    newest, before = view.scores
    assert [(vote.member, vote.labels, vote.answers, vote.error) for vote in newest.votes] == [
        ("voter 0", ("yes", "unknown"), (0.9, None), "why"),
        ("voter 1", ("no", "no"), (0.3, 0.1), ""),
    ]
    assert newest.panel == "P(yes) is the mean of what the members say." and newest.spread == view.card.spread == pytest.approx(
        0.6
    )
    assert (before.votes, before.panel, before.spread) == ((), "", None)
    alone = look_at(store, clip_id(4))
    assert (
        alone.scores[0].panel == "The small member was in no doubt, so the large one was not asked." and alone.card.spread is None
    )
    assert [card.clip_id for card in find_page(store, ClipFilter(min_spread=0.5), "spread", 1).cards] == [clip_id(3)]


def test_events_come_with_their_frame_and_step(store: Store) -> None:
    view = look_at(store, clip_id(3))
    assert [(event.frame, event.step, event.words) for event in view.events] == [
        (0, 96, "picked up red key"),
        (3, 96 + 3 * 8, "success"),
    ]
    assert view.rewards == tuple(float(reward) for reward in clip(1, 3).rewards)


def test_a_clip_with_damaged_frames_still_shows_its_scores(store: Store) -> None:
    with sqlite3.connect(store.name) as connection:
        connection.execute("UPDATE clip_data SET data = x'00' WHERE clip_id = ?", [clip_id(3)])
    connection.close()
    view = look_at(store, clip_id(3))
    assert view.scores[0].probability == 0.9
    assert view.rewards == ()
    assert "damaged" in view.problem


def test_an_unknown_clip_is_reported(store: Store) -> None:
    with pytest.raises(NotFoundError, match="no clip 7"):
        look_at(store, 7)
    with pytest.raises(NotFoundError, match="no clip 7"):
        cards_of(store, [clip_id(1), 7])


def test_draws_are_compared_with_uniform_replay(store: Store) -> None:
    run = store.run(1)
    recorded = ClipReplay(clip_id(3), 1_000, 0.25, 0.5, vlm_probability=0.01, uniform_probability=0.002)
    view = replay_view(recorded, run, length=4)
    assert view.uniform == pytest.approx(4 / 1_000)
    assert view.times_uniform == pytest.approx(3)
    assert (view.other, view.token, view.other_token) == ("Uniform", "method-vlm", "method-uniform")


def test_uniform_replay_draws_from_at_most_a_full_buffer(store: Store) -> None:
    run = store.run(store.create_run({"replay": "per", "buffer_size": 500}, render_spec={}, success_rule=""))
    view = replay_view(ClipReplay(1, 9_000, float("nan"), None, 0.0, 0.016), run, length=4)
    assert view.uniform == pytest.approx(4 / 500)
    assert view.times_uniform == pytest.approx(2)
    assert (view.other, view.other_token) == ("PER", "method-per")
    assert to_json(view)["td_error"] is None


# -- functions of the page


def test_a_verdict_is_stored_immediately_and_shown(ask: Ask, store: Store) -> None:
    answer = ask("judge", clip_id=clip_id(0), agrees=False, note="  <i>nothing</i> happens ", label="yes")["answer"]
    assert answer["card"]["human"] == "disagreed"
    assert answer["verdicts"][0]["note"] == "<i>nothing</i> happens"
    assert [(each.agrees, each.note) for each in store.human_labels(clip_id(0))] == [(False, "<i>nothing</i> happens")]
    assert ask("count", human="disagreed")["answer"] == 1
    assert ask("judge", clip_id=clip_id(0), agrees=True)["answer"]["card"]["human"] == "agreed"


def test_the_queue_has_the_clips_with_an_answer_that_a_person_has_not_labelled(ask: Ask, store: Store) -> None:
    def queue(**request: Any) -> dict[str, Any]:
        return ask("queue", **({"runs": "1", "annotator": "Ada"} | request))["answer"]

    def ids_of(found: dict[str, Any]) -> list[int]:
        return [each["card"]["clip_id"] for each in found["clips"]]

    start = queue()
    assert (start["total"], start["labelled"], len(start["clips"]), start["agreement"]) == (40, 0, QUEUE_AHEAD, [])
    assert {each["card"]["label"] for each in start["clips"]} == {"yes", "no"}  # 20 of the 60 have no usable answer
    assert [each["card"]["agrees"] for each in start["clips"]][:5] == [False] * 5  # the furthest from the events first
    first, second = ids_of(start)[:2]
    assert ids_of(queue(passed=[first]))[0] == second

    ask("judge", clip_id=first, agrees=True, label="yes", annotator="  Ada \n")
    after = queue()
    assert (after["total"], after["labelled"], ids_of(after)[0]) == (39, 1, second)
    assert after["agreement"] == ["Only Ada has labelled clips here; agreement needs a second person."]
    others = queue(annotator="Bo", second=True)
    assert (ids_of(others), others["labelled"]) == ([first], 0)
    ask("judge", clip_id=first, agrees=False, label="yes", annotator="Bo")
    assert "agreed on 0 (0 %)" in queue()["agreement"][0]
    assert [verdict["annotator"] for verdict in ask("look", clip_id=first)["answer"]["verdicts"]] == ["Bo", "Ada"]

    ask("unjudge", clip_id=first, annotator="Ada")
    assert ids_of(queue())[0] == first
    assert "no label by 'Ada'" in ask("unjudge", clip_id=first, annotator="Ada")["error"]


def test_the_queue_asks_what_the_label_answers(ask: Ask, store: Store) -> None:
    single = store.save_prompt("one", "Is the <b>door</b> open?").prompt_id
    several = store.save_prompt("two", "all of\n- Is a key held?\n- Is the door open?").prompt_id
    writer = store.writer(1)
    writer.add_score(replace(score(clip_id(0), 0.5), prompt_id=single))
    writer.add_score(replace(score(clip_id(1), 0.51), prompt_id=several))
    writer.add_score(replace(score(clip_id(2), 0.52), prompt_id=None))
    writer.flush()
    asked = [each["question"] for each in ask("queue", runs="1", order="threshold")["answer"]["clips"][:3]]
    assert asked == [
        "Is the <b>door</b> open?",
        "Are all of these true?\n– Is a key held?\n– Is the door open?",
        "Does the clip show progress?",
    ]


@pytest.mark.parametrize("wrong", [{"order": "oldest"}, {"annotator": "x" * 61}, {"second": "yes"}, {"passed": ["x"]}])
def test_an_invalid_request_for_the_queue_is_refused_by_name(ask: Ask, wrong: dict[str, Any]) -> None:
    assert ask("queue", **wrong)["error"].startswith(f"{next(iter(wrong))}: ")


def test_a_verdict_is_about_the_label_that_was_seen(ask: Ask, store: Store) -> None:
    """The page shows the label no; meanwhile a new score says yes."""
    writer = store.writer(1)
    writer.add_score(score(clip_id(1), 0.8))
    writer.flush()
    assert ask("judge", clip_id=clip_id(1), agrees=True, label="no")["answer"]["card"]["human"] == "disagreed"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"clip_id": "1 OR 1=1", "agrees": True}, "clip_id: got"),
        ({"clip_id": 10_000_000, "agrees": "yes"}, "agrees: got"),
        ({"clip_id": 10_000_000, "agrees": True, "label": "unknown"}, "label: got"),
        ({"clip_id": 10_000_000, "agrees": True, "note": "x" * 501}, "at most 500"),
        ({"clip_id": 10_000_002, "agrees": True}, "no label yet"),
        ({"clip_id": 99, "agrees": True}, "no clip 99"),
    ],
)
def test_an_invalid_verdict_changes_nothing(ask: Ask, store: Store, request_: dict[str, Any], words: str) -> None:
    assert words in ask("judge", **request_)["error"]
    assert store.count_clips_found(ClipFilter(human="any")) == 0


def test_the_page_gets_answers_to_its_requests(ask: Ask) -> None:
    assert ask("find", label="yes", order="score_high")["answer"]["total"] == 20
    assert ask("find", label="maybe")["error"].startswith("label: ")
    assert ask("look", clip_id=str(clip_id(3)))["answer"]["card"]["clip_id"] == clip_id(3)
    assert [card["clip_id"] for card in ask("together", clip_ids=[clip_id(3), clip_id(1)])["answer"]] == [clip_id(3), clip_id(1)]
    assert len(ask("together", clip_ids=[clip_id(number) for number in range(9)])["answer"]) == 4
    assert {"runs", "events", "prompts"} <= set(ask("menus", runs="1")["answer"])


def test_a_broken_store_gives_an_error_message(store: Store) -> None:
    find = answering(lambda request: find_page(store, clip_filter(request), clip_order(request), 1))
    with sqlite3.connect(store.name) as connection:
        connection.execute("DROP TABLE clips")
    connection.close()
    assert "store" in find({})["error"]
