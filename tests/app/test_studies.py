"""The studies page: the list, one study's design and progress, its report as it fills."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.pages.studies import entries, find, results_of, view_of
from tests.studies.test_runs import FILE
from vlmrb import studies
from vlmrb.errors import ConfigError, NotFoundError
from vlmrb.store import Store
from vlmrb.studies import StudyFolder
from vlmrb.studies.design import read_study


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "runs.db")) as store:
        yield store


def begin(store: Store, name: str = "tiny", text: str = FILE) -> StudyFolder:
    folder = StudyFolder(studies.default_folder(store.url, name))
    folder.begin(read_study(text, name))
    return folder


def write_lines(folder: StudyFolder, n: int) -> None:
    """The lines of the first n runs, made up."""
    lines = [
        {"task": "", "arm": cell.arm, "seed": cell.seed, "steps": [100, 400], "values": [0.1, 0.5 + 0.1 * number], "phases": {}}
        for number, cell in enumerate(folder.study().every[:n])
    ]
    (folder.path / "curves.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def test_every_preset_is_listed_and_shows_its_claim_and_cost_before_it_begins(store: Store) -> None:
    assert {(each.name, each.state, each.problem) for each in entries(store)} == {(name, "", "") for name in studies.presets()}
    view = view_of(store, "replay-8x8")
    assert (view.state, view.carried, view.folder, view.small, view.small_begun) == ("", False, "", "replay-8x8-small", False)
    assert len(view.claims) == 4 and "fifth success" in view.branch
    assert view.cost.runs == len(view.cells) == 10 * 9 and view.cost.core_hours > 1
    small = view_of(store, "replay-8x8-small")
    assert small.cost.core_hours < 0.2 and small.full == "replay-8x8"
    assert not studies.default_folder(store.url).exists(), "nothing is written by looking"


def test_a_study_that_has_begun_is_listed_first_with_its_state(store: Store) -> None:
    folder = begin(store)
    write_lines(folder, 3)
    first = entries(store)[0]
    assert (first.name, first.state, first.done, first.runs) == ("tiny", "stopped", 3, 4)
    assert [cell.state for cell in view_of(store, "tiny").cells] == ["done", "done", "done", "missing"]
    write_lines(folder, 4)
    view = view_of(store, "tiny")
    assert (view.state, view.steps, view.of, view.cost.runs) == ("finished", 1_600, 1_600, 0)


def test_the_report_fills_and_is_sent_only_if_there_is_a_new_line(store: Store) -> None:
    folder = begin(store)
    assert results_of(store, "tiny", "").lines == 0
    write_lines(folder, 2)
    found = results_of(store, "tiny", "")
    assert found.lines == 2 and found.tables is not None and found.answers is not None and found.picture is not None
    assert [row[:2] for row in found.tables[0].rows] == [["per", "1 of 2"], ["uniform", "1 of 2"]]
    assert found.answers[0][0].outcome == "undecided" and "`" not in found.answers[0][0].words
    assert results_of(store, "tiny", found.version).tables is None
    write_lines(folder, 4)
    assert results_of(store, "tiny", found.version).lines == 4


def test_a_damaged_study_does_not_hide_the_others(store: Store) -> None:
    folder = begin(store)
    (folder.path / "study.toml").write_text("changed = true", encoding="utf-8")
    listed = entries(store)
    assert "changed" in listed[0].problem and len(listed) == 1 + len(studies.presets())
    with pytest.raises(ConfigError):
        view_of(store, "tiny")
    (folder.path / "study.toml").unlink()
    assert "damaged" in entries(store)[0].problem


@pytest.mark.parametrize("name", ["", "no-such", "../runs", "/etc", "replay-8x8/..", "-small"])
def test_only_presets_and_studies_of_this_store_are_found(store: Store, name: str) -> None:
    with pytest.raises(NotFoundError, match="there is no study"):
        find(store, name)


def test_a_study_is_shown_as_it_was_when_it_began(store: Store) -> None:
    """Even if a later version of the project changes the preset of that name."""
    begin(store, "replay-8x8")
    assert view_of(store, "replay-8x8").title == "A tiny study"
