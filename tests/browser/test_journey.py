"""The whole journey in a real browser: launch, watch, change, browse, disagree, compare, stop, resume; and crashes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.waiting import wait_until
from vlmrb import Store
from vlmrb.types import ClipFilter

LONG_MS = 90_000
Start = Callable[..., Any]


@pytest.fixture
def new_store(tmp_path: Path) -> Iterator[Path]:
    """A store that does not exist yet; its runs are killed after the test."""
    path = tmp_path / "runs.db"
    yield path
    if not path.exists():
        return
    with Store(str(path)) as store:
        for job in store.jobs(status="queued"):
            store.cancel_job(job.job_id)
        processes = [psutil.Process(job.pid) for job in store.jobs(status="running") if job.pid]
    for process in processes:
        process.kill()
        process.wait(20)


def launch_long_runs(page: Page, url: str) -> None:
    """Fill in the launch form: three methods, one seed, more steps than a test waits for."""
    page.goto(f"{url}launch?preset=quick")
    expect(page.get_by_role("button", name="Launch 9 runs")).to_be_enabled()
    page.get_by_label("Seeds per method").fill("0")
    expect(page.get_by_role("button", name="Launch 3 runs")).to_be_enabled()
    page.get_by_label("Steps per run").fill("4000000")
    page.get_by_label("Name of the set").fill("long <b>runs</b>")
    page.get_by_text("All settings").click()
    page.get_by_label("eval_interval", exact=True).fill("1000")
    page.get_by_label("eval_episodes", exact=True).fill("2")
    page.get_by_label("learning_starts", exact=True).fill("500")
    page.get_by_label("checkpoint_interval", exact=True).fill("2000")
    page.get_by_role("button", name="Launch 3 runs").dblclick()
    page.wait_for_url("**/?launched=3")


def test_from_an_empty_store_to_a_run_that_was_changed_judged_compared_stopped_and_resumed(
    page: Page, new_store: Path, start_studio: Start, screenshot: Callable[[str], None]
) -> None:
    studio = start_studio(new_store)
    page.goto(studio.url)
    page.get_by_role("link", name="Launch the quick comparison").click()
    expect(page.get_by_role("button", name="Launch 9 runs")).to_be_enabled()
    screenshot("launch")
    launch_long_runs(page, studio.url)

    # a double click launches once; the first run trains
    expect(page.locator("tr[data-run]")).to_have_count(3)
    with Store(str(new_store)) as store:
        assert {run.set_name for run in store.runs()} == {"long <b>runs</b>"}
    expect(page.locator("tr[data-run='1']")).to_contain_text("running", timeout=LONG_MS)
    page.locator("tr[data-run='1'] a").first.click()
    expect(page.locator(".legendtoggle").first).to_be_attached(timeout=LONG_MS)

    # λ and prompt: requested, then applied at a step
    page.get_by_label("λ, number").fill("0.75")
    page.get_by_role("button", name="Apply λ").click()
    page.get_by_label("Prompt: a yes/no question about a clip").fill("Does the agent <i>drop</i> a key?")
    page.get_by_role("button", name="Apply prompt").click()
    expect(page.locator(".run-changes").get_by_text("applied at step")).to_have_count(2, timeout=LONG_MS)
    with Store(str(new_store)) as store:
        assert [(row.name, row.status) for row in store.live_changes(1)] == [("lambda", "applied"), ("prompt", "applied")]

    # its clips: one is played and disagreed with
    page.goto(f"{studio.url}clips?run=1&label=no")
    page.locator(".clip-link").first.click(timeout=LONG_MS)
    expect(page.locator(".strip-frame").first).to_be_visible(timeout=LONG_MS)
    page.get_by_role("button", name="Disagree").click()
    expect(page.get_by_text("Saved: you disagree.")).to_be_visible()
    with Store(str(new_store)) as store:
        assert len(store.find_clips(ClipFilter(human="disagreed"), "newest")) == 1

    # the set is compared by default
    page.goto(f"{studio.url}compare")
    expect(page.get_by_text("DoorKey-5x5, dqn").first).to_be_visible(timeout=LONG_MS)
    expect(page.get_by_text("No baseline runs to compare with").first).to_be_visible()

    # stop and resume
    page.goto(f"{studio.url}run?run=1")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("stopped", exact=True)).to_be_visible(timeout=LONG_MS)
    page.get_by_role("button", name="Resume", exact=True).click()
    expect(page.get_by_text("queued", exact=True).or_(page.get_by_text("running", exact=True))).to_be_visible(timeout=LONG_MS)


@pytest.mark.slow
def test_a_run_survives_closed_tabs_and_a_killed_studio(page: Page, new_store: Path, start_studio: Start) -> None:
    studio = start_studio(new_store)
    launch_long_runs(page, studio.url)
    expect(page.locator("tr[data-run='1']")).to_contain_text("running", timeout=LONG_MS)
    context = page.context

    # two tabs show the same run; one is closed, the other stays live
    other = context.new_page()
    other.goto(f"{studio.url}run?run=1")
    expect(other.get_by_text("running", exact=True)).to_be_visible(timeout=LONG_MS)
    other.close()
    expect(page.locator("tr[data-run='1']")).to_contain_text("running")

    # the studio is killed: the page says so, the run continues
    port = int(studio.url.rstrip("/").rpartition(":")[2])
    studio.kill()
    expect(page.get_by_text("studio not reachable")).to_be_visible(timeout=LONG_MS)
    with Store(str(new_store)) as store:
        before = store.run(1)
        wait_until(lambda: store.run(1).step > before.step, "the run to continue without the studio", LONG_MS / 1000)
        assert store.run(1).pid == before.pid

    # after a restart, the open page catches up by itself, and a new one shows the same
    start_studio(new_store, port)
    expect(page.locator(".activity")).not_to_contain_text("not reachable", timeout=LONG_MS)
    expect(page.locator(".activity")).to_contain_text("1 running", timeout=LONG_MS)
    again = context.new_page()
    again.goto(f"{studio.url}run?run=1")
    expect(again.get_by_text("running", exact=True)).to_be_visible(timeout=LONG_MS)
