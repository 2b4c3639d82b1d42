"""Branches in a real browser: a run is branched in the dialog, and the pages show where the branches come from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect

from vlmrb import Store, jobs, make_config
from vlmrb.train import train

pytestmark = pytest.mark.slow

UPDATES_MS = 60_000
AT = 1_000


@pytest.fixture
def trunk(tmp_path: Path) -> Iterator[Path]:
    """A store with a finished run that kept a checkpoint, and has markup for a name. What the test started ends with it."""
    path = tmp_path / "runs.db"
    config = make_config(
        env="DoorKey-5x5", replay="uniform", total_steps=1_500, learning_starts=200, eval_interval=500, eval_episodes=2,
        log_interval=250, checkpoint_interval=500, seed=0, keep_checkpoints=f"every:{AT}",
    )  # fmt: skip
    with Store(str(path)) as store:
        jobs.set_job_limit(store, 1)
        run_id = train(config, store=store).run_id
        store.rename_run(run_id, "<img src=x onerror=alert(1)> trunk")
    yield path
    end_all(path)


def test_a_run_is_branched_with_three_methods_and_the_branches_lead_back_to_it(
    page: Page, trunk: Path, start_studio: Callable[..., Any], screenshot: Callable[[str], None]
) -> None:
    studio = start_studio(trunk)
    page.goto(f"{studio.url}run?run=1")
    expect(page.get_by_text("no branches · 1 checkpoint")).to_be_visible(timeout=UPDATES_MS)
    page.get_by_text("Branches and checkpoints").click()
    page.get_by_role("button", name="Branch off at step 1,000").click()
    dialog = page.get_by_role("dialog", name="Branch run 1")
    expect(dialog.get_by_text("<img src=x onerror=alert(1)> trunk")).to_be_visible()
    expect(dialog.get_by_role("radio", name=re.compile("step 1,000"))).to_be_checked()
    expect(dialog.locator("#method-uniform")).to_be_checked()
    expect(dialog.get_by_role("button", name="Start 1 branch")).to_be_enabled(timeout=UPDATES_MS)

    # problems: of a field while typing, of the engine at the press
    dialog.get_by_label("Steps more").fill("few")
    expect(dialog.locator("[data-setting='steps'] .field-problem")).to_contain_text("few")
    expect(dialog.locator(".branch-footer .primary")).to_be_disabled()
    dialog.get_by_label("Steps more").fill("100000")
    for method in ("per", "vlm"):
        dialog.locator(f"#method-{method}").check()
    dialog.get_by_label("Scorer", exact=True).fill("nonsense")
    dialog.get_by_label("Steps per update").fill("16")
    expect(dialog.get_by_text("replay ratio 8")).to_be_visible()
    dialog.get_by_label("Continuation seeds").fill("0-1")
    dialog.get_by_role("button", name="Start 6 branches").click()
    expect(dialog.locator("[data-setting='scorer'] .field-problem")).to_contain_text("nonsense", timeout=UPDATES_MS)
    expect(dialog.get_by_text("Nothing was started.")).to_be_visible()
    with Store(str(trunk)) as store:
        assert [run.run_id for run in store.runs()] == [1]
    screenshot("branch-dialog")

    # the press
    dialog.get_by_role("button", name="oracle", exact=True).click()
    dialog.get_by_role("button", name="Start 6 branches").click()
    toast = page.locator(".toast", has_text="Queued as runs 2, 3, 4, 5, 6, 7")
    expect(toast).to_be_visible(timeout=UPDATES_MS)
    expect(dialog).to_have_count(0)
    expect(page.get_by_text("6 branches at step 1,000")).to_be_visible(timeout=UPDATES_MS)
    expect(page.locator(".kin-start .kin-run")).to_have_count(6)
    expect(page.get_by_role("link", name="Compare them")).to_have_attribute("href", "./compare?runs=2%2C3%2C4%2C5%2C6%2C7")
    screenshot("run-with-branches")

    # a branch says where it comes from
    page.locator(".kin-start a.kin-name", has_text="per s0").first.click()
    origin = page.locator(".run-origin")
    expect(origin).to_contain_text(
        re.compile("Branch of run 1 at step 1,000, with per instead of uniform, train_freq 16 instead of 4")
    )
    expect(origin.get_by_role("link", name="Compare with its 5 siblings")).to_have_attribute("href", re.compile("runs=2%2C3"))
    screenshot("run-branch")
    page.goto(studio.url)
    tag = page.locator("tr[data-run='2'] .branch-tag")
    expect(tag).to_have_text("branch of 1")
    expect(tag).to_have_attribute("title", "Branch of run 1 at step 1,000")
    expect(page.locator("tr[data-run='1'] .branch-tag")).to_have_count(0)
    screenshot("runs-with-branches")
    tag.click()
    expect(page.get_by_role("heading", name="<img src=x onerror=alert(1)> trunk")).to_be_visible()


def test_a_run_that_kept_nothing_says_how_to_keep_checkpoints(
    page: Page, store_copy: Path, start_studio: Callable[..., Any]
) -> None:
    page.goto(f"{start_studio(store_copy).url}run?run=1")
    page.get_by_role("button", name="Branch…").first.click()
    dialog = page.get_by_role("dialog", name="Branch run 1")
    expect(dialog.get_by_text("keep_checkpoints")).to_be_visible(timeout=UPDATES_MS)
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)


def end_all(path: Path) -> None:
    """End what still trains or waits."""
    with Store(str(path)) as store:
        for job in store.jobs(status="queued"):
            store.cancel_job(job.job_id)
        left = [job for job in store.jobs() if job.status == "running" and job.pid is not None]
    for job in left:
        process = psutil.Process(job.pid)
        process.kill()
        process.wait(20)
