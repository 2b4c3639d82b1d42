"""What is reachable at all: the studio's pages and files, and the calls of its scripts; and under which path.

Gradio has many more routes, some of which keep state for each visitor, fetch addresses, or fail for odd values. The studio
uses none of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.media import is_asset

FILES = ("/theme.css", "/favicon.ico", "/robots.txt", "/manifest.json", "/config", "/gradio_api/info")
FOLDERS = ("/assets/", "/static/", "/svelte/", "/studio/clip/")
OWN = (
    "/studio/export",
    "/studio/labelled",
    "/studio/plotly.js",
    "/gradio_api/upload",
    *(f"/gradio_api/component_server{end}" for end in ("", "/")),
)
MAX_PATH, MAX_SEGMENT = 1_000, 200  # bytes; file systems refuse names of more than 255

_PLACEHOLDER = "studio.invalid"
_HERE = b'new URL(".", location.href).href.slice(0, -1)'
_TO_FOLDER = (
    b'<script>if (!location.pathname.endsWith("/")) location.replace(location.pathname + "/" + location.search);</script>'
)
_NO_SPINNER = b"<style>.gradio-container > .main:has(> .wrap.translucent) { visibility: hidden; }</style>"
"""Gradio's spinner jumps while the page loads, and is gone before the studio's own styles are there."""


class Front:
    """ASGI middleware: passes on requests for what the studio has, and answers others with 404.

    Behind a proxy the pages work under any path that it removes: their scripts take it from the browser's address.

    Args:
        app: the wrapped application.
        pages: paths of the pages without slashes; '' is the start page.
        prefix: the path under which a proxy that does not remove it serves the studio, such as '/vlmrb'; or ''.
    """

    def __init__(self, app: ASGIApp, *, pages: Collection[str], prefix: str = "") -> None:
        self._app, self._pages, self._prefix = app, pages, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = self._without_prefix(scope["path"])
        answer = self._answer(path)
        if answer is not None:
            await answer(scope, receive, send)
            return
        query = scope["query_string"] if path.startswith("/studio/") else b""  # the scripts of the pages read theirs
        inner = {**scope, "path": path, "raw_path": path.encode(), "query_string": query, "root_path": ""}
        if path[1:] not in self._pages:
            await self._app(inner, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name not in (b"host", b"accept-encoding")]
        inner["headers"] = [*headers, (b"host", _PLACEHOLDER.encode())]
        await self._app(inner, receive, _Located(send, start_page=path == "/").send)

    def _without_prefix(self, path: str) -> str:
        """The path as the studio knows it; what it knows as it is was shortened by the proxy."""
        if self._prefix and not self._is_known(path) and f"{path}/".startswith(f"{self._prefix}/"):
            return path[len(self._prefix) :]
        return path

    def _answer(self, path: str) -> Response | None:
        if path == "":  # the prefix itself: the pages' relative addresses need the slash
            return RedirectResponse(f"{self._prefix.rpartition('/')[2]}/", 307)
        if path.startswith("/gradio_api/file"):
            return PlainTextResponse("The studio serves no files of this machine.", 403)
        if path.endswith("/") and path[1:-1] in self._pages and path.strip("/"):
            return RedirectResponse(f"../{path[1:-1]}", 307)
        return None if self._is_known(path) else PlainTextResponse("The studio has no such page.", 404)

    def _is_known(self, path: str) -> bool:
        if not path.startswith("/") or len(path) > MAX_PATH or not path.isprintable():
            return False
        if any(len(part.encode()) > MAX_SEGMENT for part in path.split("/")):
            return False
        if path.startswith("/studio/assets/"):  # a prefix may be called /studio
            return is_asset(path.removeprefix("/studio/assets/"))
        return path[1:] in self._pages or path in (*FILES, *OWN) or path.startswith(FOLDERS)


class _Located:
    """Makes a page of Gradio take the studio's address from the browser: no header says it reliably behind a proxy."""

    def __init__(self, send: Send, *, start_page: bool) -> None:
        self._send, self._start_page = send, start_page
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        """Keep the page until it is complete, then send it on, changed."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body") or self._start is None:
            return
        body = re.sub(rf'"http://{_PLACEHOLDER}/?"'.encode(), lambda _: _HERE, self._body)
        body = body.replace(b'href="/manifest.json"', b'href="./manifest.json"')
        head = _NO_SPINNER + (_TO_FOLDER if self._start_page else b"")
        body = body.replace(b"<head>", b"<head>" + head, 1)
        headers = [(name, value) for name, value in self._start["headers"] if name != b"content-length"]
        if self._body:  # not for HEAD
            headers.append((b"content-length", str(len(body)).encode()))
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
