"""What pages say of runs, comparisons and trials is true: each of these once was not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import StudioProcess, running_studio
from tests.browser.trials import add_trials
from tests.recorded import record_run
from vlmrb import Store, make_config
from vlmrb.types import SUCCESS, RunCounters

pytestmark = pytest.mark.slow

SEEDS = range(5)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store whose run 1 has a job that is starting: taken here, as a studio would start it."""
    with Store(str(tmp_path_factory.mktemp("said") / "runs.db")) as store:
        store.enqueue_jobs("train", [add_run(store)])
        (job,) = store.take_jobs({"train": 1})
        store.job_spawned(job.job_id, os.getpid(), psutil.Process().create_time())
        yield store


@pytest.fixture(scope="module")
def studio(store: Store) -> Iterator[StudioProcess]:
    with running_studio(Path(store.url)) as studio:
        yield studio


def add_run(store: Store, set_name: str = "", **settings: object) -> int:
    config = make_config(**{"env": "DoorKey-5x5", "scorer": "oracle", "total_steps": 10_000, **settings})
    return store.create_run(config.model_dump(), render_spec={}, success_rule="reaches the goal", set_name=set_name)


def claim(store: Store, run_id: int, step: int, doing: str = "") -> None:
    """Report the run as trained by this process."""
    process = psutil.Process()
    if store.run(run_id).status != "running":
        store.claim_run(run_id, process.pid, process.create_time())
    store.heartbeat(run_id, step, steps_per_second=250.0, counters=RunCounters(doing=doing))


def add_curve(store: Store, run_id: int, name: str, values: list[float]) -> None:
    writer = store.writer(run_id)
    for number, value in enumerate(values, 1):
        writer.add_metric(name, 1_000 * number, value)
    writer.flush()


def change_lambda(store: Store, run_id: int, value: float, step: int) -> None:
    store.acknowledge_change(store.request_change(run_id, "lambda", value), applied_step=step)


def test_lambda_is_shown_as_it_is_held_after_a_reload_and_at_once_after_a_change(
    page: Page, store: Store, studio: StudioProcess
) -> None:
    run_id = add_run(store)
    claim(store, run_id, 5_000)
    add_curve(store, run_id, "replay/vlm_weight", [0.25, 0.5])
    change_lambda(store, run_id, 0.9, 2_500)
    page.goto(f"{studio.url}run?run={run_id}")
    for _ in range(2):
        expect(page.get_by_label("Hold at")).to_be_checked()
        expect(page.get_by_label("λ, number")).to_have_value("0.9")
        expect(page.get_by_text("(now 0.90)")).to_be_visible()
        page.reload()
    change_lambda(store, run_id, 0.3, 5_000)  # no point of the curve follows
    expect(page.get_by_text("(now 0.30)")).to_be_visible()
    expect(page.get_by_label("λ, number")).to_have_value("0.3")


def test_rates_are_of_the_steps_since_the_last_point_and_what_is_of_all_is_called_so(
    page: Page, store: Store, studio: StudioProcess
) -> None:
    run_id = add_run(store)
    for name, values in (("scoring/yes_rate", [0.2, 0.996]), ("scoring/positive_rate", [0.2, 0.64])):
        add_curve(store, run_id, name, values)
    page.goto(f"{studio.url}run?run={run_id}")
    chart = page.get_by_role("img", name=re.compile("^Fraction labelled yes"))
    expect(chart).to_have_attribute("aria-label", re.compile(r"new clips: 0.996 at step 2,000; .*all clips: 0.64 at step 2,000"))
    store.delete_run(run_id)


def test_a_run_says_what_it_does_when_it_does_not_train(page: Page, store: Store, studio: StudioProcess) -> None:
    page.goto(f"{studio.url}run?run=1")
    progress = page.locator(".run-progress")
    expect(progress).to_contain_text("loading")
    for doing in ("evaluating: 3 of 20 episodes done", "scoring the last clips: 40 left"):
        claim(store, 1, 10_000, doing)
        expect(progress).to_contain_text(f"100 % · {doing}")
        expect(progress).not_to_contain_text("left" if "left" not in doing else "0 s left")
    page.goto(studio.url)
    expect(page.locator("tr[data-run='1']")).to_contain_text("scoring the last clips")


def test_a_comparison_opens_on_runs_that_were_evaluated_and_judges_only_what_has_a_better_direction(
    page: Page, store: Store, studio: StudioProcess
) -> None:
    for seed in SEEDS:
        for replay, high in (("vlm", True), ("uniform", False)):
            run_id = add_run(store, "measured", replay=replay, scorer="oracle" if high else None, seed=seed, total_steps=3_000)
            add_curve(store, run_id, SUCCESS, [0.5 + 0.1 * high, 0.6 + 0.2 * high, 0.6 + 0.3 * high])
            add_curve(store, run_id, "train/td_loss", [1.0 + high, 1.0 + high, 1.0 + high + seed / 100])
            store.heartbeat(run_id, 3_000)
            store.release_run(run_id, "finished")
    begun = add_run(store, "just begun")
    page.goto(f"{studio.url}compare")
    verdict = page.locator(".verdict")
    expect(verdict).to_contain_text("vlm (oracle) is ahead of uniform")
    expect(page.get_by_role("button", name="Choose runs (10)")).to_be_visible()
    page.get_by_label("Metric").select_option("train/td_loss")
    expect(verdict).to_contain_text("vlm (oracle) is higher than uniform")
    expect(page.locator(".compare-body")).not_to_contain_text(re.compile("ahead|behind|better|worse|improve"))
    store.delete_run(begun)


def test_a_trial_is_judged_by_what_its_question_asks_about(page: Page, store: Store, studio: StudioProcess) -> None:
    keys, doors = add_trials(store, record_run(store, 8))
    for trial, truth in ((keys, "picked up key"), (doors, "opened door")):
        page.goto(f"{studio.url}prompts?trial={trial}")
        judged = page.get_by_label("Judged by")
        expect(judged.locator("option:checked")).to_have_text(truth)
        expect(page.get_by_text(f"P(yes) of clips with and without {truth}")).to_be_visible()


def test_typing_errors_are_marked_at_their_fields_before_the_press(page: Page, studio: StudioProcess) -> None:
    page.goto(f"{studio.url}launch")
    for label, setting, typed, right in (
        ("Environment", "env", "DoorKey-5", "DoorKey-5x5"),
        ("Steps per run", "total_steps", "30k", "30000"),
        ("Scorer", "scorer", "embeded", "oracle"),
    ):
        marked = page.locator(f"[data-setting='{setting}'] .field-problem")
        page.get_by_label(label, exact=True).fill(typed)
        expect(marked).to_contain_text(typed)
        expect(page.locator("#launch-button")).to_be_disabled()
        page.get_by_label(label, exact=True).fill(right)
        expect(marked).to_have_text("")
    page.get_by_label("Agent", exact=True).select_option("sac")
    expect(page.locator("[data-setting='algo'] .field-problem")).to_contain_text("needs continuous actions")
