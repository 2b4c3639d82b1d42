"""Access control: host names, pages of other sites, and the login."""

from __future__ import annotations

import asyncio
import base64

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from app.gate import PASSWORD_VARIABLE, PIECE, USER_VARIABLE, Gate, Login, login_for
from vlmrb.errors import ConfigError

HOME = "http://127.0.0.1:7860"


def client(*, loopback_only: bool = True, login: Login | None = None, base_url: str = HOME) -> TestClient:
    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"inside {request.method}")

    inner = Starlette(routes=[Route("/{path:path}", page, methods=["GET", "POST", "DELETE"])])
    return TestClient(Gate(inner, loopback_only=loopback_only, login=login), base_url=base_url)


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "localhost", "[::1]:7860", "127.0.0.2"])
def test_this_machines_own_names_are_accepted(host: str) -> None:
    assert client().get("/", headers={"Host": host}).text == "inside GET"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7860", "10.0.0.1", ""])
def test_a_name_rebound_to_this_machine_is_refused(host: str) -> None:
    reply = client().get("/", headers={"Host": host})
    assert reply.status_code == 403
    assert "own name" in reply.text


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://127.0.0.1:9999", "null", "http://127.0.0.1:7860.evil.example"]
)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_page_of_another_site_cannot_change_anything(method: str, origin: str) -> None:
    assert client().request(method, "/x", headers={"Origin": origin}).status_code == 403


def test_the_studios_own_page_may_change_things() -> None:
    assert client().post("/x", headers={"Origin": HOME}).text == "inside POST"


@pytest.mark.parametrize("length", [0, 1, PIECE, PIECE + 1, 5 * PIECE, 5 * PIECE + 7])
def test_a_long_reply_is_sent_in_pieces_so_that_none_is_kept_for_slow_readers(length: int) -> None:
    content, sent = bytes(number % 251 for number in range(length)), []

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(content)(scope, receive, send)

    async def keep(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "headers": [(b"host", b"localhost")]}
    asyncio.run(Gate(page, loopback_only=True, login=None)(scope, None, keep))  # type: ignore[arg-type]
    pieces = [message["body"] for message in sent[1:]]
    assert b"".join(pieces) == content and max(map(len, pieces)) <= PIECE
    assert [message.get("more_body", False) for message in sent[1:]] == [True] * (len(pieces) - 1) + [False]


def test_a_script_without_an_origin_may_change_things() -> None:
    assert client().post("/x").text == "inside POST"


def test_nothing_is_served_without_the_login() -> None:
    guarded = client(login=Login("studio", "correct horse"))
    for headers in ({}, basic("studio", "wrong"), basic("other", "correct horse"), {"Authorization": "Basic %%%"}):
        reply = guarded.get("/studio/clip/1/sheet", headers=headers)
        assert reply.status_code == 401
        assert reply.headers["WWW-Authenticate"].startswith("Basic ")
        assert "inside" not in reply.text


def test_the_login_is_accepted() -> None:
    guarded = client(login=Login("studio", "correct: hörse"))
    assert guarded.get("/", headers=basic("studio", "correct: hörse")).text == "inside GET"


def test_a_public_studio_accepts_any_host_name() -> None:
    public = client(loopback_only=False, login=Login("studio", "correct horse"), base_url="http://lab.example")
    assert public.get("/", headers=basic("studio", "correct horse")).status_code == 200
    assert public.post("/", headers=basic("studio", "correct horse") | {"Origin": "http://evil.example"}).status_code == 403


def test_answers_cannot_be_framed_or_sniffed() -> None:
    headers = client().get("/").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'self'" in headers["content-security-policy"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "lab.example", ""])
def test_a_public_address_needs_a_password(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=PASSWORD_VARIABLE):
        login_for(host)
    monkeypatch.setenv(PASSWORD_VARIABLE, "correct horse")
    assert login_for(host) == Login("studio", "correct horse")


def test_loopback_needs_no_password_but_accepts_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    assert login_for("127.0.0.1") is None
    monkeypatch.setenv(PASSWORD_VARIABLE, "correct horse")
    monkeypatch.setenv(USER_VARIABLE, "ada")
    assert login_for("localhost") == Login("ada", "correct horse")


def test_a_short_password_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "short")
    with pytest.raises(ConfigError, match="at least 8"):
        login_for("127.0.0.1")


def test_a_user_name_with_a_colon_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "correct horse")
    monkeypatch.setenv(USER_VARIABLE, "a:b")
    with pytest.raises(ConfigError, match="colon"):
        login_for("127.0.0.1")
