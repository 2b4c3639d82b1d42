"""A real studio in a real browser: a process of its own, on a store with short real runs, viewed in Chromium.

Studios are forked from a process that has imported everything, since that takes most of the time that `python -m app` needs to
start. The command itself is tested in `tests/app/test_start.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tests.forked import FORKED
from vlmrb import Store, make_config

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("VLMRB_TEST_CHROMIUM", "/usr/bin/chromium")
WAIT_MS = 30_000


@dataclass
class StudioProcess:
    """A studio running in its own process."""

    url: str
    store: Path
    process: BaseProcess

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        self.process.kill()
        self.process.join(20)


@pytest.fixture(scope="session")
def recorded_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three short real runs of DoorKey-5x5: uniform (1), per (2), vlm with oracle labels (3). Read-only."""
    from vlmrb.train import train

    path = tmp_path_factory.mktemp("recorded") / "runs.db"
    common = {"env": "DoorKey-5x5", "total_steps": 3_000, "learning_starts": 500, "eval_interval": 500, "eval_episodes": 5,
              "log_interval": 250, "checkpoint_interval": 1_500, "scoring_batch_size": 4, "seed": 0}  # fmt: skip
    with Store(str(path)) as store:
        for replay, scorer in (("uniform", None), ("per", None), ("vlm", "oracle")):
            train(make_config(**common, replay=replay, scorer=scorer), store=store)
    return path


@pytest.fixture
def store_copy(recorded_store: Path, tmp_path: Path) -> Path:
    """A copy of the recorded store, which a test may change."""
    copy = tmp_path / "runs.db"
    with sqlite3.connect(recorded_store) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    target.close()
    for folder in recorded_store.parent.iterdir():
        if folder.is_dir():
            shutil.copytree(folder, tmp_path / folder.name)
    return copy


@contextmanager
def running_studio(store: Path, port: int = 0, *options: str) -> Iterator[StudioProcess]:
    """A studio on a store, which is stopped in the end."""
    said, says = FORKED.Pipe(duplex=False)
    arguments = ["--store", str(store), "--port", str(port), "--no-open", *options]
    process = FORKED.Process(target=run_studio, args=(arguments, dict(os.environ), says))
    process.start()
    says.close()
    lines: list[str] = []
    try:
        with open(said.fileno(), closefd=False) as output:
            for line in output:
                lines.append(line)
                found = re.search(r"http://\S+", line)
                if found:
                    yield StudioProcess(found.group(), store, process)
                    return
    finally:
        if process.is_alive():
            os.kill(process.pid, signal.SIGINT)
            process.join(20)
            process.kill()
        process.join()
        said.close()
    raise AssertionError(f"the studio did not start:\n{''.join(lines)}")


def run_studio(arguments: list[str], environment: dict[str, str], output: Connection) -> None:
    """What a studio's process does: `python -m app`, with these arguments."""
    from app.__main__ import main

    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    sys.stdout.reconfigure(line_buffering=True)
    os.environ.clear()
    os.environ.update(environment | {"OMP_NUM_THREADS": "1"})
    os.chdir(ROOT)
    sys.exit(main(arguments))


@pytest.fixture
def start_studio() -> Iterator[Callable[..., StudioProcess]]:
    """Start a studio on a store: `start_studio(path, port=0, *options)`. All are stopped after the test."""
    with ExitStack() as started:
        yield lambda *arguments: started.enter_context(running_studio(*arguments))


@pytest.fixture(scope="module")
def chromium():
    """One browser for the tests of a file. As long as it is there, Playwright's event loop keeps others out of this thread."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT_MS)  # the context's default does not apply to expectations
    if not Path(CHROMIUM).exists() and not os.environ.get("CI"):
        pytest.skip(f"there is no {CHROMIUM}; install Debian's chromium, or set VLMRB_TEST_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A fresh page at laptop width. The test fails if the page's scripts raise an error."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors, errors


@pytest.fixture
def screenshot(page) -> Callable[[str], None]:
    """Save screenshots of the page at three widths in $VLMRB_SCREENSHOTS, if it is set: `screenshot("runs")`."""

    def take(name: str) -> None:
        folder = os.environ.get("VLMRB_SCREENSHOTS")
        if not folder:
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        for width in (800, 1280, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(400)  # Plotly redraws with a delay after resizing; no test depends on it
            page.screenshot(path=str(Path(folder) / f"{name}-{width}.png"), full_page=True)
        page.set_viewport_size({"width": 1280, "height": 900})

    return take
