"""A JSON client that does not trust its server: bounded replies, a deadline per try, retries with back-off."""

from __future__ import annotations

import email.utils
import json
import random
import threading
import time
from dataclasses import dataclass
from typing import Any

import httpx

from vlmrb.errors import ScorerSetupError

MAX_REPLY_BYTES = 2 * 2**20
MAX_WAIT_S = 60.0
"""Longest pause that a server can request with Retry-After."""

_RETRIED = frozenset({408, 409, 425, 429, *range(500, 600)})


class NoReplyError(Exception):
    """No usable reply after all tries; the text says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete reply within the size limit.

    Attributes:
        status: HTTP status.
        body: the raw body.
        retry_after_s: seconds that the server asks us to wait, or None.
        secret: text that must never be quoted, or ''.
    """

    status: int
    body: bytes
    retry_after_s: float | None = None
    secret: str = ""

    def json(self) -> Any:
        """The decoded body; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def text(self) -> str:
        """The body as text, without the secret."""
        text = self.body[:10_000].decode(errors="replace")
        return text.replace(self.secret, "***") if self.secret else text

    def message(self) -> str:
        """The server's error message as one short line."""
        body = self.json()
        error = body.get("error", body) if isinstance(body, dict) else None
        said = error.get("message") or error.get("detail") if isinstance(error, dict) else error
        if not isinstance(said, str):
            return excerpt(self.text())
        return excerpt(said.replace(self.secret, "***") if self.secret else said)


class Http:
    """Requests to one server, safe to use from several threads.

    Attributes:
        shown_url: the base address without its query, safe to show.
    """

    def __init__(self, base_url: str, *, api_key: str, timeout_s: float, retries: int) -> None:
        """Check the address; nothing is sent yet.

        Args:
            base_url: http or https, without user name and password.
            api_key: sent as a bearer token unless empty.
            timeout_s: total seconds allowed per try.
            retries: further tries after the first.

        Raises:
            ScorerSetupError: invalid address or key.
        """
        self._url = _checked_url(base_url)
        self.shown_url = str(self._url.copy_with(query=None, fragment=None))
        self._api_key = api_key.strip()
        if not self._api_key.isascii() or not self._api_key.isprintable():
            raise ScorerSetupError("the environment variable OPENAI_API_KEY contains invalid characters; set it again")
        self._timeout_s, self._retries = timeout_s, retries
        headers = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=32)
        self._client = httpx.Client(headers=headers, timeout=timeout_s, limits=limits, follow_redirects=False)
        self._closing = threading.Event()

    def get(self, path: str) -> Reply:
        """GET `base_url + path`; any status counts as a reply, only a missing reply is retried.

        Raises:
            NoReplyError: no reply after all tries.
        """
        return self._request("GET", path, None, frozenset())

    def post(self, path: str, payload: dict[str, Any]) -> Reply:
        """POST `payload` as JSON to `base_url + path`; also retried after status 408, 409, 425, 429 and 5xx.

        Raises:
            NoReplyError: no reply after all tries.
        """
        return self._request("POST", path, json.dumps(payload).encode(), _RETRIED)

    def close(self) -> None:
        """Cancel pending retries and close the connections."""
        self._closing.set()
        self._client.close()

    def _request(self, method: str, path: str, content: bytes | None, retried: frozenset[int]) -> Reply:
        failure, asked_pause = "", 0.0
        for attempt in range(self._retries + 1):
            if attempt and self._closing.wait(_pause(attempt, asked_pause)):
                break
            try:
                reply = self._try(method, path, content)
            except (httpx.HTTPError, RuntimeError) as error:  # RuntimeError: closed in the meantime
                failure, asked_pause = excerpt(f"{type(error).__name__}: {error}"), 0.0
                continue
            if reply.status not in retried:
                return reply
            failure, asked_pause = f"status {reply.status}: {reply.message()}", reply.retry_after_s or 0.0
        if self._closing.is_set():
            raise NoReplyError("the scorer has been closed")
        raise NoReplyError(f"{failure} ({self._retries + 1} tries)")

    def _try(self, method: str, path: str, content: bytes | None) -> Reply:
        url = self._url.copy_with(path=self._url.path.rstrip("/") + path)
        deadline = time.monotonic() + self._timeout_s
        headers = {"Content-Type": "application/json"} if content is not None else {}
        with self._client.stream(method, url, content=content, headers=headers) as response:
            body = bytearray()
            for chunk in response.iter_bytes():  # as it arrives: with a chunk size, httpx waits for full chunks
                body += chunk
                if len(body) > MAX_REPLY_BYTES:
                    return Reply(response.status_code, b"a reply of more than %d bytes" % MAX_REPLY_BYTES)
                if time.monotonic() > deadline:  # httpx's timeout is per read, so a trickle never hits it
                    raise httpx.ReadTimeout(f"no complete reply within {self._timeout_s:g} s")
            return Reply(response.status_code, bytes(body), _seconds(response.headers.get("Retry-After")), self._api_key)


def _pause(attempt: int, asked: float) -> float:
    """Seconds before the next try: 0.5, 1, 2, … with jitter, or what the server asks for if that is longer."""
    backoff = 0.5 * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # jitter keeps threads from retrying in lockstep
    return min(max(backoff, asked), MAX_WAIT_S)


def excerpt(text: str, length: int = 200) -> str:
    """Start of an untrusted text as one printable line."""
    line = "".join(c if c.isprintable() else " " for c in text[: 4 * length])
    line = " ".join(line.split())
    return line if len(line) <= length else line[:length] + "…"


def _checked_url(base_url: str) -> httpx.URL:
    example = "use one such as http://127.0.0.1:8000/v1"
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ScorerSetupError(f"scorer openai: {excerpt(base_url)!r} is not a valid address ({error}); {example}") from error
    if url.userinfo:
        shown = url.copy_with(username=None, password=None, query=None)
        raise ScorerSetupError(
            f"scorer openai: the address {shown} contains a user name or password, which would be stored with every "
            "score; remove it and put the key into the environment variable OPENAI_API_KEY"
        )
    if url.scheme not in ("http", "https") or not url.host:
        raise ScorerSetupError(f"scorer openai: {excerpt(base_url)!r} is not an http or https address; {example}")
    return url


def _seconds(retry_after: str | None) -> float | None:
    """Parse Retry-After: seconds or a date."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if seconds == seconds else None
