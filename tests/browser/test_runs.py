"""The run pages in a real browser: the table keeps its state during updates, and a live run is watched and changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Locator, Page, expect

from vlmrb import Store, jobs, make_config

pytestmark = pytest.mark.slow

UPDATES_MS = 30_000


@pytest.fixture
def live_run(tmp_path: Path) -> Iterator[Path]:
    """A store with a run in training, too long to finish during the test, and run 2 queued behind it."""
    path = tmp_path / "runs.db"
    settings = {"env": "DoorKey-5x5", "scorer": "oracle", "total_steps": 500_000, "learning_starts": 500, "log_interval": 250,
                "eval_interval": 1_000, "eval_episodes": 2, "checkpoint_interval": 2_000}  # fmt: skip
    with Store(str(path)) as store:
        jobs.set_job_limit(store, 1)
        jobs.launch(store, [make_config(**settings, seed=seed) for seed in (0, 1)], set_name="<i>watched</i>")
        yield path
        jobs_left = [job for job in store.jobs() if job.status == "running"]
        for job in store.jobs(status="queued"):
            store.cancel_job(job.job_id)
    for job in jobs_left:
        process = psutil.Process(job.pid)
        process.kill()
        process.wait(20)


def row(page: Page, run_id: int) -> Locator:
    return page.locator(f"tr[data-run='{run_id}']")


def test_the_live_table_is_filtered_sorted_and_edited(
    store_copy: Path, start_studio: Callable[..., object], page: Page, screenshot: Callable[[str], None]
) -> None:
    studio = start_studio(store_copy)
    page.goto(studio.url)
    expect(row(page, 3)).to_contain_text("vlm (oracle)")
    expect(row(page, 1)).to_contain_text("finished")
    screenshot("runs")

    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_contain_text("search")
    keys.get_by_role("button", name="Close").click()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox").first).to_be_focused()
    page.keyboard.press("?")  # is text there
    expect(keys).to_have_count(0)
    page.get_by_role("searchbox").first.fill("")
    page.keyboard.press("Tab")

    # changes by another process are drawn without closing the open menu
    row(page, 2).get_by_role("checkbox").check()
    row(page, 2).get_by_label("Menu of run 2").click()
    expect(page.get_by_role("menuitem", name="Rename")).to_be_visible()
    with Store(str(store_copy)) as store:
        store.rename_run(2, "<img src=x onerror=alert(1)> renamed elsewhere")
    expect(row(page, 2)).to_contain_text("<img src=x onerror=alert(1)> renamed elsewhere", timeout=UPDATES_MS)
    expect(page.get_by_role("menuitem", name="Rename")).to_be_visible()
    expect(row(page, 2).get_by_role("checkbox")).to_be_checked()

    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_label("Name of run 2").fill("my baseline")
    page.keyboard.press("Enter")
    expect(row(page, 2).get_by_role("link", name="my baseline")).to_be_visible()

    # settings side by side
    row(page, 3).get_by_role("checkbox").check()
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.get_by_role("button", name="Differing settings").click()
    expect(page.get_by_label("Differing settings").get_by_role("row")).to_contain_text(["Setting", "replay", "scorer"])
    screenshot("runs-selected")
    page.get_by_role("button", name="Close").click()

    # tags, then a filter and an order, which the URL keeps
    page.get_by_role("button", name="Tags…").click()
    page.get_by_label("Add (comma-separated)").fill("keep, to show")
    page.get_by_role("button", name="Save tags").click()
    expect(row(page, 3).get_by_text("to show")).to_be_visible(timeout=UPDATES_MS)
    page.get_by_role("button", name="Best", exact=True).click()
    page.get_by_label("Find runs").fill("to show seed")
    expect(row(page, 1)).to_have_count(0)
    expect(page.get_by_text("2 of 3 runs")).to_be_visible()
    page.reload()
    expect(page.get_by_text("2 of 3 runs")).to_be_visible()
    expect(page.get_by_label("Find runs")).to_have_value("to show seed")
    expect(page).to_have_url(re.compile("sort=-best"))

    # delete, after a dialog that says what will be lost
    row(page, 2).get_by_label("Menu of run 2").click()
    page.get_by_role("menuitem", name="Delete…").click()
    expect(page.get_by_role("dialog")).to_contain_text("clips with scores and labels")
    page.get_by_role("button", name="Delete for good").click()
    expect(row(page, 2)).to_have_count(0)
    with Store(str(store_copy)) as store:
        assert [run.run_id for run in store.runs()] == [3, 1]
        assert not store.folder_of_run(2).exists()


def test_a_live_run_is_watched_changed_paused_stopped_and_resumed(
    live_run: Path, start_studio: Callable[..., object], page: Page, screenshot: Callable[[str], None]
) -> None:
    studio = start_studio(live_run)
    page.goto(f"{studio.url}run?run=1")
    expect(page.get_by_text("running", exact=True)).to_be_visible(timeout=UPDATES_MS)
    loss = page.locator(".chart-panel", has_text="TD loss").locator(".chart")
    expect(loss.locator(".nsewdrag")).to_be_visible(timeout=2 * UPDATES_MS)

    # zoom and legend state survive new points
    returns = page.locator(".chart-panel", has_text="Episode return").locator(".chart")
    expect(returns.locator(".legendtoggle")).to_have_count(2, timeout=2 * UPDATES_MS)
    returns.locator(".legendtoggle").first.click()
    loss.scroll_into_view_if_needed()
    box = loss.locator(".nsewdrag").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 80, steps=8)
    page.mouse.up()
    expect(loss.locator(".zoombox")).to_have_count(0)
    page.wait_for_function("(chart) => chart._fullLayout.xaxis.autorange === false", arg=loss.element_handle())
    shown, points = loss.evaluate("(chart) => [chart._fullLayout.xaxis.range, chart.data[0].x.length]")
    page.wait_for_function("([chart, points]) => chart.data[0].x.length > points + 1", arg=[loss.element_handle(), points])
    assert loss.evaluate("(chart) => chart._fullLayout.xaxis.range") == shown
    assert returns.evaluate("(chart) => chart._fullData[0].visible") == "legendonly"

    # changes: requested, then applied at a step, and marked on the curves
    page.get_by_label("λ, number").fill("0.25")
    page.get_by_role("button", name="Apply λ").click()
    page.get_by_label("Prompt: a yes/no question about a clip").fill("Is the <b>door</b> open?")
    page.get_by_role("button", name="Apply prompt").click()
    requests = page.locator(".run-changes")
    expect(requests.get_by_text(re.compile("applied at step"))).to_have_count(2, timeout=UPDATES_MS)
    expect(requests).to_contain_text("Is the <b>door</b> open?")
    expect(loss.locator(".legendtext", has_text="live change")).to_be_visible(timeout=UPDATES_MS)
    expect(page.get_by_label("Log", exact=True)).to_contain_text("job 1 started")
    screenshot("run-live")

    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_text("paused", exact=True)).to_be_visible(timeout=UPDATES_MS)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("stopped", exact=True)).to_be_visible(timeout=UPDATES_MS)
    expect(page.get_by_role("button", name="Apply λ")).to_be_disabled()
    expect(page.get_by_text("no process listens for changes").first).to_be_visible()

    # the queued run has started; this one is resumed and queued behind it
    page.get_by_role("button", name="Resume", exact=True).click()
    expect(page.get_by_text("queued", exact=True)).to_be_visible(timeout=UPDATES_MS)
    page.goto(studio.url)
    expect(row(page, 2)).to_contain_text("running", timeout=UPDATES_MS)
    expect(page.locator(".queue-list summary")).to_have_text("1 queued")
    expect(page.get_by_role("button", name="<i>watched</i>")).to_be_visible()
    screenshot("runs-live")


def test_empty_pages_say_what_to_do(
    tmp_path: Path, start_studio: Callable[..., object], page: Page, screenshot: Callable[[str], None]
) -> None:
    studio = start_studio(tmp_path / "new.db")
    page.goto(studio.url)
    expect(page.get_by_role("link", name="Launch the quick comparison")).to_have_attribute("href", "./launch?preset=quick")
    screenshot("runs-empty")
    for address, words in (
        ("run?run=7", "there is no run 7"),
        ("run?run=x", "expected a positive integer"),
        ("run", "names no run"),
    ):
        page.goto(studio.url + address)
        expect(page.get_by_text(words)).to_be_visible()
        expect(page.get_by_role("link", name="All runs")).to_be_visible()


def test_a_run_that_starts_with_scripted_play_shows_separate_curves_and_the_end_of_play(
    tmp_path: Path, start_studio: Callable[..., object], page: Page
) -> None:
    path = tmp_path / "runs.db"
    with Store(str(path)) as store:
        config = make_config(
            env="cube-single-singletask-task1-v0", algo="sac", replay="per", play_steps=4_000, total_steps=12_000
        )
        run_id = store.create_run(config.model_dump(), render_spec={}, success_rule="every object is at its goal")
        writer = store.writer(run_id)
        for step in range(2_000, 10_001, 2_000):
            writer.add_metric("play/success_rate" if step <= 4_000 else "rollout/success_rate", step, 0.5)
            writer.add_metric("train/alpha", step, 0.1)
        writer.flush()
    page.goto(f"{start_studio(path).url}run?run={run_id}")
    success = page.get_by_label(re.compile("^Success rate[.]"))
    for name in ("training", "scripted play", "end of play"):
        expect(success.locator(".legendtext", has_text=name)).to_be_visible(timeout=UPDATES_MS)
    assert success.evaluate("(chart) => chart.data.find((trace) => trace.name === 'end of play').x[0]") == 4_000
    assert success.evaluate("(chart) => chart._fullLayout.xaxis.range[0]") == 0
    expect(page.get_by_role("heading", name="Entropy temperature α")).to_be_visible()
