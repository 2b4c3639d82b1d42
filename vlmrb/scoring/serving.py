"""The web server of a shared scorer.

It listens on this machine alone unless it has a key. What it is sent is data: bounded, checked, and never a program.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from vlmrb.errors import ConfigError, ScorerError, ScorerUnavailableError
from vlmrb.scoring import wire
from vlmrb.scoring.shared import KEY
from vlmrb.scoring.sharing import SharedBatches

_ANONYMOUS = "anonymous"
_RETRY_AFTER_S = 1

Handler = Callable[[Request], Awaitable[JSONResponse]]


def check_address(host: str, key: str) -> None:
    """Check that a server on this address is not open to everybody.

    Raises:
        ConfigError: others can reach it, and it has no key.
    """
    try:
        is_local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = False
    if not is_local and not key:
        raise ConfigError(
            f"--host {host}: whoever reaches this address could use the model; set the environment variable {KEY} "
            "to a secret, here and for the runs, or leave --host out"
        )


def make_app(batches: SharedBatches, *, model: str, text: bool, key: str = "") -> Starlette:
    """The server's routes.

    Args:
        batches: what scores.
        model: its name.
        text: whether it reads clips of text.
        key: that requests must bring as a bearer token; '' for none.
    """

    def guarded(handler: Handler) -> Handler:
        async def handle(request: Request) -> JSONResponse:
            given = request.headers.get("authorization", "").encode("utf-8", "surrogateescape")
            if key and not hmac.compare_digest(given, f"Bearer {key}".encode()):
                return _error(401, "this shared scorer has a key, and the request has another or none")
            return await handler(request)

        return handle

    async def about(_: Request) -> JSONResponse:
        scorer: Any = batches.scorer
        revision = str(getattr(scorer, "revision", ""))
        return JSONResponse({"model": model, "revision": revision, "frames_per_clip": scorer.frames_per_clip, "text": text})

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"model": model, **asdict(batches.health())})

    async def score(request: Request) -> JSONResponse:
        body = await _body(request)
        if body is None:
            return _error(413, f"a request has up to {wire.MAX_BODY} bytes")
        client = request.headers.get(wire.CLIENT, _ANONYMOUS)[:100]
        try:
            asked = await asyncio.to_thread(wire.unpack_request, body)
            answers = await asyncio.wrap_future(batches.submit(client, asked))
        except wire.WireError as error:
            return _error(400, str(error))
        except ScorerUnavailableError as error:
            return _error(503, str(error), {"Retry-After": str(_RETRY_AFTER_S)})
        except ScorerError as error:
            return _error(422, str(error))
        return JSONResponse(wire.pack_reply(answers, str(getattr(batches.scorer, "revision", ""))))

    return Starlette(
        routes=[
            Route(wire.ABOUT, guarded(about)),
            Route(wire.HEALTH, guarded(health)),
            Route(wire.SCORE, guarded(score), methods=["POST"]),
        ]
    )


async def _body(request: Request) -> bytes | None:
    """The whole body; None if it is too long."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > wire.MAX_BODY:
                return None
    except ClientDisconnect:
        return b""
    return bytes(body)


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": {"message": message}}, status, headers)
