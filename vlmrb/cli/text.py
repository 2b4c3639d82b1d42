"""Output of the commands: tables for people, JSON for programs, and no control characters from untrusted text."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_ESCAPE_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # OSC, DCS, SOS, PM, APC: titles, clipboards, links
    r"|\x9b[0-?]*[ -/]*[@-~]"  # CSI as one C1 character
    r"|\x1b.?",
    re.DOTALL,
)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def plain(text: object, *, lines: bool = False) -> str:
    """Text without terminal escapes, control characters and direction marks; line breaks become spaces unless `lines`."""
    found = _CONTROL.sub("", _ESCAPE_SEQUENCE.sub("", str(text)).replace("\r\n", "\n"))
    return found if lines else re.sub(r"[\n\t]+", " ", found)


def shorten(text: object, width: int) -> str:
    """One plain line of at most `width` characters."""
    found = plain(text)
    return found if len(found) <= width else found[: width - 1] + "…"


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]], *, markdown: bool = False) -> None:
    """Print rows under headers, as aligned columns or as a Markdown table. Cells go through `plain` first."""
    cells = [[plain(cell) for cell in row] for row in rows]
    if markdown:
        cells = [[cell.replace("|", "\\|") for cell in row] for row in cells]
        print("| " + " | ".join(headers) + " |")
        print("|" + "---|" * len(headers))
        for row in cells:
            print("| " + " | ".join(row) + " |")
        return
    widths = [max(len(row[i]) for row in [list(headers), *cells]) for i in range(len(headers))]
    for row in [list(headers), *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_pairs(pairs: Mapping[str, object]) -> None:
    """Print 'name  value' lines, aligned; continued lines of a value are indented."""
    width = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        print(f"{name.ljust(width)}  " + plain(value, lines=True).replace("\n", "\n" + " " * (width + 2)))


def print_json(value: Any) -> None:
    """Print one line of strict JSON: ASCII, so that no character can control the terminal; NaN and infinities are null."""
    print(json.dumps(to_json(value), allow_nan=False), flush=True)


def to_json(value: Any) -> Any:
    """Convert records, arrays and paths to plain lists, dictionaries, numbers and strings."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        return to_json(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json(item) for item in value]
    if isinstance(value, np.ndarray):
        return to_json(value.tolist())
    if isinstance(value, np.generic):
        return to_json(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return value


def complain(message: object) -> None:
    """Print an error to stderr, each line prefixed with the program's name."""
    for line in plain(message, lines=True).splitlines() or [""]:
        print(f"vlmrb: {line}", file=sys.stderr)


def percent(share: float | None) -> str:
    """0.834 → '83 %'; None → '–'."""
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.0f} %"


def number(value: float | None, digits: int = 3) -> str:
    """A short number; None and NaN → '–'."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}g}"


def steps(value: float | None) -> str:
    """140000 → '140k'; None → '–'."""
    if value is None:
        return "–"
    return f"{value / 1000:g}k" if value >= 1000 and value % 100 == 0 else f"{value:.0f}"


def ago(moment: float | None) -> str:
    """Seconds since the epoch → '5 min ago'; None → '–'."""
    return "–" if moment is None else f"{duration(time.time() - moment)} ago"


def duration(seconds: float) -> str:
    """300.0 → '5 min'; negative values → '0 s'."""
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def size(n_bytes: float) -> str:
    """1500000 → '1.5 MB'."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= limit:
            return f"{n_bytes / limit:.1f} {unit}"
    return f"{n_bytes:.0f} B"
