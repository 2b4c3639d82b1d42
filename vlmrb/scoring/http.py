"""A JSON client that does not trust its server: bounded replies, one deadline per try, retries with back-off, secrets masked."""

from __future__ import annotations

import email.utils
import json
import random
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import httpcore
import httpx

from vlmrb.errors import ScorerSetupError
from vlmrb.scoring.masking import Mask
from vlmrb.scoring.network import Deadline, DeadlineBackend, certificates, proxy_for

MAX_REPLY_BYTES = 2 * 2**20
"""Of a body, as sent and after each decoding."""

MAX_WAIT_S = 60.0
"""Longest pause that a server can request with Retry-After."""

_RETRIED = frozenset({408, 409, 425, 429, *range(500, 600)})
_FAILURES = (
    OSError,
    RuntimeError,  # closed in the meantime
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
)
_ENCODINGS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_MASKED = 10_000  # characters: more of a text is never quoted
_LEAST_QUERY_SECRET = 8  # characters: shorter values in an address are versions and the like


class NoReplyError(Exception):
    """No usable reply after all tries; the text says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete reply within the size limit.

    Attributes:
        status: HTTP status.
        body: the decoded body.
        retry_after_s: seconds that the server asks us to wait, or None.
        mask: hides secrets; what is shown of a reply goes through `quote`.
    """

    status: int
    body: bytes
    retry_after_s: float | None = None
    mask: Mask = field(default_factory=Mask)

    def json(self) -> Any:
        """The decoded body; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def text(self) -> str:
        """The start of the body as text; untrusted and with secrets."""
        return self.body[:_MASKED].decode(errors="replace")

    def message(self) -> str:
        """The server's error message as one short line, without secrets."""
        body = self.json()
        error = body.get("error", body) if isinstance(body, dict) else None
        said = error.get("message") or error.get("detail") if isinstance(error, dict) else error
        return self.quote(said if isinstance(said, str) else self.text())

    def quote(self, text: str, length: int = 200) -> str:
        """The start of a text of this reply as one printable line, without secrets."""
        return excerpt(self.mask(text[:_MASKED]), length)


class Http:
    """Requests to one server, safe to use from several threads.

    An address on this machine is never reached through a proxy, others through the one in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY.

    Attributes:
        shown_url: the base address without its query, safe to show.
        mask: hides the key, long values of the address's query, and the proxy's password.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str,
        timeout_s: float,
        retries: int,
        kind: str = "openai",
        key_name: str = "OPENAI_API_KEY",
    ) -> None:
        """Check the address; nothing is sent yet.

        Args:
            base_url: http or https, without user name and password.
            api_key: sent as a bearer token unless empty.
            timeout_s: total seconds allowed per try, from resolving the name to the last byte.
            retries: further tries after the first.
            kind, key_name: of the scorer, and the environment variable of its key, for messages.

        Raises:
            ScorerSetupError: invalid address or key, or an unusable proxy or SSL_CERT_FILE in the environment.
        """
        self._url = _checked_url(base_url, kind, key_name)
        self.shown_url = str(self._url.copy_with(query=None, fragment=None))
        api_key = api_key.strip()
        if not api_key.isascii() or not api_key.isprintable():
            raise ScorerSetupError(f"the environment variable {key_name} contains invalid characters; set it again")
        self._timeout_s, self._retries = timeout_s, retries
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "vlmrb"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        proxy = proxy_for(self._url)
        in_query = (value for _, value in self._url.params.multi_items() if len(value) >= _LEAST_QUERY_SECRET)
        self.mask = Mask(api_key, *in_query, *((proxy.auth[1].decode(errors="replace"),) if proxy and proxy.auth else ()))
        self._deadline = Deadline()
        self._pool = httpcore.ConnectionPool(
            ssl_context=certificates() if self._url.scheme == "https" else None,
            proxy=proxy,
            max_connections=None,
            max_keepalive_connections=32,
            keepalive_expiry=5.0,
            network_backend=DeadlineBackend(self._deadline),
        )
        self._closing = threading.Event()

    def get(self, path: str, headers: Mapping[str, str] = MappingProxyType({})) -> Reply:
        """GET `base_url + path` with further headers; any status counts as a reply, only a missing reply is retried.

        Raises:
            NoReplyError: no reply after all tries.
        """
        return self._request("GET", path, None, frozenset(), headers)

    def post(self, path: str, payload: dict[str, Any]) -> Reply:
        """POST `payload` as JSON to `base_url + path`; also retried after status 408, 409, 425, 429 and 5xx.

        Raises:
            NoReplyError: no reply after all tries.
        """
        return self.post_bytes(path, json.dumps(payload).encode(), "application/json")

    def post_bytes(
        self, path: str, content: bytes, content_type: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> Reply:
        """The same with other content and further headers.

        Raises:
            NoReplyError: no reply after all tries.
        """
        return self._request("POST", path, content, _RETRIED, {"Content-Type": content_type, **headers})

    def close(self) -> None:
        """Cancel pending retries and close the connections."""
        self._closing.set()
        self._pool.close()

    def _request(
        self, method: str, path: str, content: bytes | None, retried: frozenset[int], headers: Mapping[str, str]
    ) -> Reply:
        failure, asked_pause = "", 0.0
        for attempt in range(self._retries + 1):
            if self._closing.wait(_pause(attempt, asked_pause) if attempt else 0.0):
                break
            try:
                with self._deadline.within(self._timeout_s):
                    reply = self._try(method, path, content, headers)
            except _FAILURES as error:
                failure, asked_pause = excerpt(self.mask(f"{type(error).__name__}: {error}")), 0.0
                continue
            if reply.status not in retried:
                return reply
            failure, asked_pause = f"status {reply.status}: {reply.message()}", reply.retry_after_s or 0.0
        if self._closing.is_set():
            raise NoReplyError("the scorer has been closed")
        raise NoReplyError(f"{failure} ({self._retries + 1} tries)" if self._retries else failure)

    def _try(self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]) -> Reply:
        url = self._url.copy_with(path=self._url.path.rstrip("/") + path)
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        given = [*self._headers.items(), *headers.items()]
        with self._pool.stream(method, target, headers=given, content=content) as response:
            body = bytearray()
            for chunk in response.iter_stream():
                body += chunk
                if len(body) > MAX_REPLY_BYTES:
                    return Reply(response.status, _TOO_LONG)
        encodings, retry_after = (_header(response, name) for name in (b"content-encoding", b"retry-after"))
        return Reply(response.status, _decoded(bytes(body), encodings), _seconds(retry_after), self.mask)


_TOO_LONG = b"a reply of more than %d bytes" % MAX_REPLY_BYTES


def _header(response: httpcore.Response, name: bytes) -> str:
    """A header's value; several are joined with commas."""
    return ",".join(value.decode("latin-1") for key, value in response.headers if key.lower() == name)


def _decoded(body: bytes, encodings: str) -> bytes:
    """The body without its encodings (we ask for none, and some proxies do not listen), or words that say why it is unreadable.

    A few bytes can decode to gigabytes: no more than MAX_REPLY_BYTES of them are made, and only by decoders that can be stopped.
    """
    for encoding in reversed(encodings.lower().split(",")):
        if (name := encoding.strip()) in ("", "identity"):
            continue
        if name not in _ENCODINGS:
            return f"a reply in the encoding {excerpt(name, 40)!r}; only gzip and deflate are read".encode()
        try:
            body = zlib.decompressobj(_ENCODINGS[name]).decompress(body, MAX_REPLY_BYTES + 1)
        except zlib.error:
            return f"a reply that is not in the encoding {name} that it names".encode()
        if len(body) > MAX_REPLY_BYTES:
            return _TOO_LONG
    return body


def _pause(attempt: int, asked: float) -> float:
    """Seconds before the next try: 0.5, 1, 2, … with jitter, or what the server asks for if that is longer."""
    backoff = 0.5 * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # jitter keeps threads from retrying in lockstep
    return min(max(backoff, asked), MAX_WAIT_S)


def excerpt(text: str, length: int = 200) -> str:
    """Start of an untrusted text as one printable line."""
    line = "".join(c if c.isprintable() else " " for c in text[: 4 * length])
    line = " ".join(line.split())
    return line if len(line) <= length else line[:length] + "…"


def _checked_url(base_url: str, kind: str, key_name: str) -> httpx.URL:
    example = "use one such as http://127.0.0.1:8000/v1"
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ScorerSetupError(f"scorer {kind}: {excerpt(base_url)!r} is not a valid address ({error}); {example}") from error
    if url.userinfo:
        shown = url.copy_with(username=None, password=None, query=None)
        raise ScorerSetupError(
            f"scorer {kind}: the address {shown} contains a user name or password, which would be stored with every "
            f"score; remove it and put the key into the environment variable {key_name}"
        )
    if url.scheme not in ("http", "https") or not url.host:
        raise ScorerSetupError(f"scorer {kind}: {excerpt(base_url)!r} is not an http or https address; {example}")
    return url


def _seconds(retry_after: str) -> float | None:
    """Parse Retry-After: seconds or a date."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds else None
