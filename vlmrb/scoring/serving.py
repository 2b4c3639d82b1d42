"""The web server of a shared scorer.

It listens on this machine alone unless it has a key. What it is sent is data: bounded, checked, and never a program.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from importlib import metadata
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from vlmrb.errors import ConfigError, ScorerError, ScorerUnavailableError
from vlmrb.hosts import is_loopback
from vlmrb.scoring import wire
from vlmrb.scoring.embedded import picture_notice, prompt_notice
from vlmrb.scoring.shared import KEY
from vlmrb.scoring.sharing import Health, Whose
from vlmrb.scoring.wire import Asked
from vlmrb.scoring.yes_no import Answer
from vlmrb.types import ClipScorer, Prompt

_ANONYMOUS = "anonymous"
_LONGEST_NAME = 100
_T = TypeVar("_T")
_RETRY_AFTER_S = 1


class Shared(Protocol):
    """What the server hands clips to; see `SharedBatches`."""

    def model(self, pictures: str = "") -> ClipScorer: ...
    def submit(self, whose: Whose, asked: Asked) -> Future[list[list[Answer]]]: ...
    def health(self) -> Health: ...


Handler = Callable[[Request], Awaitable[JSONResponse]]


def check_address(host: str, key: str) -> None:
    """Check that a server on this address is not open to everybody.

    Raises:
        ConfigError: others can reach it, and it has no key.
    """
    if not is_loopback(host) and not key:
        raise ConfigError(
            f"--host {host}: whoever reaches this address could use the model; set the environment variable {KEY} "
            "to a secret, here and for the runs, or leave --host out"
        )


def make_app(batches: Shared, *, names: Mapping[str, str], text: bool, key: str = "") -> Starlette:
    """The server's routes.

    Args:
        batches: what scores.
        names: of its models, by the kind of pictures that they are for; '' for all others.
        text: whether they read clips of text.
        key: that requests must bring as a bearer token; '' for none.
    """

    def guarded(handler: Handler) -> Handler:
        async def handle(request: Request) -> JSONResponse:
            given = request.headers.get("authorization", "").encode("utf-8", "surrogateescape")
            if key and not hmac.compare_digest(given, f"Bearer {key}".encode()):
                return _error(401, "this shared scorer has a key, and the request has another or none")
            return await handler(request)

        return handle

    def name(pictures: str) -> str:
        return names.get(pictures, names[""])

    async def about(request: Request) -> JSONResponse:
        pictures = request.headers.get(wire.PICTURES, "")
        scorer: Any = batches.model(pictures)
        return JSONResponse(
            {
                "protocol": wire.PROTOCOL,
                "version": metadata.version("vlmrb"),
                "model": name(pictures).removeprefix("hf:"),
                "revision": _revision(scorer),
                "frames_per_clip": scorer.frames_per_clip,
                "text": text,
            }
        )

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"models": list(dict.fromkeys(names.values())), **asdict(batches.health())})

    async def notices(request: Request) -> JSONResponse:
        body = await _body(request)
        try:
            asked = json.loads(body or b"")
            questions, recipe = asked["questions"], {"kind": str(asked["pictures"])}
            assert isinstance(questions, list) and len(questions) <= wire.MAX_ASKED
            assert all(isinstance(each, str) and 0 < len(each) <= wire.MAX_TEXT for each in questions)
        except (ValueError, KeyError, TypeError, AssertionError, RecursionError):
            return _error(400, f"up to {wire.MAX_ASKED} questions are asked about one kind of pictures")
        return JSONResponse(await asyncio.to_thread(_notices, name(recipe["kind"]), questions, recipe))

    async def score(request: Request) -> JSONResponse:
        body = await _body(request)
        if body is None:
            return _error(413, f"a request has up to {wire.MAX_BODY} bytes")
        try:
            asked = await asyncio.to_thread(wire.unpack_request, body)
            answers = await _unless_it_leaves(request, asyncio.wrap_future(batches.submit(_whose(request), asked)))
        except wire.WireError as error:
            return _error(400, str(error))
        except ScorerUnavailableError as error:
            return _error(503, str(error), {"Retry-After": str(_RETRY_AFTER_S)})
        except ScorerError as error:
            return _error(422, str(error))
        if answers is None:
            return _error(499, "the client no longer waits")
        return JSONResponse(wire.pack_reply(answers, _revision(batches.model(asked.pictures))))

    return Starlette(
        routes=[
            Route(wire.ABOUT, guarded(about)),
            Route(wire.HEALTH, guarded(health)),
            Route(wire.SCORE, guarded(score), methods=["POST"]),
            Route(wire.NOTICES, guarded(notices), methods=["POST"]),
        ]
    )


def _revision(scorer: Any) -> str:
    return str(getattr(scorer, "revision", ""))


def _notices(scorer: str, questions: Sequence[str], recipe: Mapping[str, Any]) -> dict[str, str]:
    """What this model cannot interpret: in the questions, and of such pictures."""
    text = questions[0] if len(questions) == 1 else "\n".join(f"- [1] {' '.join(each.split())}" for each in questions)
    return {
        "prompt": prompt_notice(scorer, Prompt("shared", 1, text)) if questions else "",
        "pictures": picture_notice(scorer, recipe) if recipe["kind"] else "",
    }


def _whose(request: Request) -> Whose:
    run = request.headers.get(wire.RUN, "")
    return Whose(
        request.headers.get(wire.CLIENT, _ANONYMOUS)[:_LONGEST_NAME],
        int(run) if run.isascii() and run.isdigit() and len(run) < 16 else None,
        unquote(request.headers.get(wire.NAME, "")[: 3 * _LONGEST_NAME])[:_LONGEST_NAME],
    )


async def _unless_it_leaves(request: Request, answering: asyncio.Future[_T]) -> _T | None:
    """The result, or None after the client has gone, which cancels it.

    Raises:
        ScorerError: scoring failed.
    """
    leaving = asyncio.ensure_future(_has_left(request))
    both: set[asyncio.Future[Any]] = {leaving, answering}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        return await answering if answering.done() else None
    finally:
        leaving.cancel()
        answering.cancel()


async def _has_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


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
