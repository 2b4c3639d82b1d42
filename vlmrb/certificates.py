"""What is wrong with the certificates that the environment names."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def certificate_problem(variable: str) -> str:
    """Why the certificates that one of VARIABLES names cannot be used; '' if they can, or it is not set."""
    value = os.environ.get(variable, "")
    if not value:
        return ""
    path = Path(value)
    try:
        if not path.exists():
            return "does not exist"
        if variable == "SSL_CERT_DIR":
            return "" if path.is_dir() else "is not a folder"
        if not path.is_file():  # a pipe would be waited for
            return "is not a regular file"
        ssl.create_default_context(cafile=value)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        return f"cannot be used ({getattr(error, 'strerror', None) or error})"
    return ""
