"""Which place a run's checkpoints are in, and what is refused before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import s3
from vlmrb.__main__ import main
from vlmrb.cli.doctor import _place
from vlmrb.config import make_config
from vlmrb.creation import with_places
from vlmrb.errors import CheckpointError, ConfigError
from vlmrb.places import FolderPlace, Mirror, check_place, choose_place, place_of, set_default_place
from vlmrb.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store.db")) as opened:
        yield opened


def test_what_is_given_comes_before_the_variable_and_this_before_the_stores_setting(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_place(None, store) is None
    set_default_place(store, str(tmp_path / "set"))
    assert choose_place(None, store) == str(tmp_path / "set")
    monkeypatch.setenv("VLMRB_CHECKPOINTS", "local")
    assert choose_place(None, store) == "local"
    assert choose_place("/given", store) == "/given"
    set_default_place(store, None)
    monkeypatch.delenv("VLMRB_CHECKPOINTS")
    assert choose_place(None, store) is None
    monkeypatch.setenv("VLMRB_CHECKPOINTS", "s3:bucket")
    with pytest.raises(ConfigError, match="VLMRB_CHECKPOINTS: got 's3:bucket'"):
        choose_place(None, store)


def test_places_belong_to_one_run_of_one_store(store: Store, tmp_path: Path) -> None:
    runs = [store.run(store.create_run({"checkpoints": where}, render_spec={}, success_rule="")) for where in (None, "local")]
    assert [place_of(store, run).folder for run in runs] == [store.folder_of_run(run.run_id) for run in runs]
    shared, far = (
        place_of(store, store.run(store.create_run({"checkpoints": where}, render_spec={}, success_rule="")))
        for where in (str(tmp_path / "shared"), "s3://bucket/x")
    )
    assert isinstance(shared, FolderPlace) and shared.folder.parent == tmp_path / "shared"
    assert (
        isinstance(far, Mirror) and far.name.startswith("s3://bucket/x/run-4-2") and far.folder.parent == store.folder_of_run(4)
    )
    with Store(str(tmp_path / "other.db")) as other:
        for _ in range(4):
            run_id = other.create_run({"checkpoints": "s3://bucket/x"}, render_spec={}, success_rule="")
        assert place_of(other, other.run(run_id)).name != far.name  # the other store's run 4


def test_a_shared_folder_that_is_not_mounted_here_is_told_about(store: Store, tmp_path: Path) -> None:
    run_id = store.create_run({"checkpoints": str(tmp_path / "shared")}, render_spec={}, success_rule="")
    with pytest.raises(CheckpointError, match="there is no such folder on this machine; mount it"):
        place_of(store, store.run(run_id)).begin()


def test_a_folder_that_cannot_be_written_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "file", tmp_path / "not" / "there", Path("/proc/vlmrb")):
        with pytest.raises(ConfigError, match=rf"checkpoints: {wrong} cannot be written to .*create it, make it writable"):
            check_place(str(wrong))
    check_place(str(tmp_path / "new"))
    assert list((tmp_path / "new").iterdir()) == []


def test_memory_is_no_place_for_a_run() -> None:
    with pytest.raises(ConfigError, match="would vanish with its process"):
        check_place("memory://x")


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "adlfs", None)
    with pytest.raises(ConfigError, match=r"abfs://x/y needs a library that is not installed: Install adlfs"):
        check_place("abfs://x/y")
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    with pytest.raises(ConfigError, match=r"pip install 'vlmrb\[gcs\]'"):
        check_place("gs://x/y")


def test_a_bucket_is_tried_and_left_as_it_was(bucket: str) -> None:
    check_place(f"{bucket}/runs")
    from vlmrb.places import Remote

    assert Remote(bucket).files() == {}
    with pytest.raises(ConfigError, match="create the bucket or folder, or correct its name"):
        check_place("s3://no-such-bucket/runs")


@pytest.mark.parametrize(
    ("status", "code", "message", "way_out"),
    [
        (403, "InvalidAccessKeyId", "The key does not exist", "check the credentials"),
        (403, "SignatureDoesNotMatch", "The signature does not match", "check the credentials"),
        (507, "InsufficientStorage", "The disk is full", "has room"),
    ],
)
def test_a_store_that_refuses_is_told_about_before_anything_is_written(
    store: Store, monkeypatch: pytest.MonkeyPatch, status: int, code: str, message: str, way_out: str
) -> None:
    pytest.importorskip("s3fs")
    monkeypatch.setattr("vlmrb.places.remote._TRIES", 1)
    with s3.refusing(status, code, message) as endpoint:
        s3.reach(endpoint, monkeypatch)
        with pytest.raises(ConfigError, match=rf"checkpoints: s3://bucket/runs cannot be .*{way_out}") as caught:
            with_places([_checked("s3://bucket/runs")], store)
    assert not any(secret in str(caught.value) for secret in s3.ENVIRONMENT.values())
    assert store.runs() == []


def test_a_store_that_is_away_is_told_about(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    monkeypatch.setattr("vlmrb.places.remote._TRIES", 1)
    s3.reach("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(ConfigError, match=r"Could not connect.*see that it is reachable"):
        check_place("s3://bucket/runs")


def _checked(address: str):
    from vlmrb.creation import CheckedRun

    return CheckedRun(make_config(checkpoints=address), {}, "")


def test_the_commands_set_and_show_where_new_runs_keep_theirs(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["jobs", "--checkpoints", str(tmp_path / "shared"), "--store", store.url]) == 0
    assert f"checkpoints in {tmp_path / 'shared'}" in capsys.readouterr().out
    assert main(["jobs", "--checkpoints", "s3://a:b@c", "--store", store.url]) == 2
    assert "may hold no key" in capsys.readouterr().err
    assert choose_place(None, store) == str(tmp_path / "shared")
    hints: list[str] = []
    problems: list[str] = []
    assert _place(store, problems, hints) == {"checkpoints of new runs": str(tmp_path / "shared")} and not problems + hints
    (tmp_path / "shared").rmdir()
    (tmp_path / "shared").write_text("")
    assert _place(store, problems, hints) and "cannot be written to" in problems[0]
    (tmp_path / "shared").unlink()
    assert main(["jobs", "--checkpoints", "none", "--store", store.url]) == 0
    assert choose_place(None, store) is None
