"""What the HTTP client runs on: sockets that keep one deadline per call, the way to a server, and certificates.

A time-out per read never ends a server that sends a byte now and then. Here every wait of a call (name resolution, connecting,
TLS, sending, headers, body) gets what is left until its deadline.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

from vlmrb.certificates import certificate_problem
from vlmrb.errors import ScorerSetupError
from vlmrb.hosts import is_loopback

_PIECE = 2**14  # bytes sent per wait
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")


class Deadline(threading.local):
    """When the current thread's call ends; shared by the connections of a pool, which threads take turns to use."""

    def __init__(self) -> None:
        self._at = float("inf")
        self._seconds = float("inf")

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Everything that this thread does inside must end in time."""
        self._at, self._seconds = time.monotonic() + seconds, seconds
        try:
            yield
        finally:
            self._at = float("inf")

    def left(self) -> float:
        """Seconds left, more than 0.

        Raises:
            httpcore.ReadTimeout: there are none.
        """
        left = self._at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout(f"no complete reply within {self._seconds:g} s")
        return left


class DeadlineBackend(httpcore.NetworkBackend):
    """Opens connections whose every wait ends at the calling thread's deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline, self._sockets = deadline, httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first of the host's addresses that accepts."""
        failure: Exception = httpcore.ConnectError(f"the name {host} has no address")
        for address in _addresses(host, port, self._deadline.left()):
            try:
                left = self._deadline.left()
                return _Stream(self._sockets.connect_tcp(address, port, left, local_address, socket_options), self._deadline)
            except httpcore.ConnectError as error:
                failure = error
        raise failure


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            self._stream.write(buffer[start : start + _PIECE], self._deadline.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, self._deadline.left()), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _addresses(host: str, port: int, seconds: float) -> list[str]:
    """Numeric addresses of a host. The system's resolver has no time-out, so that it gets a thread to wait in."""
    found: list[str] = []
    failure: list[OSError] = []

    def resolve() -> None:
        try:
            found.extend(str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            failure.append(OSError(error))

    resolving = threading.Thread(target=resolve, name="vlmrb-resolve", daemon=True)
    resolving.start()
    resolving.join(seconds)
    if resolving.is_alive():
        raise httpcore.ConnectTimeout(f"the name {host} was not resolved within {seconds:.3g} s")
    if failure:
        raise httpcore.ConnectError(str(failure[0]))
    return found


def keep_loopback_direct() -> None:
    """Tell this process's other HTTP clients, which read the environment, not to ask a proxy for this machine."""
    spared = urllib.request.getproxies().get("no", "").split(",")
    missing = [host for host in ("localhost", "127.0.0.1", "::1") if host not in spared]
    if missing and "*" not in spared:
        os.environ["no_proxy"] = ",".join(filter(None, [*spared, *missing]))


def proxy_for(url: httpx.URL) -> httpcore.Proxy | None:
    """The proxy that the environment names for an address; never one for this machine, nor for hosts in NO_PROXY.

    Raises:
        ScorerSetupError: it is unusable.
    """
    proxies = urllib.request.getproxies()
    given = proxies.get(url.scheme) or proxies.get("all")
    if not given or is_loopback(url.host, to_connect=True) or urllib.request.proxy_bypass(url.netloc.decode()):
        return None
    variable = f"{url.scheme}_proxy" if proxies.get(url.scheme) else "all_proxy"
    where = f"the environment variable {variable.upper()} (or {variable})"
    way_out = f"correct or unset it, or add {url.host} to NO_PROXY"
    try:
        proxy = httpx.URL(given if "://" in given else f"http://{given}")
    except httpx.InvalidURL as error:
        raise ScorerSetupError(f"{where} is not a valid address ({error}); {way_out}") from error
    shown = proxy.copy_with(username=None, password=None)
    if proxy.scheme not in _PROXY_SCHEMES or not proxy.host:
        raise ScorerSetupError(f"{where} is {str(shown)!r}; a proxy is one of {', '.join(_PROXY_SCHEMES)}; {way_out}")
    if proxy.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise ScorerSetupError(f"{where} is {str(shown)!r}; that takes a package: pip install socksio; or {way_out}")
    return httpcore.Proxy(
        url=httpcore.URL(scheme=proxy.raw_scheme, host=proxy.raw_host, port=proxy.port, target=b"/"),
        auth=(proxy.username, proxy.password) if proxy.userinfo else None,
        ssl_context=certificates() if proxy.scheme == "https" else None,
    )


def certificates() -> ssl.SSLContext:
    """The certificates that servers are checked with: those of SSL_CERT_FILE or SSL_CERT_DIR if set.

    Raises:
        ScorerSetupError: SSL_CERT_FILE does not hold certificates.
    """
    if problem := unusable_certificates():
        raise ScorerSetupError(problem)
    return httpx.create_ssl_context()


def unusable_certificates() -> str:
    """What is wrong with the file that SSL_CERT_FILE names, with the way out; '' if it is usable or not set."""
    reason = certificate_problem("SSL_CERT_FILE")
    return reason and (
        f"the environment variable SSL_CERT_FILE names {os.environ['SSL_CERT_FILE']!r}, which {reason}; "
        "give a file with certificates in PEM format, or unset it"
    )
