"""What the studio serves besides Gradio's pages: styles and scripts, plotly.js, exports, and clips by id."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from app.checks import a_choice, a_text, ids
from app.comparing import STATISTICS
from app.export import FORMATS, Format, export
from app.export import MEDIA_TYPES as EXPORT_TYPES
from app.studio import Studio
from vlmrb.assets import asset_path
from vlmrb.errors import ConfigError, NotFoundError, StoreUnavailableError, VlmrbError
from vlmrb.playback import export_zip, labelled_clips
from vlmrb.types import SUCCESS, ClipFilter

FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
"""For content that never changes under its URL: clips, and files with a fingerprint in the URL."""

MAX_LABELLED = 2_000
"""Clips in an archive of labelled clips: their videos are made while the browser waits."""

MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".png": "image/png"}


def media_routes(studio: Studio) -> list[Route]:
    """The routes under /studio."""

    async def clip(request: Request) -> Response:
        clip_id, kind = request.path_params["clip_id"], request.path_params["kind"]
        if not (clip_id.isascii() and clip_id.isdecimal() and len(clip_id) < 20):
            return PlainTextResponse(f"There is no clip {clip_id[:40]!r}.", 404)
        try:
            return await run_in_threadpool(_clip, studio, int(clip_id), kind)
        except VlmrbError as error:
            return PlainTextResponse(str(error), _status(error))

    async def exported(request: Request) -> Response:
        try:
            return await run_in_threadpool(_export, studio, dict(request.query_params))
        except VlmrbError as error:
            return PlainTextResponse(str(error), _status(error))

    async def labelled(request: Request) -> Response:
        with ExitStack() as stack:  # closes the file, unless it is sent
            file = stack.enter_context(tempfile.TemporaryFile())
            try:
                await run_in_threadpool(_write_labelled, studio, dict(request.query_params), file)
            except VlmrbError as error:
                return PlainTextResponse(str(error), _status(error))
            stack.pop_all()
        headers = {"Content-Disposition": 'attachment; filename="vlmrb-labelled-clips.zip"', "Cache-Control": "no-store"}
        size = {"Content-Length": str(file.seek(0, os.SEEK_END))}
        return StreamingResponse(_pieces(file), media_type="application/zip", headers=headers | size)

    return [
        Route("/studio/export", exported),
        Route("/studio/labelled", labelled),
        Route("/studio/assets/{name:path}", _asset),
        Route("/studio/plotly.js", _plotly),
        Route("/studio/clip/{clip_id:str}/{kind:str}", clip),
        Route("/gradio_api/upload", _refuse_upload, methods=["POST"]),  # before Gradio's own route, which accepts files
    ]


def _status(error: VlmrbError) -> int:
    """The HTTP status of an error; 422 where what was asked for exists and is unusable, such as a damaged clip."""
    kinds = ((NotFoundError, 404), (ConfigError, 400), (StoreUnavailableError, 503))
    return next((status for kind, status in kinds if isinstance(error, kind)), 422)


def _clip(studio: Studio, clip_id: int, kind: str) -> Response:
    """One clip: 'thumbnail' and 'sheet' are sprite sheets with their layout in a header, 'video' is an MP4 download."""
    if clip_id >= 2**63:
        raise NotFoundError(f"there is no clip {clip_id}")
    if kind == "video":
        name = f"clip-{clip_id}.mp4"
        headers = FOREVER | {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(studio.playback.mp4(clip_id), media_type="video/mp4", headers=headers)
    if kind not in ("thumbnail", "sheet"):
        raise NotFoundError(f"a clip has no {kind!r}; ask for thumbnail, sheet or video")
    sheet = studio.playback.thumbnail(clip_id) if kind == "thumbnail" else studio.playback.sheet(clip_id)
    layout = {name: getattr(sheet, name) for name in ("frames", "columns", "width", "height", "frame_indices")}
    return Response(sheet.data, media_type=sheet.media_type, headers=FOREVER | {"X-Sheet": json.dumps(layout)})


def _export(studio: Studio, query: dict[str, str]) -> Response:
    """A comparison as a file; takes the same query as the page's URL."""
    form = a_choice(query, "format", FORMATS) or "html"
    runs = ids(query, "runs")
    if not runs:
        raise ConfigError("runs: give the runs to compare, such as runs=1,2,3")
    statistic = a_choice(query, "statistic", tuple(STATISTICS)) or "iqm"
    data = export(studio, runs, a_text(query, "metric", 200) or SUCCESS, statistic, cast(Format, form))
    headers = {"Content-Disposition": f'attachment; filename="vlmrb-comparison.{form}"', "Cache-Control": "no-store"}
    return Response(data, media_type=EXPORT_TYPES[form], headers=headers)


def _write_labelled(studio: Studio, query: dict[str, str], file: IO[bytes]) -> None:
    """The labelled clips of some runs, of all without any, as a ZIP archive."""
    clips = labelled_clips(studio.store, ClipFilter(run_ids=tuple(ids(query, "runs"))))
    if len(clips) > MAX_LABELLED:
        raise ConfigError(
            f"runs: {len(clips)} of their clips are labelled, and an archive holds up to {MAX_LABELLED}; choose fewer runs, or "
            "write a folder with `vlmrb clips RUN --export FOLDER`"
        )
    export_zip(studio.store, clips, file)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    """The file's content, piece by piece; then it is closed, and with that gone."""
    with file:
        file.seek(0)
        while piece := file.read(2**20):
            yield piece


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if not is_asset(name):
        return PlainTextResponse("No such file.", 404)
    path = assets_folder() / name
    fresh = FOREVER if request.query_params.get("v") else {"Cache-Control": "no-cache"}
    return FileResponse(path, media_type=MEDIA_TYPES[path.suffix], headers=fresh)


def is_asset(name: str) -> bool:
    """Whether a path below /studio/assets is one of the styles and scripts."""
    root = assets_folder()
    try:
        path = (root / name).resolve()
        return path.is_relative_to(root) and path.suffix in MEDIA_TYPES and path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


async def _refuse_upload(_: Request) -> Response:
    return PlainTextResponse("The studio does not accept files.", 403)


async def _plotly(_: Request) -> Response:
    return Response(await run_in_threadpool(_plotly_source), media_type="text/javascript", headers=FOREVER)


@functools.cache
def _plotly_source() -> bytes:
    """plotly.js from the installed package, so that charts need no internet."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs().encode()


@functools.cache
def plotly_version() -> str:
    """The version of plotly, which makes its URL safe to cache forever."""
    from importlib.metadata import version

    return version("plotly")


def assets_folder() -> Path:
    """The folder of the styles and scripts."""
    return asset_path("studio").resolve()


@functools.cache
def assets_version() -> str:
    """A fingerprint of all styles and scripts: browsers fetch them again when it changes."""
    digest = hashlib.sha256()
    for path in sorted(assets_folder().rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(assets_folder()).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]
