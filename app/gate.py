"""Who may talk to the studio: host names, cross-site requests and the login, checked before anything else is.

The studio starts processes and deletes runs, so a stranger's web page must not reach it through the user's own
browser: a request for another host name (DNS rebinding) and a change that another site's page asks for (CSRF) are refused.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vlmrb.errors import ConfigError

USER_VARIABLE, PASSWORD_VARIABLE = "VLMRB_STUDIO_USER", "VLMRB_STUDIO_PASSWORD"
MIN_PASSWORD = 8
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

SECURITY_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"content-security-policy": b"frame-ancestors 'self'; object-src 'none'; base-uri 'self'",
}


@dataclass(frozen=True)
class Login:
    """A user name and a password, asked of every request."""

    user: str
    password: str

    def admits(self, authorization: str) -> bool:
        """Whether an Authorization header holds them. Takes the same time for any wrong answer."""
        kind, _, value = authorization.partition(" ")
        try:
            given = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            given = b""
        expected = f"{self.user}:{self.password}".encode()
        return secrets.compare_digest(given, expected) and kind.lower() == "basic"


def login_for(host: str) -> Login | None:
    """The login that the environment names, or None where the studio listens on loopback only and none is set.

    Raises:
        ConfigError: `host` can be reached from elsewhere and there is no password, or it is too short.
    """
    user, password = os.environ.get(USER_VARIABLE, "studio"), os.environ.get(PASSWORD_VARIABLE, "")
    if not password:
        if is_loopback(host):
            return None
        raise ConfigError(
            f"--host {host}: other machines could start processes here, so a login is needed; set {PASSWORD_VARIABLE} "
            f"(at least {MIN_PASSWORD} characters; user name {user!r}, or set {USER_VARIABLE}), or leave --host at 127.0.0.1"
        )
    if len(password) < MIN_PASSWORD:
        raise ConfigError(f"{PASSWORD_VARIABLE}: has {len(password)} characters; at least {MIN_PASSWORD} are needed")
    if ":" in user:
        raise ConfigError(f"{USER_VARIABLE}: {user!r} holds a colon, which a browser's login cannot send")
    return Login(user, password)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Gate:
    """ASGI middleware: lets a request through, or answers it with 401 or 403 in plain words.

    Args:
        app: what lies behind.
        loopback_only: refuse host names other than this machine's own.
        login: asked of everyone, or None.
    """

    def __init__(self, app: ASGIApp, *, loopback_only: bool, login: Login | None) -> None:
        self._app, self._loopback_only, self._login = app, loopback_only, login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, _with_security_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, send)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if self._loopback_only and not is_loopback(_name_of(host)):
            return PlainTextResponse(f"The studio answers to this machine's own name only, not to {host!r}.", 403)
        origin = headers.get("origin")
        if scope.get("method") not in SAFE_METHODS and origin is not None and urlsplit(origin).netloc != host:
            return PlainTextResponse("Another site's page may not change anything here.", 403)
        if self._login is not None and not self._login.admits(headers.get("authorization", "")):
            challenge = {"WWW-Authenticate": 'Basic realm="VLM-RB Studio", charset="UTF-8"'}
            return PlainTextResponse("Log in to use the studio.", 401, challenge)
        return None


def _name_of(host: str) -> str:
    """'localhost:7860' → 'localhost', '[::1]:7860' → '::1'."""
    return urlsplit(f"//{host}").hostname or ""


def _with_security_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *SECURITY_HEADERS.items()]
        await send(message)

    return sending
