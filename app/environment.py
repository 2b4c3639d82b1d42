"""Settings of proxies and certificates in the environment. The studio calls nobody; the jobs that it starts may."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from vlmrb.certificates import VARIABLES, certificate_problem

_PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@contextmanager
def no_proxies() -> Iterator[None]:
    """Without the settings of proxies and certificates: Gradio makes HTTP clients when it is imported, and fails with some."""
    names = {*_PROXIES, *(name.lower() for name in _PROXIES), *VARIABLES}
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def certificate_problems() -> list[str]:
    """What is wrong with the certificates that the environment names, each with the way out."""
    return [
        f"{name}={os.environ[name]!r} {reason}: the studio works, but runs cannot reach HTTPS servers, "
        "such as the Hugging Face Hub; correct it or unset it"
        for name in VARIABLES
        if (reason := certificate_problem(name))
    ]
