"""The demo: it unpacks whole, opens as any store, and can be branched."""

from __future__ import annotations

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from app.demo import ARCHIVE, STORE, demo_store, pack, unpack
from app.pages.runs import read_table
from app.reasons import reasons_of
from vlmrb import make_config
from vlmrb.assets import asset_path
from vlmrb.branching import branch_points
from vlmrb.errors import StoreError
from vlmrb.playback import Playback
from vlmrb.store import Store
from vlmrb.train import train

MIB = 2**20


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("app.demo.user_data_path", lambda *_, **__: tmp_path / "data")
    return tmp_path / "data"


def test_the_demo_has_finished_runs_of_three_methods_with_clips_labels_and_checkpoints(home: Path) -> None:
    assert asset_path(ARCHIVE).stat().st_size <= 10 * MIB
    with Store(str(demo_store())) as store:
        table = read_table(store, {})
        assert {row.state for row in table.rows} == {"finished"} and {row.seed for row in table.rows} == {0, 1, 2}
        assert len({row.method for row in table.rows}) == 3
        guided = [row.run_id for row in table.rows if row.method.startswith("vlm")]
        assert all(store.clips(run_id, label=True, limit=3) and reasons_of(store, run_id) for run_id in guided)
        assert any(point.kept for run_id in guided for point in branch_points(store, run_id))
        [clip] = store.clips(guided[0], label=True, limit=1)
        assert Playback(store).thumbnail(clip.clip_id)
        assert store.jobs() == [] and all(not store.run(row.run_id).pid for row in table.rows)


def test_what_is_done_to_the_demo_stays_and_a_deleted_one_comes_back(home: Path) -> None:
    path = demo_store()
    with Store(str(path)) as store:
        store.rename_run(1, "mine")
    assert demo_store() == path
    with Store(str(path)) as store:
        assert store.run(1).name == "mine"
    path.unlink()
    with Store(str(demo_store())) as store:
        assert store.run(1).name != "mine"


def test_a_damaged_archive_leaves_nothing_behind(home: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.tar.xz"
    damaged.write_bytes(asset_path(ARCHIVE).read_bytes()[:50_000])
    with pytest.raises(StoreError, match="the demo cannot be unpacked"):
        unpack(damaged, home / "demo")
    assert list(home.iterdir()) == []


def test_a_packed_store_says_nothing_about_the_machine(tmp_path: Path) -> None:
    small = {"env": "DoorKey-5x5", "total_steps": 400, "learning_starts": 100, "eval_episodes": 1, "hidden_size": 16}
    with Store(str(tmp_path / "runs.db")) as store:
        settings = small | {"replay": "vlm", "scorer": "embedded", "n_envs": 4, "keep_checkpoints": "every:200"}
        run = train(make_config(**settings), store=store)
        assert run.clips_scored
    pack(tmp_path / "runs.db", tmp_path / "packed.tar.xz")
    with tarfile.open(tmp_path / "packed.tar.xz") as packed:
        names = packed.getnames()
        assert STORE in names and any(name.startswith("demo-runs/1/kept/") for name in names)
        assert not any("checkpoints" in name or "log" in Path(name).name for name in names)
        assert {(entry.uid, entry.uname) for entry in packed.getmembers()} == {(0, "")}
        packed.extractall(tmp_path / "there", filter="data")
    for file in filter(Path.is_file, (tmp_path / "there").rglob("*")):
        for folder in (tmp_path, asset_path("embedded")):
            assert str(folder).encode() not in file.read_bytes(), file
    with closing(sqlite3.connect(tmp_path / "there" / STORE)) as connection:
        assert connection.execute("SELECT host, pid, pid_identity FROM runs").fetchall() == [("", None, None)]
