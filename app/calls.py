"""Calls of the pages' scripts: the route that Gradio's pages use, without its memory of every visitor.

Gradio's own keeps a copy of all components for each session that a browser makes up. The studio's functions keep no state.
"""

from __future__ import annotations

import json
import logging

import gradio as gr
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.widgets import MAX_REQUEST

MAX_BODY = 6 * MAX_REQUEST + 10_000
"""Bytes: a character takes up to six in JSON."""


def call_routes(pages: gr.Blocks) -> list[Route]:
    """The routes that call the functions of the pages' widgets."""

    async def call(request: Request) -> Response:
        try:
            body = await _body_of(request)
        except ClientDisconnect:
            return Response(status_code=400)
        if body is None:
            return PlainTextResponse(f"The request has more than {MAX_BODY:,} bytes.", 413)
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            return PlainTextResponse("The request is not JSON, or holds numbers of thousands of digits.", 400)
        if not isinstance(asked, dict):
            return PlainTextResponse("The request is no JSON object.", 400)
        component, name = asked.get("component_id"), asked.get("fn_name")
        block = pages.blocks.get(component) if isinstance(component, int) else None
        function = getattr(block, name, None) if isinstance(name, str) else None
        if function is None or not getattr(function, "_is_server_fn", False):
            return PlainTextResponse("There is no such function; reload the page.", 404)
        try:
            answer = await run_in_threadpool(function, asked.get("data"))
        except Exception:  # a bug; it must not leave the page without words
            logging.getLogger(__name__).exception("the function %r failed", name)
            answer = {"error": "the studio made a mistake; see the terminal for details"}
        return Response(json.dumps(answer), media_type="application/json")

    return [Route(f"/gradio_api/component_server{end}", call, methods=["POST"]) for end in ("", "/")]


async def _body_of(request: Request) -> bytes | None:
    """The body; None if it is too long."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            return None
    return body
