"""The studio's web server: Gradio's pages and the studio's routes behind the gate, and the thread that runs the queue."""

from __future__ import annotations

import logging
import socket
import threading
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import gradio as gr
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from app.address import Address
from app.calls import call_routes
from app.colors import style_sheet
from app.front import Front
from app.gate import NOWHERE, Gate, Login
from app.main import build_app
from app.media import assets_folder, assets_version, media_routes
from app.studio import Studio
from app.theme import studio_theme
from vlmrb import jobs
from vlmrb.errors import VlmrbError
from vlmrb.hosts import is_loopback

RECONCILE_S = 2.0
"""Seconds between checks of the queue, which notice dead processes and start queued jobs."""

MAX_UPLOAD = "1mb"
"""Gradio's limit; the studio itself refuses uploads."""


def make_server(studio: Studio, *, host: str = "127.0.0.1", login: Login | None = None, address: Address = NOWHERE) -> FastAPI:
    """The whole studio as one ASGI application.

    Args:
        studio: the open store.
        host: the address it will listen on; on loopback, requests for other host names are refused.
        login: required of everyone, or None.
        address: where a proxy serves the studio.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=studio.warm_up, name="warm-up", daemon=True).start()
        stop = keep_queue_moving(studio)
        try:
            yield
        finally:
            stop()

    pages = build_app(studio)
    gate = Middleware(Gate, loopback_only=is_loopback(host), login=login, address=address)
    front = Middleware(Front, pages=[path for path, *_ in pages.pages], prefix=address.path)
    server = FastAPI(
        title="VLM-RB Studio", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan, middleware=[gate, front]
    )
    server.router.routes.extend([*media_routes(studio), *call_routes(pages)])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "SSR mode")  # it is off, see below
        return gr.mount_gradio_app(
            server,
            pages,
            path="/",
            server_name=host,
            theme=studio_theme(),
            head=_head(),
            favicon_path=str(assets_folder() / "favicon.svg"),
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            pwa=False,
            max_file_size=MAX_UPLOAD,
            show_error=True,
        )


def _head() -> str:
    """Links to the style sheets: the shared one, then each page's, then the colours of the replay methods."""
    sheets = ["studio.css", *sorted(f"pages/{path.name}" for path in (assets_folder() / "pages").glob("*.css"))]
    links = [f'<link rel="stylesheet" href="./studio/assets/{sheet}?v={assets_version()}">' for sheet in sheets]
    return "".join(['<meta name="color-scheme" content="light dark">', *links, f"<style>{style_sheet()}</style>"])


def keep_queue_moving(studio: Studio) -> Callable[[], None]:
    """Run the queue in a background thread; returns a function that stops it. Running jobs are processes and need no thread."""
    stopped = threading.Event()

    def reconcile() -> None:
        said = ""
        while not stopped.wait(RECONCILE_S):
            try:
                jobs.reconcile(studio.store)
                said = ""
            except VlmrbError as error:
                if str(error) != said:
                    logging.getLogger(__name__).warning("cannot update the queue: %s", error)
                said = str(error)

    if studio.store.read_only:
        return lambda: None
    thread = threading.Thread(target=reconcile, name="queue", daemon=True)
    thread.start()

    def stop() -> None:
        stopped.set()
        thread.join(10)

    return stop


def serve(app: ASGIApp, listening: socket.socket, *, on_ready: Callable[[], None] = lambda: None) -> None:
    """Serve until interrupted. `on_ready` is called once the server accepts requests."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            on_ready()

    settings = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3, ws="none", proxy_headers=False)
    Server(settings).run(sockets=[listening])
