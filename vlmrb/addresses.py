"""Addresses of places for checkpoints: the setting `checkpoints`."""

from __future__ import annotations

import os
import re
from pathlib import Path

LOCAL = "local"
"""On this machine, in the run's own folder."""

VARIABLE = "VLMRB_CHECKPOINTS"
"""The environment variable that says where new runs keep theirs."""

FORM = f"a folder, a URL such as s3://bucket/folder or gs://bucket/folder, or {LOCAL!r} for this machine"


def parse_address(text: str) -> str:
    """'local', an absolute folder, or a URL without a slash at its end.

    Raises:
        ValueError: it is none of these, or holds something that is to be kept secret; the message is the way out.
    """
    text = text.strip()
    if not text or not text.isprintable():
        raise ValueError(f"allowed: {FORM}")
    if text == LOCAL:
        return text
    scheme, separator, rest = text.partition("://")
    if not separator:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", text):
            raise ValueError(f"a URL has '://' after its scheme; allowed: {FORM}")
        return str(Path(os.path.normpath(Path(text).expanduser().absolute())))
    scheme = scheme.lower()
    if scheme == "file":
        return parse_address(f"/{rest.lstrip('/')}")
    if "::" in text or re.search(r"[?#]", rest) or ":" in rest.rpartition("@")[0]:
        raise ValueError(
            "it is stored and shown with the run, and so may hold no key, password or option: give these by the environment "
            "(such as AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL) or the store's own configuration file"
        )
    _check_scheme(scheme)
    if not rest.strip("/"):
        raise ValueError(f"names no bucket or folder; allowed: {FORM}")
    return f"{scheme}://{rest.rstrip('/')}"


def masked(text: object) -> str:
    """What was given as an address, for a message: of a URL, which may hold a password, its scheme."""
    return re.sub(r"://.*", "://…", repr(text), flags=re.DOTALL)


def without_secrets(words: str) -> str:
    """A message of a library with the passwords of URLs in it left out."""
    return re.sub(r"://[^\s/@]*:[^\s/@]*@", "://…@", words)


def _check_scheme(scheme: str) -> None:
    from fsspec import available_protocols  # takes a moment

    if scheme not in available_protocols():
        known = "s3, gs, abfs, sftp, smb, hdfs and others that fsspec knows"
        raise ValueError(f"nothing is known of {scheme}://; known are {known}")
