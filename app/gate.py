"""Access control: host names, cross-site requests and the login are checked before anything else.

The studio starts processes and deletes runs, so a malicious web page must not reach it through the user's browser:
requests for another host name (DNS rebinding) and changes requested by another site's page (CSRF) are refused.
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
    """A user name and a password, required for every request."""

    user: str
    password: str

    def admits(self, authorization: str) -> bool:
        """Whether an Authorization header contains them. Compares in constant time."""
        kind, _, value = authorization.partition(" ")
        try:
            given = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            given = b""
        expected = f"{self.user}:{self.password}".encode()
        return secrets.compare_digest(given, expected) and kind.lower() == "basic"


def login_for(host: str) -> Login | None:
    """The login set in the environment, or None if there is none and the studio listens on loopback only.

    Raises:
        ConfigError: `host` is reachable from other machines and no password is set, or the login is not usable.
    """
    user, password = os.environ.get(USER_VARIABLE, "studio"), os.environ.get(PASSWORD_VARIABLE, "")
    if not password:
        if is_loopback(host):
            return None
        raise ConfigError(
            f"--host {host}: other machines could start processes here, so a login is required; set {PASSWORD_VARIABLE} "
            f"(at least {MIN_PASSWORD} characters; user name {user!r}, or set {USER_VARIABLE}), or leave --host at 127.0.0.1"
        )
    if len(password) < MIN_PASSWORD:
        raise ConfigError(f"{PASSWORD_VARIABLE}: has {len(password)} characters; use at least {MIN_PASSWORD}")
    if ":" in user:
        raise ConfigError(
            f"{USER_VARIABLE}: {user!r} contains a colon, which HTTP basic authentication does not allow; choose another name"
        )
    return Login(user, password)


def is_loopback(host: str) -> bool:
    """Whether `host` is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Gate:
    """ASGI middleware: passes a request on, or answers it with 401 or 403 and the reason as plain text.

    Args:
        app: the wrapped application.
        loopback_only: refuse host names other than this machine's own.
        login: required of everyone, or None.
    """

    def __init__(self, app: ASGIApp, *, loopback_only: bool, login: Login | None) -> None:
        self._app, self._loopback_only, self._login = app, loopback_only, login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
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
            return PlainTextResponse(
                f"The studio only answers to this machine's own name, such as localhost, not to {host!r}.", 403
            )
        origin = headers.get("origin")
        if scope.get("method") not in SAFE_METHODS and origin is not None and urlsplit(origin).netloc != host:
            return PlainTextResponse("Pages of other sites may not change anything here.", 403)
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
