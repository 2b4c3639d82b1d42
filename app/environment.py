"""Settings of proxies and certificates in the environment. The studio calls nobody; the jobs that it starts may."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@contextmanager
def no_proxies() -> Iterator[None]:
    """Without the settings of proxies and certificates: Gradio makes HTTP clients when it is imported, and fails with some."""
    names = {*_PROXIES, *(name.lower() for name in _PROXIES), *CERTIFICATES}
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def certificate_problems() -> list[str]:
    """What is wrong with the certificates that the environment names, each with the way out."""
    return [words for name in CERTIFICATES if (words := _problem(name, os.environ.get(name, "")))]


def _problem(name: str, value: str) -> str:
    if not value:
        return ""
    path = Path(value)
    reason = ""
    try:
        if not path.exists():
            reason = "does not exist"
        elif name == "SSL_CERT_FILE":
            ssl.create_default_context(cafile=value)
        elif not path.is_dir():
            reason = "is not a folder"
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = f"cannot be used ({getattr(error, 'strerror', None) or error})"
    return reason and (
        f"{name}={value!r} {reason}: the studio works, but runs cannot reach HTTPS servers, "
        "such as the Hugging Face Hub; correct it or unset it"
    )
