"""The replay microscope's data: where there is any, which runs can stand beside it, and what a record shows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.microscope import Other, drawn_at, recorded
from tests.store.samples import clip, draws, score
from vlmrb import Store, make_config
from vlmrb.errors import NotFoundError
from vlmrb.types import CLIPS_PER_RUN, Lineage


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "runs.db"
    Store(str(path)).close()
    return path


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> Iterator[Store]:
    with Store(str(shutil.copy(empty_store, tmp_path))) as opened:
        yield opened


def add_run(store: Store, clips: int = 0, *, parent: tuple[int, int] | None = None, **settings: Any) -> int:
    """A run with clips of 4 steps, clip n labelled yes where n % 3 is 0 and with progress where n is odd."""
    config = make_config(**{"env": "DoorKey-5x5", "replay": "vlm", "scorer": "oracle", "total_steps": 10_000} | settings)
    lineage = None if parent is None else Lineage(*parent, "step", 0)
    run_id = store.create_run(config.model_dump(), render_spec={}, success_rule="reaches the goal", lineage=lineage)
    writer = store.writer(run_id)
    for number in range(clips):
        writer.add_clip(clip(run_id, number, stride=1))
        writer.add_score(score(run_id * CLIPS_PER_RUN + number, 0.9 if number % 3 == 0 else 0.1))
    writer.flush()
    return run_id


def add_draws(store: Store, run_id: int, step: int, clip_ids: list[int], by_labels: int | None = 600) -> None:
    writer = store.writer(run_id)
    writer.add_draws(draws(step, clip_ids, by_labels=by_labels))
    writer.flush()


def ids(run_id: int, count: int) -> list[int]:
    return [run_id * CLIPS_PER_RUN + number for number in range(count)]


def test_a_run_without_records_says_why(store: Store) -> None:
    bare, new, old = add_run(store, keep_clips=False), add_run(store, learning_starts=500), add_run(store)
    me = psutil.Process()
    store.claim_run(new, os.getpid(), me.create_time())
    store.release_run(old, "finished")
    assert "keeps no clips (its setting keep_clips is none)" in recorded(store, bare).why_not
    assert "Nothing recorded yet. Learning begins at step 500" in recorded(store, new).why_not
    assert "earlier version, or ended before the first record" in recorded(store, old).why_not
    for run_id in (bare, new, old):
        assert recorded(store, run_id).steps == recorded(store, run_id).others == []
        with pytest.raises(NotFoundError, match=f"run {run_id}"):
            drawn_at(store, run_id, 100)
    with pytest.raises(NotFoundError, match="no run 99"):
        recorded(store, 99)


def test_relatives_come_first_among_the_runs_to_look_at_beside(store: Store) -> None:
    parent = add_run(store, 1)
    runs = [add_run(store, 1, parent=(parent, 500)) for _ in range(2)]
    elsewhere, same_env = add_run(store, 1, env="DoorKey-6x6"), add_run(store, 1, seed=7)
    add_run(store)  # has no records
    cousin = add_run(store, 1, parent=(parent, 900))
    for run_id in (parent, *runs, elsewhere, same_env, cousin):
        add_draws(store, run_id, 600, ids(run_id, 1))
    add_draws(store, runs[0], 800, ids(runs[0], 1))
    found = recorded(store, runs[0])
    assert found.steps == [600, 800] and found.why_not == ""
    assert [(other.run_id, other.kin) for other in found.others] == [
        (runs[1], "sibling"), (parent, "parent"), (cousin, "env"), (same_env, "env"), (elsewhere, ""),
    ]  # fmt: skip
    of_parent = recorded(store, parent).others
    assert of_parent[0] == Other(cousin, store.run(cousin).name, "branch") and [o.kin for o in of_parent[:3]] == ["branch"] * 3


def test_a_record_shows_the_clips_with_how_often_they_were_drawn_and_by_whom(store: Store) -> None:
    run_id = add_run(store, 5, base="per")
    add_draws(store, run_id, 1_000, ids(run_id, 5))
    add_draws(store, run_id, 2_000, ids(run_id, 2))
    found = drawn_at(store, run_id, 1_400)
    assert (found.step, found.base, found.token, found.base_token) == (1_000, "PER", "method-vlm", "method-per")
    assert "Labels chose 60 % of them, the base (PER) 40 %." in found.words and found.gone == 0
    assert [card.drawn for card in found.most] == [100, 99, 98, 97, 96] and found.rest == []
    first = found.most[0]
    assert (first.rank, first.by_labels, first.td_error, first.by_chance) == (1, 40, 0.25, 10.0)
    assert first.age == 1_000 - 3 and first.card.label == "yes" and found.most[1].card.label == "no"
    assert found.most[1].card.events == ("success", "picked up red key") and found.most[1].card.progress
    assert drawn_at(store, run_id, 10**9).step == 2_000


def test_the_clips_drawn_most_often_stand_apart_from_the_cross_section(store: Store) -> None:
    run_id = add_run(store, 4)
    record = draws(1_000, ids(run_id, 4))
    ranks = (1, 12, 13, 40)
    sample = tuple(replace(each, rank=rank) for each, rank in zip(record.sample, ranks, strict=True))
    writer = store.writer(run_id)
    writer.add_draws(replace(record, sample=sample))
    writer.flush()
    found = drawn_at(store, run_id, 1_000)
    assert [card.rank for card in found.most] == [1, 12] and [card.rank for card in found.rest] == [13, 40]


def test_a_method_without_labels_has_one_colour_and_no_share_of_labels(store: Store) -> None:
    run_id = add_run(store, 1, replay="per", scorer=None)
    add_draws(store, run_id, 100, ids(run_id, 1), by_labels=None)
    found = drawn_at(store, run_id, 100)
    assert "All were chosen by PER." in found.words and found.base_token == "method-per" and found.most[0].by_labels is None


def test_a_branch_shows_its_parents_clips_as_its_own_scorer_judged_them_and_says_when_they_are_gone(store: Store) -> None:
    parent = add_run(store, 2)
    branch = add_run(store, 1, parent=(parent, 500), scorer="reward")
    [first, second] = ids(parent, 2)
    store.add_scores([score(first, 0.1, scorer="reward"), score(second, 0.9, scorer="reward")])
    add_draws(store, branch, 600, [first, second, *ids(branch, 1)])
    assert [card.card.label for card in drawn_at(store, branch, 600).most] == ["no", "yes", "yes"]
    assert store.clip(first).score.scorer == "oracle", "the parent's label stays as it is"
    store.release_run(parent, "finished")
    store.delete_run(parent)
    found = drawn_at(store, branch, 600)
    assert [card.card.clip_id for card in [*found.most, *found.rest]] == ids(branch, 1) and found.gone == 2
