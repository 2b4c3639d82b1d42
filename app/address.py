"""Host names and addresses in requests and options. Nothing here raises for what a browser can send."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from vlmrb.errors import ConfigError

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}))(:(?P<port>[0-9]{1,5}))?")
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a reverse proxy serves the studio.

    Attributes:
        path: '' or a path without a slash at its end, such as '/vlmrb'.
        host: host name and port as browsers send them, or '' if any may be.
    """

    path: str = ""
    host: str = ""


def parse_address(text: str) -> Address:
    """Read a path such as '/vlmrb', or an address such as 'https://lab.example/vlmrb'.

    Raises:
        ConfigError: it is neither.
    """
    refusal = ConfigError(
        f"--root-path {text!r}: give the path under which a proxy serves the studio, such as /vlmrb, "
        "or its whole address, such as https://lab.example/vlmrb"
    )
    try:
        parts = urlsplit(text)
    except ValueError:
        raise refusal from None
    host = parts.netloc.lower()
    with_scheme = parts.scheme in ("http", "https") and host_name(host) is not None
    if not (with_scheme or (not parts.scheme and not host)) or parts.query or parts.fragment or not _PATH.fullmatch(parts.path):
        raise refusal
    return Address(parts.path.rstrip("/"), host)


def host_name(host: str) -> str | None:
    """'localhost:7860' → 'localhost', '[::1]:7860' → '::1'; None if it is no host name with or without a port."""
    found = _HOST.fullmatch(host)
    if found is None or int(found["port"] or 0) > 65_535:
        return None
    name = found["name"].strip("[]")
    if found["name"].startswith("[") or re.fullmatch(r"[0-9.]+", name):
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return None
    return name


def host_of(origin: str) -> str | None:
    """'http://localhost:7860' → 'localhost:7860'; None if it is no origin of a page."""
    scheme, separator, host = origin.partition("://")
    return host.lower() if separator and scheme in ("http", "https") and host_name(host) is not None else None


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free port.

    Raises:
        ConfigError: the address cannot be used.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        raise ConfigError(
            f"--host {host} --port {port}: cannot listen on this address ({error.strerror or error}); "
            "is a studio already running? give another port, or 0 for any free one"
        ) from error
    return listening
