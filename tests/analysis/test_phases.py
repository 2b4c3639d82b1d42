"""Discovery and consolidation of a run, from its rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from vlmrb.analysis.phases import Phases, phases_of
from vlmrb.store import Store
from vlmrb.types import Episode

STEPS, VALUES = [100, 200, 300, 400], [0.0, 0.55, 0.4, 0.95]


def test_consolidation_counts_from_the_fifth_success_to_the_first_evaluation_at_the_threshold() -> None:
    assert phases_of(30, 120, STEPS, VALUES) == Phases(
        first_success=30, fifth_success=120, to_50=80, to_90=280, horizon=400, start=120, first_to_50=170, first_to_90=370
    )


def test_what_was_not_reached_is_censored_at_the_last_evaluation() -> None:
    found = phases_of(30, 120, STEPS[:3], VALUES[:3])
    assert (found.to_50, found.to_90, found.horizon) == (80, None, 300)
    assert phases_of(30, None, STEPS, VALUES) == Phases(30, None, None, None, 400, None, 170, 370)
    assert phases_of(None, None, [], []) == Phases(None, None, None, None, 0)


def test_a_threshold_that_was_reached_before_the_fifth_success_took_no_steps_from_there() -> None:
    assert phases_of(30, 250, STEPS, VALUES).to_50 == 0


def test_a_branch_counts_from_its_parent_step() -> None:
    found = phases_of(None, None, STEPS, VALUES, parent_step=150)
    assert (found.start, found.to_50, found.to_90) == (150, 50, 250)
    found = phases_of(260, 270, STEPS, VALUES, parent_step=250)  # evaluations up to 250 are the parent's
    assert found == Phases(None, None, 150, 150, 400, 250)


def test_a_time_is_observed_from_its_beginning_to_the_last_evaluation() -> None:
    whole = phases_of(30, 120, STEPS[:3], VALUES[:3])
    assert [whole.observed(name) for name in ("first_success", "fifth_success")] == [(30, 300), (120, 300)]
    assert [whole.observed(name) for name in ("to_50", "to_90", "first_to_50")] == [(80, 180), (None, 180), (170, 270)]
    late = phases_of(30, 320, STEPS[:3], VALUES[:3])
    assert (late.observed("fifth_success"), late.observed("to_50")) == ((320, 300), None)
    branch = phases_of(None, None, STEPS, VALUES, parent_step=150)
    assert (branch.observed("fifth_success"), branch.observed("to_50"), branch.observed("first_to_50")) == (None, (50, 250), None)


# -- from the store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "runs.db")) as store:
        yield store


def add_run(store: Store, successes: list[int], failures: list[int], **config: object) -> int:
    run_id = store.create_run({"env": "DoorKey-8x8", "replay": "per", **config}, render_spec={}, success_rule="")
    writer = store.writer(run_id)
    ended = sorted([(step, True) for step in successes] + [(step, False) for step in failures])
    for number, (step, success) in enumerate(ended):
        writer.add_episode(Episode(step, 0, number, 0, 10, float(success), success))
    for step, value in zip(STEPS, VALUES, strict=True):
        writer.add_metric("eval/success_rate", step, value)
        writer.add_metric("train/td_loss", step, 9.0)
    writer.flush()
    return run_id


def test_phases_are_those_of_training_episodes_whatever_the_metric(store: Store) -> None:
    quick = add_run(store, [10, 20, 30, 40, 50, 60], [5, 25])
    played = add_run(store, [10, 20, 30, 40, 50, 110, 130], [105], play_steps=100)
    never = add_run(store, [], [10, 20])
    for metric in ("eval/success_rate", "train/td_loss"):
        found = {run.run.run_id: run.phases for run in store.measured_runs([quick, played, never], metric)}
        assert (found[quick].first_success, found[quick].fifth_success, found[quick].to_50) == (10, 50, 150)
        assert (found[played].first_success, found[played].fifth_success, found[played].to_50) == (110, None, None)
        assert found[never] == Phases(None, None, None, None, 400)


def test_the_phases_of_many_runs_take_no_more_queries_than_those_of_one(store: Store) -> None:
    ids = [add_run(store, [10 * number], []) for number in range(1, 8)]
    statements: list[str] = []

    def count(connection, cursor, statement, *rest) -> None:
        statements.append(statement)

    event.listen(store._reading, "before_cursor_execute", count)
    assert [store.early_successes(dict.fromkeys(chosen, 0), (1, 5)) for chosen in (ids[:1], ids)][1] == {
        run_id: (10 * number, None) for number, run_id in enumerate(ids, 1)
    }
    assert len([words for words in statements if "episodes" in words]) == 2
