"""The studies page in a real browser: continue a study, stop it, and read its report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.studies.test_background import LONG
from vlmrb import Store, studies
from vlmrb.studies.design import read_study

CLAIM = "PER balances <img src=x onerror=window.hacked=1> longer."


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Path]:
    """A store with a study that has begun and has one result; its processes are killed after the test."""
    path = tmp_path / "runs.db"
    study = read_study(LONG.replace("PER balances longer.", CLAIM), "tiny")
    with Store(str(path)) as store:
        folder = studies.StudyFolder(studies.default_folder(store.url, "tiny"))
        folder.begin(study)
    line = {"task": "", "arm": "per", "seed": 0, "steps": [100], "values": [0.5], "phases": {}, "host": "<b>x</b>"}
    (folder.path / "curves.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    yield path
    with Store(str(path)) as store:
        for job in store.jobs(status="queued"):
            store.cancel_job(job.job_id)
        for job in sorted(store.jobs(status="running"), key=lambda job: job.kind):  # the study's first
            psutil.Process(job.pid).kill()


@pytest.mark.slow
def test_a_study_goes_on_is_stopped_and_shows_its_report_as_text(
    page: Page, begun: Path, start_studio: Callable[..., Any], screenshot: Callable[[str], None]
) -> None:
    studio = start_studio(begun)
    page.goto(f"{studio.url}studies")
    expect(page.get_by_role("heading", name="A tiny study")).to_be_visible()
    expect(page.locator(".study-claim")).to_have_text(f"Claim {CLAIM}")
    report = page.get_by_label("Report")
    expect(report.get_by_text("undecided (no results of uniform yet).")).to_be_visible()
    expect(report.get_by_text("Machines: <b>x</b>.")).to_be_visible()
    expect(report.get_by_role("img")).to_be_visible()
    assert page.evaluate("window.hacked") is None

    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("link", name="seed 0: running")).to_be_visible()
    screenshot("studies")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Continue")).to_be_visible()

    page.get_by_role("link", name="replay-8x8").click()
    expect(page).to_have_url(f"{studio.url}studies?study=replay-8x8")
    expect(page.get_by_role("button", name="Run small version")).to_be_visible()
    expect(page.get_by_text("90 runs, at most")).to_be_visible()
