"""Every page, in both themes and at three widths: it reports no error, stays where it is, is legible, fits, and can be used
without a mouse. What is measured, and how, stands in tests/scripts/audit.js."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from app.demo import ARCHIVE, STORE, unpack
from tests.browser.conftest import WAIT_MS, running_studio
from tests.browser.trials import add_trials
from vlmrb import Store
from vlmrb.assets import asset_path

AUDIT = Path(__file__).resolve().parents[1] / "scripts" / "audit.js"
LONG_NAME = "a_run_whose_name_" + "never_ends_" * 12
STILL = 0.01  # cumulative layout shift; the web's own bound for 'good' is 0.1
MOST_STOPS = 400  # presses of Tab

# what is opened, and what is pressed there, by role and name
PAGES = {
    "runs": ("", []),
    "menu of a run": ("", [("button", "Menu of run 2")]),
    "settings of runs": ("?diff=1,2,3", []),
    "run": ("run?run=7", []),
    "run without labels": ("run?run=3", []),
    "microscope": ("run?run=7&beside=8", []),
    "branch": ("run?run=7", [("button", "Branch…")]),
    "tags": ("run?run=7", [("button", "Tags…")]),
    "no run": ("run?run=99", []),
    "clips": ("clips", []),
    "no clips": ("clips?event=nothing", []),
    "clip": ("clips?run=7&clip=70000100", []),
    "clips side by side": ("clips?run=7&watch=70000100,70000101,70000102", []),
    "label queue": ("clips?run=7&queue=disagreement", []),
    "compare": ("compare", []),
    "runs to compare": ("compare", [("button", "Choose runs")]),
    "launch": ("launch", []),
    "launch again": ("launch?like=7", []),
    "prompts": ("prompts", []),
    "trial": ("prompts?trial=1", []),
    "bench": ("prompts?bench=1,2", []),
    "studies": ("studies", []),
    "study": ("studies?study=replay-8x8", []),
    "keys": ("", [("keys", "?")]),
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a studio on the demo store, with two trials, a live change and a very long name."""
    folder = tmp_path_factory.mktemp("demo") / "store"
    unpack(asset_path(ARCHIVE), folder)
    with Store(str(folder / STORE)) as store:
        add_trials(store, 7)
        store.rename_run(2, LONG_NAME)
        store.tag_run(2, ["kept", "to show"])
    with running_studio(folder / STORE) as studio:
        yield studio.url
    shutil.rmtree(folder)


@contextmanager
def opened(chromium: Browser, url: str, *, width: int = 1280) -> Iterator[tuple[Page, list[str]]]:
    """A page with the audit in it, and what it reports as an error."""
    context = chromium.new_context(viewport={"width": width, "height": 900})
    context.set_default_timeout(2 * WAIT_MS)
    page = context.new_page()
    page.add_init_script(path=str(AUDIT))
    errors: list[str] = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("requestfailed", lambda request: errors.append(f"failed: {request.url}"))
    page.on("response", lambda reply: errors.append(f"{reply.status}: {reply.url}") if reply.status >= 400 else None)
    try:
        page.goto(url)
        settle(page)
        yield page, errors
    finally:
        context.close()


def settle(page: Page) -> None:
    page.wait_for_function("audit.settled()")
    page.evaluate("audit.drawn()")


def faults_of(page: Page) -> dict[str, Any]:
    """What is wrong with how the page looks."""
    return {key: found for key, found in page.evaluate("audit.faults()").items() if found}


def moved_on(page: Page) -> dict[str, Any]:
    """What has moved by itself. On a machine so busy that the page had to be shown before it was whole, it may."""
    shifts = page.evaluate("audit.shifts()")
    return {} if shifts["early"] or shifts["sum"] <= STILL else {"moved": shifts["moved"]}


def press_all(page: Page, presses: list[tuple[str, str]]) -> None:
    for role, name in presses:
        if role == "keys":
            page.keyboard.press(name)
        else:
            page.get_by_role(role, name=name).first.click()
        settle(page)


def walk(page: Page) -> list[str]:
    """What is wrong with the way through the page with the Tab key, from what has the focus to where it starts again.

    At the end of a page the focus leaves it, and comes back at its top.
    """
    wrong, left = [], page.evaluate("audit.focus()") is None
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        stop = page.evaluate("audit.focus()")
        if stop is None and not left:
            left = True
            continue
        if stop is None or stop["again"]:
            break
        wrong += [f"{stop['name']} {words}" for words in stop["wrong"]]
    else:
        wrong.append(f"no end after {MOST_STOPS} stops")
    return wrong + page.evaluate("audit.unreached()")


FAULTY = """<!doctype html><body style="margin: 0; background: #fff">
<p style="color: #999">pale</p>
<p style="color: rgb(0 0 0 / 40%)">translucent</p>
<div style="opacity: 0.3"><b>faded</b></div>
<svg width="200" height="30"><text y="20" fill="#bbb">drawn</text></svg>
<input placeholder="hint"><style>::placeholder { color: #ccc } .still:focus { outline: none }</style>
<p style="width: 60px; overflow: hidden; white-space: nowrap">a sentence that ends too early</p>
<div id="page"><div class="panel" style="width: 200px"><p style="width: 300px; background: #fff">beyond its card</p></div>
<p style="width: 3000px">beyond the page</p></div>
<button class="still">unmarked</button><button tabindex="-1">skipped</button><div style="cursor: pointer">mouse</div>
<p style="color: #767676">fine</p><p style="color: #949494; font-size: 24px">large</p>
<button disabled style="color: #ccc">off</button>
<div style="position: relative; width: 90px; height: 30px"><canvas width="90" height="30" style="position: absolute"></canvas>
<span style="position: absolute; color: #fff">on a picture</span></div>
</body>"""


def test_the_audit_finds_what_is_wrong_with_a_page(chromium: Browser) -> None:
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.add_init_script(path=str(AUDIT))
    page.goto("about:blank")
    page.set_content(FAULTY)
    faults = faults_of(page)
    for kind, words in (
        ("hard to read", ["pale", "translucent", "faded", "drawn", "on a picture", "placeholder"]),
        ("too wide", ["page: 3", "out of its card", "beyond the page"]),
        ("cut off", ["a sentence"]),
    ):
        assert len(faults[kind]) == len(words), faults[kind]
        assert all(word in found for word, found in zip(words, faults[kind], strict=True)), faults[kind]
    page.evaluate("document.body.prepend(Object.assign(document.createElement('h1'), { textContent: 'late' }))")
    page.wait_for_function("audit.shifts().sum > 0")
    wrong = walk(page)
    assert len(wrong) == 3 and "'unmarked' shows no focus" in wrong[0] and "'skipped'" in wrong[1] and "mouse" in wrong[2], wrong
    page.close()


def test_the_pages_hold_still_fit_and_are_legible_and_report_no_error(chromium: Browser, demo: str) -> None:
    found = {}
    for path in ("", "run?run=7", "clips", "prompts", "launch", "studies", "compare"):
        with opened(chromium, demo + path) as (page, errors):
            found[path] = faults_of(page) | moved_on(page) | ({"errors": errors} if errors else {})
    assert {path: faults for path, faults in found.items() if faults} == {}


@pytest.mark.slow
def test_captions_show_a_goal_that_was_reached(chromium: Browser, demo: str) -> None:
    with opened(chromium, f"{demo}clips?run=7&event=goal_reached") as (page, _):
        cut = """() => [...document.querySelectorAll(".clip-events")].map((caption) => {
            const at = caption.textContent.indexOf("goal reached");
            const words = document.createRange();
            words.setStart(caption.firstChild, at);
            words.setEnd(caption.firstChild, at + "goal reached".length);
            const [shown, there] = [words.getBoundingClientRect(), caption.getBoundingClientRect()];
            return at < 0 || shown.bottom > there.bottom + 1 || shown.right > there.right + 1;
        })"""
        found = page.evaluate(cut)
        assert len(found) == 48 and not any(found)


@pytest.mark.slow
@pytest.mark.parametrize("width", [800, 1280, 1920])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_at_every_width_and_in_both_themes(chromium: Browser, demo: str, name: str, width: int) -> None:
    path, presses = PAGES[name]
    with opened(chromium, demo + path, width=width) as (page, errors):
        press_all(page, presses)
        page.wait_for_timeout(1_500)  # what comes late must not move anything
        assert faults_of(page) | moved_on(page) == {}
        page.evaluate("document.querySelectorAll('#page details, dialog details').forEach((each) => { each.open = true; })")
        for theme in ("light", "dark"):
            page.evaluate("(theme) => document.body.classList.toggle('dark', theme === 'dark')", theme)
            page.evaluate("document.dispatchEvent(new CustomEvent('studio:theme'))")  # charts take their colours from it
            settle(page)
            assert faults_of(page) == {}, theme
        assert errors == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [800, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_everything_on_a_page_is_reached_with_the_tab_key_and_shows_its_focus(
    chromium: Browser, demo: str, name: str, width: int
) -> None:
    path, presses = PAGES[name]
    with opened(chromium, demo + path, width=width) as (page, _):
        press_all(page, presses)
        assert walk(page) == []
