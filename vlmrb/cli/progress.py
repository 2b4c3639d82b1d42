"""Progress on stderr: a bar on a terminal, an occasional line elsewhere, nothing when quiet."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Any

from vlmrb.cli.text import plain

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Shows the progress of a task.

    Args:
        total: number of units to do.
        unit: their name, such as 'steps'.
        quiet: show nothing.
        start: units already done.
    """

    def __init__(self, total: int, unit: str, *, quiet: bool = False, start: int = 0) -> None:
        self._total, self._unit, self._quiet, self._done = total, unit, quiet, start
        self._bar: Any = None
        self._last_line = time.monotonic()
        if not quiet and _can_draw():
            from tqdm import tqdm

            self._bar = tqdm(
                total=total,
                initial=start,
                unit_scale=True,
                dynamic_ncols=True,
                file=sys.stderr,
                bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} " + unit + " [{elapsed}<{remaining}{postfix}]",
            )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def update(self, done: int, figures: str = "") -> None:
        """Report that `done` units of the total are done, with figures to show next to them."""
        advance, self._done = done - self._done, done
        if self._bar is not None:
            self._bar.set_postfix_str(plain(figures), refresh=False)
            self._bar.update(advance)
        elif not self._quiet and time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._print_line(figures)

    def note(self, message: str) -> None:
        """Print a permanent line above the bar."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.write(plain(message), file=sys.stderr)
        else:
            print(plain(message), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Close the bar; its last state stays on screen."""
        if self._bar is not None:
            self._bar.close()

    def _print_line(self, figures: str) -> None:
        self._last_line = time.monotonic()
        share = 100 * self._done / max(1, self._total)
        print(f"{self._done}/{self._total} {self._unit} ({share:.0f} %) {plain(figures)}".rstrip(), file=sys.stderr, flush=True)


def _can_draw() -> bool:
    """Whether stderr is a terminal with a size; some pseudo-terminals report none."""
    try:
        return sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except OSError:
        return False
