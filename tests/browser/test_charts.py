"""Charts in a real browser: their axes and which of them there are, kept in the URL and remembered."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from vlmrb import Store, make_config
from vlmrb.types import CLOCK_S, RUNNING_S, SUCCESS


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A store with four finished runs, of two methods, that recorded their clocks."""
    path = tmp_path / "runs.db"
    with Store(str(path)) as store:
        for replay in ("per", "uniform"):
            for seed in (0, 1):
                config = make_config(env="DoorKey-5x5", replay=replay, seed=seed, total_steps=4_000)
                run_id = store.create_run(config.model_dump(), render_spec={}, success_rule="reaches the goal")
                writer = store.writer(run_id)
                for step in range(1_000, 4_001, 1_000):
                    writer.add_metric(SUCCESS, step, step / 4_000)
                    writer.add_metric("train/td_loss", step, 10.0 / step)
                    writer.add_metric("train/mean_q", step, step - 1_000)
                    writer.add_metric(RUNNING_S, step, step * (3.6 + seed))
                    writer.add_metric(CLOCK_S, step, 1.7e9 + step)
                writer.flush()
                store.heartbeat(run_id, 4_000)
                store.release_run(run_id, "finished")
    return path


@pytest.mark.slow
def test_axes_and_charts_are_chosen_once_and_kept_in_the_url_and_for_the_next_visit(
    page: Page, measured: Path, start_studio: Callable[..., object], screenshot: Callable[[str], None]
) -> None:
    url = start_studio(measured).url
    page.goto(f"{url}run?run=1")
    headings = page.locator(".chart-panel h2")
    expect(headings).to_have_text(["Success rate", "TD loss", "Mean Q-value"])
    page.get_by_role("button", name="View").click()
    page.get_by_label("X axis").select_option("running")
    page.get_by_label("Log y").check()
    page.get_by_role("button", name="Move Mean Q-value up").click()
    page.get_by_label("Success rate", exact=True).uncheck()
    expect(headings).to_have_text(["Mean Q-value", "TD loss"])
    expect(page).to_have_url(re.compile("x=running&log=y"))
    expect(page.get_by_text("1 point at or below 0 is not drawn")).to_be_visible()
    screenshot("run-view")

    page.goto(f"{url}run?run=2")
    expect(headings).to_have_text(["Mean Q-value", "TD loss"])
    expect(page).to_have_url(re.compile("x=running&log=y"))
    axes = "() => { const { xaxis, yaxis } = document.querySelectorAll('.chart')[1]._fullLayout; return [xaxis, yaxis]; }"
    page.wait_for_function(f"() => document.querySelectorAll('.chart')[1]._fullLayout && ({axes})()[1].type === 'log'")
    x, y = page.evaluate(f"() => ({axes})().map((axis) => axis.type + ' ' + axis.title.text)")
    assert x == "linear hours of training and evaluation" and y.startswith("log")
    page.get_by_role("button", name="View").click()
    page.get_by_role("button", name="Show all, in the usual order").click()
    expect(headings).to_have_text(["Success rate", "TD loss", "Mean Q-value"])

    # a chart that is not drawn again stays as it is when the URL changes
    assert page.evaluate("() => [...document.querySelectorAll('[clip-path]')].every((n) => !n.outerHTML.includes('http'))")


@pytest.mark.slow
def test_a_comparison_over_time_draws_runs_instead_of_a_mean_and_further_metrics_beside_it(
    page: Page, measured: Path, start_studio: Callable[..., object], screenshot: Callable[[str], None]
) -> None:
    page.goto(f"{start_studio(measured).url}compare?runs=1,2,3,4")
    traces = "() => document.querySelector('.compare-chart').data.filter((trace) => trace.mode.includes('markers')).length"
    page.wait_for_function(f"() => document.querySelector('.compare-chart')?.data && ({traces})() === 2")
    page.get_by_role("button", name="View").click()
    page.get_by_role("checkbox", name="train/td_loss").check()
    page.get_by_label("X axis").select_option("clock")
    expect(page.get_by_text("Over time each run is a line")).to_be_visible()
    page.wait_for_function(f"() => ({traces})() === 4")
    expect(page.get_by_label("train/td_loss by method on")).to_be_visible()
    expect(page.locator(".verdict")).to_contain_text("Only baselines so far")
    screenshot("compare-view")
    page.reload()
    expect(page.get_by_label("train/td_loss by method on")).to_be_visible()
    expect(page).to_have_url(re.compile("x=clock"))
