"""The replay microscope in a real browser: scrubbed, beside another run, and from a clip to its page."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.slow


def test_the_microscope_is_scrubbed_alone_and_beside_another_run_and_leads_to_a_clip(
    page: Page, recorded_store: Path, start_studio: Callable[..., Any], screenshot: Callable[[str], None]
) -> None:
    studio = start_studio(recorded_store)
    page.goto(f"{studio.url}run?run=3")
    panel = page.get_by_role("region", name="Replay microscope")
    expect(panel.get_by_text("step 3,000 · 11 of 11")).to_be_visible()
    expect(panel.get_by_text(re.compile(r"before step 3,000 drew .* Labels chose \d+ % of them, the base"))).to_be_visible()
    cards = panel.get_by_role("list", name="Drawn most often").locator(".clip-card")
    expect(cards).to_have_count(12)
    cards.first.scroll_into_view_if_needed()
    expect(cards.first.locator(".thumb-strip.moves")).to_be_visible()
    draws = [int(words.split()[0].replace(",", "")) for words in cards.locator("strong").all_inner_texts()]
    assert draws == sorted(draws, reverse=True)

    # scrubbed with the keyboard; the address keeps the step
    panel.get_by_role("slider", name="Step").press("Home")
    expect(panel.get_by_text("step 504 · 1 of 11")).to_be_visible()
    expect(panel.get_by_text("1 batch before step 504 drew")).to_be_visible()
    panel.get_by_role("button", name="Later step").click()
    expect(panel.get_by_text("before step 752 drew")).to_be_visible()
    expect(page).to_have_url(re.compile("draws=752"))

    # beside another run, in step
    panel.get_by_label("Beside").select_option("2")
    expect(panel.get_by_role("article")).to_have_count(2)
    panel.get_by_role("slider", name="Step").press("End")
    for run in (3, 2):
        expect(panel.get_by_role("article", name=f"What run {run} drew before step 3000")).to_be_visible()
    expect(panel.get_by_text("All were chosen by PER.")).to_be_visible()
    screenshot("microscope")
    page.reload()
    expect(panel.get_by_role("article", name="What run 2 drew before step 3000")).to_be_visible()
    expect(page.locator(".main-svg").first).to_be_visible()  # a page that is left while plotly.js loads reports an error
    panel.get_by_label("Beside").select_option("")
    expect(panel.get_by_role("article")).to_have_count(1)

    cards.first.locator("a").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page).to_have_url(re.compile(r"clips\?run=3&clip=3\d+"))


def test_a_run_from_before_there_were_records_says_so(page: Page, store_copy: Path, start_studio: Callable[..., Any]) -> None:
    with sqlite3.connect(store_copy) as connection:
        connection.execute("DELETE FROM draws")
    connection.close()
    page.goto(f"{start_studio(store_copy).url}run?run=1")
    panel = page.get_by_role("region", name="Replay microscope")
    expect(panel.get_by_text("This run has no record of its draws")).to_be_visible()
    expect(panel.get_by_role("slider")).to_have_count(0)
    expect(page.locator(".main-svg").first).to_be_visible()
