"""Access control: host names, cross-site requests and the login are checked before anything else.

The studio starts processes and deletes runs, so a malicious web page must not reach it through the user's browser:
requests for another host name (DNS rebinding) and changes requested by another site's page (CSRF) are refused.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.address import Address, host_name, host_of
from app.attempts import Attempts, network_of
from vlmrb.errors import ConfigError
from vlmrb.hosts import is_loopback

USER_VARIABLE, PASSWORD_VARIABLE = "VLMRB_STUDIO_USER", "VLMRB_STUDIO_PASSWORD"
MIN_PASSWORD = 8
METHODS = ("GET", "HEAD", "OPTIONS", "POST")
SAFE_METHODS = ("GET", "HEAD")
PASSED_ON = ("host", "accept", "accept-encoding", "content-type", "content-length", "transfer-encoding", "user-agent")
"""The headers that the studio behind the gate gets to see. It needs no other, and Gradio fails for some values of others."""

PIECE = 2**16
"""Bytes of a reply that are handed to the connection at a time: it keeps what a slow reader has not taken."""

COOKIE = "vlmrb-studio"
NOWHERE = Address()

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


class Gate:
    """ASGI middleware: passes a request on, or answers it with 400, 401, 403 or 429 and the reason as plain text.

    Args:
        app: the wrapped application. It gets only the headers that it needs, well-formed.
        loopback_only: refuse host names other than this machine's own and the proxy's.
        login: required of everyone, or None.
        address: where a proxy serves the studio.
    """

    def __init__(self, app: ASGIApp, *, loopback_only: bool, login: Login | None, address: Address = NOWHERE) -> None:
        self._app, self._loopback_only, self._login, self._address = app, loopback_only, login, address
        self._attempts = Attempts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        if scope["type"] == "websocket":  # the studio has none
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope["method"], headers)
        added = dict(SECURITY_HEADERS)
        if refusal is None and self._login is not None:
            refusal = await self._refusal_of_login(self._login, scope, headers, added)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        passed = [(name.encode(), headers[name].encode("latin-1")) for name in PASSED_ON if name in headers]
        await self._app({**scope, "headers": passed}, receive, _replies(send, added))

    def _refusal(self, method: str, headers: Mapping[str, str]) -> Response | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        name = host_name(host)
        if self._loopback_only and not (name is not None and is_loopback(name)) and not self._is_proxy(host):
            return PlainTextResponse(
                f"The studio only answers to this machine's own name, such as localhost, not to {host[:100]!r}. "
                "If a proxy serves it under that name, start it with --root-path and the proxy's address.",
                403,
            )
        if name is None:
            return PlainTextResponse(f"The Host header {host[:100]!r} is not a host name, with or without a port.", 400)
        own = origin is None or self._is_own(origin, headers)
        if method == "OPTIONS":  # asked before a request across origins; the studio's own pages make none
            return Response(status_code=204) if own else PlainTextResponse("Pages of other sites may not use the studio.", 403)
        if method not in SAFE_METHODS and not own:
            return PlainTextResponse(
                "Pages of other sites may not change anything here. If this is the studio's own page behind a proxy, "
                "start the studio with --root-path and the proxy's address.",
                403,
            )
        return None if method in METHODS else PlainTextResponse(f"The studio only answers to {', '.join(METHODS)}.", 405)

    def _is_proxy(self, host: str) -> bool:
        return bool(self._address.host) and host.lower() == self._address.host

    def _is_own(self, origin: str, headers: Mapping[str, str]) -> bool:
        """Whether a page of this origin is the studio's. Pages of others can set none of these headers."""
        if headers.get("sec-fetch-site") == "same-origin":  # the browser says so, whatever a proxy did to the host
            return True
        found = host_of(origin)
        hosts = (headers.get("host", ""), headers.get("x-forwarded-host", ""), self._address.host)
        return found is not None and found in [host.lower() for host in hosts]

    async def _refusal_of_login(
        self, login: Login, scope: Scope, headers: Mapping[str, str], added: dict[bytes, bytes]
    ) -> Response | None:
        """Check the password, but not more often than `Attempts` allows."""
        challenge = {"WWW-Authenticate": 'Basic realm="VLM-RB Studio", charset="UTF-8"'}
        given = headers.get("authorization", "")
        if not given:
            return PlainTextResponse("Log in to use the studio.", 401, challenge)
        known, who = self._attempts.knows(_session_of(headers.get("cookie", ""))), _sender(scope, headers)
        if not known:
            wait = self._attempts.reserve(who)
            if wait is None:
                return PlainTextResponse("Too many wrong passwords; try again in a few seconds.", 429, {"Retry-After": "5"})
            await asyncio.sleep(wait)
        if login.admits(given):
            if not known:
                self._attempts.forgive(who)
                added[b"set-cookie"] = f"{COOKIE}={self._attempts.new_session()}; HttpOnly; SameSite=Strict; Path=/".encode()
            return None
        return PlainTextResponse("Wrong user name or password.", 401, challenge)


def _sender(scope: Scope, headers: Mapping[str, str]) -> str:
    """The address that a request comes from; behind a proxy on this machine, the last one that the proxy says."""
    peer = str((scope.get("client") or ("",))[0])
    forwarded = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    return forwarded if is_loopback(peer) and network_of(forwarded) else peer


def _session_of(cookies: str) -> str:
    for cookie in cookies.split(";"):
        name, _, value = cookie.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def _replies(send: Send, added: Mapping[bytes, bytes]) -> Send:
    """Sends replies with these headers, and what is long in pieces, each once the one before has been taken."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *added.items()]
        body = message.get("body", b"")
        if len(body) <= PIECE:
            await send(message)
            return
        for start in range(0, len(body), PIECE):
            more = message.get("more_body", False) or start + PIECE < len(body)
            await send({**message, "body": body[start : start + PIECE], "more_body": more})

    return sending
