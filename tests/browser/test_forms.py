"""The launch, prompts and compare pages in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.trials import add_trials
from vlmrb import Store

LONG_MS = 90_000
Start = Callable[..., Any]


def test_invalid_values_are_marked_at_their_fields_and_prevent_a_launch(
    page: Page, tmp_path: Path, start_studio: Start, screenshot: Callable[[str], None]
) -> None:
    studio = start_studio(tmp_path / "runs.db")
    page.goto(f"{studio.url}launch?preset=lambda")
    expect(page.get_by_role("button", name="Launch 18 runs")).to_be_enabled()
    expect(page.get_by_label("Values")).to_have_value("0.1, 0.25, 0.5, 0.75, 1, none")
    page.get_by_label("Values").fill("0.1, 1.5")
    expect(page.locator("[data-setting='values'] .field-problem")).to_contain_text("1.5")
    page.get_by_label("Steps per run").fill("-3")
    expect(page.locator("[data-setting='total_steps'] .field-problem")).to_contain_text("-3")
    page.get_by_label("Seeds per method").fill("one")
    expect(page.locator("[data-setting='seeds'] .field-problem")).to_contain_text("numbers and ranges")
    expect(page.locator("#launch-button")).to_be_disabled()
    screenshot("launch-wrong")

    page.goto(f"{studio.url}launch?preset=gone")
    expect(page.get_by_text("There is no preset “gone”; showing “Quick look”.")).to_be_visible()
    page.get_by_role("button", name="random:0.25", exact=True).click()
    expect(page.get_by_label("Scorer", exact=True)).to_have_value("random:0.25")
    expect(page.get_by_text("a control scorer, which reads no prompt: yes at random, at this rate")).to_be_visible()

    page.get_by_role("button", name="Quick look").click()
    expect(page.get_by_role("button", name="Launch 9 runs")).to_be_enabled()
    expect(page).to_have_url(re.compile("preset=quick"))
    page.get_by_text("As a command").click()
    expect(page.get_by_label("Equivalent command")).to_contain_text("python -m vlmrb launch --env DoorKey-5x5")

    # a change of agent updates the defaults of unchanged fields
    page.get_by_text("All settings").click()
    page.locator("[data-setting='batch_size'] input").fill("64")
    page.get_by_label("Agent", exact=True).select_option("sac")
    expect(page.locator("[data-setting='n_step'] input")).to_have_value("1")
    expect(page.locator("[data-setting='train_freq'] input")).to_have_value("16")  # given by the preset
    expect(page.locator("[data-setting='batch_size'] input")).to_have_value("64")
    expect(page.locator("[data-setting='td_boost'] select")).to_have_value("")  # by default, which is on for sac
    expect(page.locator("[data-setting='algo'] .field-problem")).to_contain_text("sac needs continuous actions")
    environment = page.locator("[data-setting='env'] input")
    environment.fill("Pendulum-v1")
    command = page.get_by_label("Equivalent command")
    expect(command).to_contain_text("--algo sac --total-steps 30000")
    expect(command).to_contain_text("--batch-size 64 --epsilon-decay")
    expect(page.get_by_text("trained only on pictures of MiniGrid")).to_be_visible()
    environment.fill("DoorKey-5")
    expect(page.locator("[data-setting='env'] .field-problem")).to_contain_text("DoorKey-5")
    environment.fill("DoorKey-5x5")
    page.get_by_label("Agent", exact=True).select_option("dqn")
    expect(page.locator("[data-setting='n_step'] input")).to_have_value("3")
    page.get_by_text("All settings").click()

    # so does what only a trial shows, and nothing is written
    page.get_by_label("Environment", exact=True).fill("NoSuchWorld-v9")
    expect(page.locator("[data-setting='env'] .field-problem")).to_contain_text("NoSuchWorld-v9")
    expect(page.locator("#launch-button")).to_be_disabled()
    with Store(str(tmp_path / "runs.db")) as store:
        assert store.runs() == []


@pytest.mark.slow
def test_a_prompt_is_tried_saved_and_its_flips_are_shown(
    page: Page, store_copy: Path, start_studio: Start, screenshot: Callable[[str], None]
) -> None:
    studio = start_studio(store_copy)
    page.goto(f"{studio.url}prompts")
    text = page.get_by_label("Prompt text")
    expect(text).not_to_have_value("")
    text.fill("Does the agent pick up a <b>key</b>?")
    page.get_by_label("Name to save under").fill("keys")
    page.get_by_role("button", name="Save version").click()
    expect(page.get_by_text("Saved as keys@1.")).to_be_visible()
    page.get_by_label("Scorer").fill("random:0.5")
    expect(page.get_by_text("random:0.5 does not read the prompt")).to_be_visible()
    page.get_by_label("Clips", exact=True).fill("40")
    page.get_by_role("button", name="Try on stored clips").click()
    expect(page.get_by_text("40 of 40 clips")).to_be_visible(timeout=LONG_MS)
    expect(page.get_by_text("Against events")).to_be_visible()
    expect(page.locator(".flip").first).to_be_visible()

    # the browser applies the threshold: at 0, all labels are yes
    page.get_by_label("Threshold: yes if P(yes) ≥").fill("0")
    expect(page.locator(".stat", has_text="labelled yes")).to_contain_text("100 %")
    screenshot("prompts")
    expect(page).to_have_url(re.compile("trial=1"))
    page.reload()
    expect(page.get_by_text("40 of 40 clips")).to_be_visible(timeout=LONG_MS)
    page.goto(f"{studio.url}prompts?prompt=gone@7&trial=99")
    expect(page.get_by_text("There is no prompt “gone@7”; showing games@1.")).to_be_visible()
    expect(page.get_by_text("there is no trial 99")).to_be_visible()
    with Store(str(store_copy)) as store:
        assert [prompt.text for prompt in store.prompts() if prompt.name == "keys"] == ["Does the agent pick up a <b>key</b>?"]
        assert {score.scorer for score in store.trial_scores(1)} == {"random:0.5"}


@pytest.mark.slow
def test_questions_compete_on_the_same_clips_and_are_launched_as_an_ablation(
    page: Page, store_copy: Path, start_studio: Start, screenshot: Callable[[str], None]
) -> None:
    with Store(str(store_copy)) as store:  # answers that differ in half of the clips
        add_trials(store, 3)
    studio = start_studio(store_copy)
    page.goto(f"{studio.url}prompts?trial=1")
    page.get_by_role("button", name="Put on the bench").click()
    expect(page.get_by_role("tab", name="Bench (1)")).to_have_attribute("aria-selected", "true")
    page.get_by_role("button", name="Trial 2", exact=True).click()
    page.get_by_role("button", name="Put on the bench").click()
    expect(page.locator(".bench-table tbody")).to_have_count(2)
    expect(page.locator(".bench-matrix tbody tr").first).to_contain_text("50 %")
    expect(page.get_by_text("Where they differ (10)")).to_be_visible()
    expect(page.locator(".bench .flip .thumb-strip.moves").first).to_be_visible()

    # a threshold is tried in the browser, and the link keeps it
    page.get_by_label("Threshold of contestant B").fill("0.1")
    expect(page.locator(".bench-matrix tbody tr").first).to_contain_text("0 %")
    page.get_by_label("Contestant B is judged by").select_option("opened door")
    page.get_by_label("Contestant A at another threshold").click()
    expect(page.locator(".bench-table tbody")).to_have_count(3)
    page.reload()
    expect(page.get_by_label("Threshold of contestant B")).to_have_value("0.1")
    expect(page.get_by_label("Contestant B is judged by")).to_have_value("opened door")
    screenshot("bench")
    page.get_by_label("Threshold of contestant B").fill("0.5")
    page.get_by_role("button", name="50 %").first.click()
    expect(page.get_by_label("Contestants", exact=True)).to_have_value("0,1")

    page.get_by_role("link", name="Launch as an ablation…").click()
    expect(page.get_by_role("button", name="Launch 9 runs")).to_be_enabled()
    page.get_by_role("button", name="Remove Does the agent open a <b>door</b>?").or_(
        page.get_by_role("button", name="Remove doors@1")
    ).click()
    expect(page.get_by_role("button", name="Launch 6 runs")).to_be_enabled()


@pytest.mark.slow
def test_methods_are_compared_exported_and_clicked_through_to_their_clips(
    page: Page, store_copy: Path, start_studio: Start, screenshot: Callable[[str], None]
) -> None:
    studio = start_studio(store_copy)
    page.goto(f"{studio.url}compare?runs=1,2,3")
    expect(page.get_by_text("Not enough seeds to tell vlm (oracle) and uniform apart: 1 and 1")).to_be_visible(timeout=LONG_MS)
    expect(page.locator(".compare-chart .legendtext")).to_have_count(3, timeout=LONG_MS)
    expect(page.locator(".compare-table tbody tr")).to_have_count(3)
    screenshot("compare")

    # no chart offers to upload its data
    expect(page.locator(".compare-chart .modebar-btn[data-title='Reset axes']")).to_have_count(1)
    expect(page.locator(".modebar-btn[data-title^='Share']")).to_have_count(0)

    # the legend keeps its state when the individual runs are hidden
    hidden = "() => document.querySelector('.compare-chart')._fullData.some((trace) => trace.visible === 'legendonly')"
    page.locator(".compare-chart .legendtoggle").first.click()
    page.wait_for_function(hidden)  # plotly waits for a double click first
    page.get_by_label("Individual runs").uncheck()
    expect(page.locator(".compare-chart")).to_be_visible()
    expect(page).to_have_url(re.compile("raw=no"))
    assert page.evaluate(hidden)

    for form in ("HTML", "CSV", "JSON"):
        with page.expect_download() as download:
            page.get_by_role("link", name=form).click()
        assert download.value.suggested_filename == f"vlmrb-comparison.{form.lower()}"
        if form == "HTML":
            kept = store_copy.parent / "kept.html"
            download.value.save_as(kept)

    # the exported page works without the studio
    alone = page.context.new_page()
    alone.goto(kept.as_uri())
    expect(alone.locator("#figure-0 .legendtext")).to_have_count(3, timeout=LONG_MS)
    expect(alone.locator(".modebar-btn[data-title='Reset axes']")).to_have_count(1)
    expect(alone.locator(".modebar-btn[data-title^='Share']")).to_have_count(0)
    alone.close()

    # a run is deselected; new results are offered but not inserted
    page.get_by_role("button", name="Choose runs (3)").click()
    page.get_by_label("2 · ").focus()
    page.keyboard.press("Space")
    expect(page.locator(".compare-table tbody tr")).to_have_count(2)
    expect(page.get_by_label("2 · ")).to_be_focused()  # the list was redrawn, and the focus stayed
    expect(page).to_have_url(re.compile("runs=1%2C3"))
    with Store(str(store_copy)) as store:
        store.heartbeat(3, store.run(3).step + 1)
    expect(page.get_by_text("1 run has new results.")).to_be_visible(timeout=LONG_MS)
    page.get_by_text("TD error against VLM score").click()
    page.get_by_role("button", name="Show them").click()
    expect(page.get_by_text("1 run has new results.")).to_have_count(0)

    # TD error against score: every point is a clip; an open panel stays open when the page is redrawn
    expect(page.get_by_text("clips, sampled evenly from the runs")).to_be_visible(timeout=LONG_MS)

    # invalid runs in the URL are reported and the others shown; a point of a curve leads to its clips
    page.goto(f"{studio.url}compare?runs=3,abc,99")
    expect(page.get_by_role("alert").filter(has_text="abc")).to_be_visible(timeout=LONG_MS)
    expect(page.get_by_text("left out: run 99")).to_be_visible(timeout=LONG_MS)
    page.locator(".compare-chart .scatterlayer .point").nth(2).scroll_into_view_if_needed()
    point = page.locator(".compare-chart .scatterlayer .point").nth(2).bounding_box()
    assert point is not None
    page.mouse.move(point["x"], point["y"])
    page.mouse.click(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    page.wait_for_url("**/clips?**")
    expect(page.get_by_role("link", name="Clip 3").first).to_be_visible(timeout=LONG_MS)
    expect(page).to_have_url(re.compile("runs?=3"))
    expect(page).to_have_url(re.compile("max_step="))


@pytest.mark.slow
def test_one_slider_moves_through_the_clips_of_all_compared_runs_and_the_address_keeps_the_step(
    page: Page, store_copy: Path, start_studio: Start
) -> None:
    page.goto(f"{start_studio(store_copy).url}compare?runs=1,2,3&at=0")
    rows, slider = page.locator(".compare-clips-row"), page.get_by_role("slider", name="Step")
    expect(rows).to_have_count(3, timeout=LONG_MS)
    first = rows.first.locator(".clip-where").first
    expect(first).to_contain_text("step 0")
    slider.press("End")
    expect(page).to_have_url(re.compile("at=last"))
    expect(first).not_to_contain_text(re.compile("step 0$"))
    slider.press("ArrowLeft")
    expect(page).to_have_url(re.compile(r"at=\d+"))
    page.get_by_text("Clips step by step").click()
    expect(page).not_to_have_url(re.compile("at="))


@pytest.mark.slow
def test_an_empty_store_says_what_to_do_on_every_page(
    page: Page, tmp_path: Path, start_studio: Start, screenshot: Callable[[str], None]
) -> None:
    studio = start_studio(tmp_path / "runs.db")
    for path, words in (
        ("compare", "Nothing to compare yet"),
        ("prompts", "No clips yet"),
        ("clips", "A clip is a short segment"),
    ):
        page.goto(studio.url + path)
        expect(page.get_by_text(words).first).to_be_visible(timeout=LONG_MS)
        screenshot(f"{path}-empty")
