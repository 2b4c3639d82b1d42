"""What is served besides Gradio's pages: assets and clips by id, and nothing else."""

from __future__ import annotations

import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app.media import assets_version, media_routes
from app.studio import Studio
from vlmrb import Store, make_config
from vlmrb.types import ClipFilter


@pytest.fixture(scope="module")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from vlmrb.train import train

    path = tmp_path_factory.mktemp("media") / "runs.db"
    with Store(str(path)) as store:
        config = make_config(env="DoorKey-5x5", scorer="oracle", total_steps=400, learning_starts=1_000, eval_episodes=1)
        train(config, store=store)
    return path


@pytest.fixture
def client(store_path: Path) -> Iterator[TestClient]:
    studio = Studio.open(str(store_path))
    with TestClient(Starlette(routes=media_routes(studio))) as client:
        yield client
    studio.close()


@pytest.mark.parametrize("kind", ["thumbnail", "sheet"])
def test_a_clip_is_served_as_a_sprite_sheet_with_its_layout(client: TestClient, kind: str) -> None:
    reply = client.get(f"/studio/clip/10000000/{kind}")
    assert reply.status_code == 200
    layout = json.loads(reply.headers["X-Sheet"])
    picture = Image.open(io.BytesIO(reply.content))
    rows = -(-layout["frames"] // layout["columns"])
    assert picture.size == (layout["columns"] * layout["width"], rows * layout["height"])
    assert len(layout["frame_indices"]) == layout["frames"]
    assert "immutable" in reply.headers["Cache-Control"]


def test_a_clip_is_served_as_a_video_download(client: TestClient) -> None:
    reply = client.get("/studio/clip/10000000/video")
    assert reply.headers["Content-Type"] == "video/mp4"
    assert 'filename="clip-10000000.mp4"' in reply.headers["Content-Disposition"]
    assert reply.content[4:8] == b"ftyp"


@pytest.mark.parametrize(
    "path", ["99999999/sheet", "10000000/secrets", f"{10**30}/sheet", "x/sheet", "-1/sheet", "10000000/../sheet"]
)
def test_anything_but_a_clip_is_not_found(client: TestClient, path: str) -> None:
    assert client.get(f"/studio/clip/{path}").status_code == 404


def test_a_clip_that_cannot_be_drawn_is_answered_in_words_and_is_no_failure_of_the_server(
    store_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "copy.db"
    with Store(str(store_path)) as store:
        store.backup(path)
    with closing(sqlite3.connect(path)) as changed, changed:
        changed.execute("UPDATE runs SET render_spec = ?", (json.dumps({"kind": "hologram"}),))
    studio = Studio.open(str(path))
    with TestClient(Starlette(routes=media_routes(studio))) as client:
        reply = client.get("/studio/clip/10000000/sheet")
    studio.close()
    assert (reply.status_code, "hologram" in reply.text) == (422, True), reply.text


@pytest.mark.parametrize(
    "name",
    [
        "../prompts.json",
        "..%2fprompts.json",
        "%2e%2e/%2e%2e/pyproject.toml",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "",
        "widgets",
        "no.js",
    ],
)
def test_no_file_outside_the_studios_assets_is_served(client: TestClient, name: str) -> None:
    assert client.get(f"/studio/assets/{name}").status_code == 404


def test_assets_are_cached_forever_only_under_their_fingerprint(client: TestClient) -> None:
    assert client.get("/studio/assets/studio.js").headers["Cache-Control"] == "no-cache"
    assert "immutable" in client.get(f"/studio/assets/studio.js?v={assets_version()}").headers["Cache-Control"]


def test_plotly_is_served_locally(client: TestClient) -> None:
    reply = client.get("/studio/plotly.js")
    assert reply.headers["Content-Type"].startswith("text/javascript")
    assert len(reply.content) > 1_000_000


def test_labelled_clips_come_as_an_archive_of_the_runs_asked_for(store_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "runs.db"
    with Store(str(store_path)) as store:
        store.backup(copy)
    studio = Studio.open(str(copy))
    with TestClient(Starlette(routes=media_routes(studio))) as client:
        nothing = client.get("/studio/labelled?runs=1")
        assert nothing.status_code == 404 and "no clip here has been labelled" in nothing.text
        clip = studio.store.find_clips(ClipFilter(label="yes"))[0]
        studio.store.label_clip(clip.clip_id, True, annotator="Ada")
        reply = client.get("/studio/labelled?runs=1")
        assert reply.headers["content-disposition"] == 'attachment; filename="vlmrb-labelled-clips.zip"'
        assert int(reply.headers["content-length"]) == len(reply.content)
        with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
            assert archive.testzip() is None and f"clip-{clip.clip_id}.mp4" in archive.namelist()
        assert client.get("/studio/labelled?runs=x").status_code == 400
    studio.close()
