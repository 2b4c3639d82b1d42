"""Checkpoints in object stores: sent, fetched and believed, or not."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem

from vlmrb.checkpoint import KEPT, SUMS, save_checkpoint
from vlmrb.errors import CheckpointError
from vlmrb.places import PARENT, RESUME, FolderPlace, Mirror, Remote


class Watched(Remote):
    """A connection that remembers which files went over it, without the run's prefix."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.sent: list[str] = []
        self.fetched: list[str] = []

    def put(self, files: Any) -> None:
        super().put(files)
        self.sent += files

    def get(self, files: Any) -> None:
        super().get(files)
        self.fetched += files


def machine(folder: Path, url: str) -> Mirror:
    """The run's place as a machine with this folder sees it, at the start of a process that trains it."""
    place = Mirror(folder, Watched(f"{url}/run-1"))
    place.begin()
    return place


def write(place: Mirror | FolderPlace, step: int, kind: str = RESUME, keep: int = KEPT, value: float = 0.0) -> None:
    save(place, step, kind, keep, value)
    place.written(kind, keep)


def save(place: Mirror | FolderPlace, step: int, kind: str = RESUME, keep: int = KEPT, value: float = 0.0) -> None:
    """Write a checkpoint that the place has not been told about, so that nothing sends it yet."""
    arrays = {"buffer.rewards": np.full(1_000, value or step, np.float32), "buffer.actions": np.arange(10)}
    save_checkpoint(place.folder / kind, step, {"settings": {"seed": 3}}, {}, arrays, keep=keep)


def sent(place: Mirror) -> None:
    assert place.finish(30.0) == ""


def steps(place: Mirror | FolderPlace, kind: str = RESUME) -> list[int]:
    return [found.step for found in place.checkpoints(kind)]


def loaded_step(place: Mirror, notes: list[str] | None = None) -> int | None:
    loaded = place.load(RESUME, (notes if notes is not None else []).append)
    return None if loaded is None else int(loaded[2]["buffer.rewards"][0])


def test_a_checkpoint_is_loaded_on_another_machine(tmp_path: Path, url: str) -> None:
    here = machine(tmp_path / "here", url)
    assert here.load(RESUME) is None
    for step in (100, 200, 300):
        write(here, step)
    sent(here)
    there = machine(tmp_path / "there", url)
    assert steps(there)[0] == 300 and len(steps(there)) <= KEPT
    (newest, *_) = there.checkpoints(RESUME)
    assert newest.has_buffer and not newest.has_goals and newest.settings() == {"seed": 3} and newest.size > 4_000
    assert there.remote.fetched == []  # type: ignore[attr-defined]  # what was asked so far is in small files and names
    assert loaded_step(there) == 300


def test_the_two_newest_are_kept(tmp_path: Path, url: str) -> None:
    here = machine(tmp_path / "here", url)
    here.load(RESUME)
    for step in (100, 200, 300, 400):
        write(here, step)
        sent(here)
    assert steps(here) == [400, 300]
    write(here, 400, keep=1, value=1.0)  # as a run does that finishes at the step of its last checkpoint
    sent(here)
    assert steps(here) == [400]
    assert loaded_step(machine(tmp_path / "there", url)) == 1
    assert {name.split("/")[0] for name in here.remote.files()} == {RESUME, "holder"}


def test_nothing_goes_over_the_line_twice(tmp_path: Path, url: str) -> None:
    here = machine(tmp_path / "here", url)
    here.load(RESUME)
    write(here, 100)
    sent(here)
    here.written(RESUME, KEPT)
    sent(here)
    names = [name.rpartition("/")[2] for name in here.remote.sent]  # type: ignore[attr-defined]
    assert sorted(names) == sorted(["holder", "buffer.rewards.npy", "buffer.actions.npy", "state.json", "tensors.pt", SUMS])
    assert names[-1] == SUMS
    again = machine(tmp_path / "here", url)
    assert loaded_step(again) == 100 and again.remote.fetched == []  # type: ignore[attr-defined]
    (tmp_path / "here" / RESUME / "step-000000000100" / "tensors.pt").write_bytes(b"damaged")
    again = machine(tmp_path / "here", url)
    notes: list[str] = []
    assert loaded_step(again, notes) == 100 and len(again.remote.fetched) == 4 and notes == []  # type: ignore[attr-defined]


def test_a_half_sent_checkpoint_is_finished_with_what_is_missing_and_not_believed_before(tmp_path: Path, url: str) -> None:
    here = machine(tmp_path / "here", url)
    here.load(RESUME)
    write(here, 100)
    sent(here)
    write(here, 200)
    sent(here)
    (newest, _) = here.checkpoints(RESUME)
    here.remote.remove_file(f"{RESUME}/{newest.name}/{SUMS}")
    here.remote.remove_file(f"{RESUME}/{newest.name}/state.json")
    there = machine(tmp_path / "there", url)
    assert steps(there) == [100] and there.load(PARENT) is None
    here.remote.sent.clear()  # type: ignore[attr-defined]
    here.written(RESUME, KEPT)
    sent(here)
    assert [name.rpartition("/")[2] for name in here.remote.sent] == ["state.json", SUMS]  # type: ignore[attr-defined]
    assert loaded_step(there) == 200


@pytest.mark.parametrize("harm", ["a byte", "a missing file", "half of the checksums"])
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(tmp_path: Path, url: str, harm: str) -> None:
    here = machine(tmp_path / "here", url)
    here.load(RESUME)
    for step in (100, 200):
        write(here, step)
        sent(here)
    (newest, _) = here.checkpoints(RESUME)
    folder = f"{RESUME}/{newest.name}"
    store = here.remote._store()
    if harm == "a byte":
        path = here.remote._path(f"{folder}/arrays/buffer.rewards.npy")
        store.pipe_file(path, store.cat_file(path)[:-1] + b"\1")
    elif harm == "a missing file":
        here.remote.remove_file(f"{folder}/tensors.pt")
    else:
        path = here.remote._path(f"{folder}/{SUMS}")
        store.pipe_file(path, store.cat_file(path)[:100])
    notes: list[str] = []
    there = machine(tmp_path / "there", url)
    assert loaded_step(there, notes) == 100
    what = {"a byte": "rewards.npy has changed", "a missing file": "tensors.pt is missing"}.get(harm, f"{SUMS} has changed")
    assert len(notes) == 1 and what in notes[0] and "set aside" in notes[0] and url in notes[0]
    assert steps(there) == [100]
    assert loaded_step(machine(tmp_path / "third", url), notes) == 100 and len(notes) == 1


def test_names_in_a_checksum_file_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/there"
    here = machine(tmp_path / "here", url)
    here.load(RESUME)
    save(here, 100)
    path = here.folder / RESUME / "step-000000000100"
    (path / SUMS).write_text((path / SUMS).read_text().replace("state.json", "../../../state.json"))
    (tmp_path / "here" / "state.json").write_text("x")
    here.written(RESUME, KEPT)
    here.finish(0.5)
    from vlmrb.places.mirror import _name_of

    sums = f"{'0' * 64}  ../../escaped\n".encode()
    folder = tmp_path / "there" / "run-1" / RESUME / _name_of(300, sums)
    folder.mkdir(parents=True)
    (folder / SUMS).write_bytes(sums)
    notes: list[str] = []
    assert machine(tmp_path / "third", url).load(RESUME, notes.append) is None
    assert any("does not belong to it" in note for note in notes)


def test_a_place_that_is_away_is_told_about_and_gets_everything_once_it_is_back(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/there"
    here = machine(tmp_path / "here", url)
    here.load(RESUME)
    write(here, 100)
    sent(here)
    assert here.notice == ""
    away = (tmp_path / "there").rename(tmp_path / "away")
    (tmp_path / "there").write_text("in the way")
    write(here, 200)
    words = here.finish(0.3)
    assert "cannot be" in words and "on this machine only" in words and str(here.folder) in words
    assert "Training continues" in here.notice
    (tmp_path / "there").unlink()
    away.rename(tmp_path / "there")
    write(here, 300)
    sent(here)
    assert here.notice == "" and loaded_step(machine(tmp_path / "third", url)) == 300


class OneConnection(LocalFileSystem):
    """Like SFTP's, one connection for one thread; all that are open can be cut."""

    protocol = "oneconnection"
    cuts = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._made_by, self._made_after = threading.get_ident(), OneConnection.cuts

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("oneconnection://"))

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and "_made_after" in (mine := object.__getattribute__(self, "__dict__")):
            assert mine["_made_by"] == threading.get_ident(), "two threads wait for the answers of one connection"
            if mine["_made_after"] < OneConnection.cuts:
                raise OSError("Socket is closed")
        return super().__getattribute__(name)


def test_a_connection_belongs_to_one_thread_and_is_made_anew_when_it_breaks(tmp_path: Path) -> None:
    fsspec.register_implementation("oneconnection", OneConnection, clobber=True)
    here = machine(tmp_path / "here", f"oneconnection://{tmp_path}/there")
    here.load(RESUME)
    for step in (100, 200, 300):  # sent by a thread of the mirror's, and looked at here
        write(here, step)
        sent(here)
        assert steps(here)[0] == step
        OneConnection.cuts += 1
        with pytest.raises(CheckpointError, match="Socket is closed"):
            here.remote.files()
    assert loaded_step(machine(tmp_path / "there again", f"file://{tmp_path}/there")) == 300


def test_what_could_not_be_sent_counts_on_the_same_machine(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/there"
    here = machine(tmp_path / "here", url)
    here.load(RESUME)
    write(here, 100)
    sent(here)
    save_checkpoint(here.folder / RESUME, 200, {}, {}, {"buffer.rewards": np.full(3, 200.0)})  # and then it is killed
    again = machine(tmp_path / "here", url)
    assert loaded_step(again) == 200
    write(again, 300)
    sent(again)
    assert steps(again) == [300, 100]


def test_what_could_not_be_sent_does_not_count_once_another_machine_has_the_run(tmp_path: Path, url: str) -> None:
    here = machine(tmp_path / "here", url)
    here.load(RESUME)
    write(here, 100)
    sent(here)
    save_checkpoint(here.folder / RESUME, 200, {}, {}, {"buffer.rewards": np.full(3, 200.0)})
    there = machine(tmp_path / "there", url)
    assert loaded_step(there) == 100
    write(here, 250)  # the first process was thought dead and is not
    assert "another process trains the run" in here.finish(30.0)
    write(there, 150)
    sent(there)
    assert steps(there) == [150, 100]
    assert loaded_step(machine(tmp_path / "here", url)) == 150


def test_rows_that_the_database_did_not_take_go_with_the_checkpoint(tmp_path: Path, url: str) -> None:
    here = machine(tmp_path / "here", url)
    here.load(RESUME)
    rows = here.folder / "unwritten.jsonl"
    rows.write_text("a row\n")
    write(here, 100)
    sent(here)
    there = machine(tmp_path / "there", url)
    moved = there.folder / "unwritten.jsonl"
    assert moved.read_text() == "a row\n"
    loaded_step(there)
    moved.unlink()  # the database has taken them
    write(there, 200)
    sent(there)
    third = machine(tmp_path / "third", url)
    assert not (third.folder / "unwritten.jsonl").exists()


def test_kept_checkpoints_leave_this_machine_and_keep_their_bounds(tmp_path: Path, url: str) -> None:
    here = machine(tmp_path / "here", url)
    here.load(RESUME)
    kind = "kept/every"
    for step in (100, 200, 300):
        write(here, step, kind, keep=20)
        sent(here)
    assert steps(here, kind) == [300, 200, 100] and list((here.folder / kind).glob("step-*")) == []
    here.written(kind, 20, max_bytes=here.checkpoints(kind)[0].size * 2)
    sent(here)
    assert steps(here, kind) == [300, 200]
    here.drop_after(kind, 250)
    assert steps(here, kind) == [200]
    here.delete()
    assert here.remote.files() == {} and not here.folder.exists()


@pytest.mark.parametrize("target", ["the same store", "a folder"])
def test_a_checkpoint_becomes_that_of_a_branch(tmp_path: Path, url: str, target: str) -> None:
    parent = machine(tmp_path / "parent", url)
    parent.load(RESUME)
    write(parent, 100)
    sent(parent)
    (found,) = parent.checkpoints(RESUME)
    parent.remote.sent.clear()  # type: ignore[attr-defined]
    if target == "a folder":
        folder = FolderPlace(tmp_path / "branch")
        folder.add(PARENT, found)
        loaded = folder.load(PARENT)
    else:
        branch = Mirror(tmp_path / "branch", Watched(f"{url}/run-2"))
        branch.add(PARENT, found)
        if not url.startswith("sftp:"):  # which cannot copy
            assert (branch.remote.sent, parent.remote.fetched) == ([], [])  # type: ignore[attr-defined]  # not through here
        parent.delete()
        loaded = branch.load(PARENT)
        branch.forget(PARENT)
        assert branch.checkpoints(PARENT) == [] and branch.load(PARENT) is None
    assert loaded is not None and loaded[2]["buffer.rewards"][0] == 100


def test_a_folders_checkpoint_can_become_that_of_a_branch_elsewhere(tmp_path: Path, url: str) -> None:
    parent = FolderPlace(tmp_path / "parent")
    write(parent, 100)
    branch = Mirror(tmp_path / "branch", Remote(f"{url}/run-2"))
    (found,) = parent.checkpoints(RESUME)
    branch.add(PARENT, found)
    loaded = Mirror(tmp_path / "there", Remote(f"{url}/run-2")).load(PARENT)
    assert loaded is not None and json.loads((tmp_path / "there" / PARENT / "step-000000000100" / "state.json").read_text())
    Path(found.path, "tensors.pt").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"cannot be taken over: tensors\.pt has changed"):
        branch.add(PARENT, found)
