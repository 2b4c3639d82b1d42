"""Clips in a real browser: find one, play it frame by frame, disagree with it, watch several, get new ones."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from vlmrb import Store
from vlmrb.playback import Playback
from vlmrb.types import CLIPS_PER_RUN, ClipFilter

Start = Callable[..., Any]


def total(page: Any) -> int:
    return int(page.locator(".found strong").inner_text().replace(",", ""))


def shown_frame(page: Any) -> np.ndarray:
    """What the player's canvas shows: RGB uint8 [H, W, 3]."""
    address = page.locator("dialog[open] canvas.player-canvas").evaluate("canvas => canvas.toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB"))


def stored_frames(path: Path, clip_id: int) -> list[np.ndarray]:
    """All frames of a clip as they should be shown: RGB uint8 [H, W, 3] each."""
    with Store(str(path)) as store:
        sheet = Playback(store).sheet(clip_id)
    picture = np.asarray(Image.open(io.BytesIO(sheet.data)).convert("RGB"))
    cells = (divmod(at, sheet.columns) for at in range(sheet.frames))
    return [picture[r * sheet.height : (r + 1) * sheet.height, c * sheet.width : (c + 1) * sheet.width] for r, c in cells]


def test_a_clip_is_found_played_and_disagreed_with(page, store_copy: Path, start_studio: Start, screenshot) -> None:
    studio = start_studio(store_copy)
    page.goto(f"{studio.url}clips?run=3")
    expect(page.locator(".clip-card").first).to_be_visible()
    everything = total(page)
    expect(page.locator(".thumb-strip.moves").first).to_be_visible()
    screenshot("clips")

    page.get_by_label("Label", exact=True).select_option("yes")
    expect(page.locator(".clip-card .chip.label-no")).to_have_count(0)
    assert 0 < total(page) < everything
    expect(page).to_have_url(re.compile("label=yes"))

    first, second = (page.locator(".clip-card").nth(at).get_attribute("data-clip") for at in (0, 1))
    page.locator(".clip-link").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=f"Clip {first}")).to_be_visible()
    expect(page.locator("dialog .overlay .chip.label-yes")).to_be_visible()
    expect(page.locator(".strip-frame").first).to_be_visible()
    page.keyboard.press("Home")
    expect(page.locator("dialog[open] .counter")).to_contain_text("frame 1 of")
    frames = stored_frames(store_copy, int(first))
    assert np.array_equal(shown_frame(page), frames[0])
    page.keyboard.press("End")
    expect(page.locator("dialog[open] .counter")).to_contain_text(re.compile(r"frame (\d+) of \1 "))
    assert np.array_equal(shown_frame(page), frames[-1])
    page.locator(".event-list .frame-button").first.click()
    expect(page.locator(".strip-frame[aria-current]")).to_have_count(1)
    page.keyboard.press("]")
    expect(page.locator("dialog[open] .speed")).to_have_value("2")
    page.keyboard.press("v")
    expect(page.locator("dialog[open] .overlay").first).to_be_hidden()
    page.keyboard.press("v")
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Pause (space)")).to_be_visible()

    page.get_by_label("Note on your verdict").fill("no <b>key</b> in sight")
    page.locator("dialog[open] .player-title").focus()
    page.keyboard.press("n")
    expect(page.get_by_text("Saved: you disagree.")).to_be_visible()
    expect(page.get_by_text("no <b>key</b> in sight")).to_be_visible()
    with Store(str(store_copy)) as store:
        assert [(each.agrees, each.note) for each in store.human_labels(int(first))] == [(False, "no <b>key</b> in sight")]
    screenshot("clip-player")
    note = page.get_by_label("Note on your verdict")
    expect(note).to_have_value("no <b>key</b> in sight")
    note.fill("it is behind the agent")  # after the verdict
    note.press("Enter")
    expect(page.locator(".note-text").first).to_have_text("it is behind the agent")
    note.fill("on second thoughts, no key")
    page.locator("dialog[open]").get_by_role("button", name="Agree", exact=False).first.focus()
    page.locator("dialog[open] .player-title").focus()
    page.keyboard.press("y")
    expect(page.get_by_text("Saved: you agree.")).to_be_visible()
    with Store(str(store_copy)) as store:
        assert [(each.agrees, each.note) for each in store.human_labels(int(first))][1:] == [
            (False, "it is behind the agent"), (True, "on second thoughts, no key"),
        ]  # fmt: skip

    page.keyboard.press("n")
    expect(page.get_by_text("Saved: you disagree.")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download MP4").click()
    assert download.value.suggested_filename == f"clip-{first}.mp4"

    page.keyboard.press("k")
    expect(page.get_by_role("heading", name=f"Clip {second}")).to_be_visible()
    link = page.url
    assert f"clip={second}" in link
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    assert page.evaluate("document.activeElement.closest('.clip-card').dataset.clip") == second
    expect(page.locator(f'.clip-card[data-clip="{first}"] .human-disagreed')).to_be_visible()

    page.goto(link)
    expect(page.get_by_role("heading", name=f"Clip {second}")).to_be_visible()


@pytest.mark.slow
def test_clips_are_watched_side_by_side_in_sync(page, store_copy: Path, start_studio: Start, screenshot) -> None:
    studio = start_studio(store_copy)
    page.goto(f"{studio.url}clips?run=3")
    for at in (0, 1, 2):
        page.locator(".clip-select input").nth(at).click()
    page.get_by_role("button", name="Watch side by side").click()
    expect(page.locator(".seat canvas")).to_have_count(3)
    page.keyboard.press(" ")  # plays or pauses, and presses no button
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(page.locator("dialog[open] .counter")).to_contain_text("frame 2 of")
    screenshot("clips-side-by-side")
    page.reload()
    expect(page.locator(".seat canvas")).to_have_count(3)
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    expect(page).not_to_have_url(re.compile("watch="))


@pytest.mark.slow
def test_new_clips_are_offered_but_not_inserted(page, store_copy: Path, start_studio: Start) -> None:
    studio = start_studio(store_copy)
    page.goto(f"{studio.url}clips?run=1")
    shown = page.locator(".clip-card").first
    expect(shown).to_be_visible()
    newest, before = shown.get_attribute("data-clip"), total(page)
    with Store(str(store_copy)) as store:
        number = store.next_clip_number(1)
        clip = store.load_clip(int(newest))
        object.__setattr__(clip, "clip_id", CLIPS_PER_RUN + number)
        writer = store.writer(1)
        writer.add_clip(clip)
        writer.flush()
    notice = page.get_by_role("button", name="1 new clip: show")
    expect(notice).to_be_visible()
    assert shown.get_attribute("data-clip") == newest
    notice.click()
    expect(page.locator(f'.clip-card[data-clip="{CLIPS_PER_RUN + number}"]')).to_be_visible()
    assert total(page) == before + 1


@pytest.mark.slow
def test_what_cannot_be_shown_gives_a_message_and_a_way_out(page, store_copy: Path, start_studio: Start, screenshot) -> None:
    studio = start_studio(store_copy)
    page.goto(f"{studio.url}clips?run=77")
    expect(page.get_by_text("there is no run 77")).to_be_visible()
    page.locator("#clip_browser").get_by_role("button", name="Clear filters").last.click()
    expect(page.locator(".clip-card").first).to_be_visible()

    page.goto(f"{studio.url}clips?label=perhaps")
    expect(page.get_by_text("label: got 'perhaps'")).to_be_visible()

    page.goto(f"{studio.url}clips?event=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E")
    expect(page.get_by_text("No matching clips")).to_be_visible()

    page.goto(f"{studio.url}clips?clip=5")
    expect(page.get_by_text("there is no clip 5")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".clip-card").first).to_be_visible()

    with Store(str(store_copy)) as store:
        assert store.count_clips_found(ClipFilter()) > 0
        for run in store.runs():
            store.delete_run(run.run_id)
    page.goto(f"{studio.url}clips")
    expect(page.get_by_text("No clips yet")).to_be_visible()
    expect(page.get_by_role("link", name="Launch a run")).to_have_attribute("href", re.compile("launch"))
    screenshot("clips-empty")


@pytest.mark.slow
def test_clips_are_labelled_one_by_one_from_the_keyboard(page, store_copy: Path, start_studio: Start, screenshot) -> None:
    studio = start_studio(store_copy)
    page.goto(f"{studio.url}clips?run=3")
    page.get_by_role("button", name="Label clips…").click()
    page.get_by_label("Your name").fill("Ada")
    page.get_by_label("Your name").press("Enter")
    queue, progress = page.locator("dialog.queue[open]"), page.locator(".queue-progress")
    ready = page.locator("dialog.queue[open]:not([aria-busy])")
    expect(progress).to_contain_text("0 labelled by you")
    expect(ready).to_be_visible()
    expect(queue.get_by_role("button", name="Pause (space)")).to_be_visible()  # it plays by itself
    screenshot("clip-queue")
    page.keyboard.press("t")
    page.keyboard.type("no <b>door</b>: y or n?")
    page.keyboard.press("Enter")
    page.keyboard.press("n")
    expect(page.get_by_text("Saved: no.")).to_be_visible()
    expect(progress).to_contain_text("1 labelled by you")
    expect(ready).to_be_visible()
    page.keyboard.press("s")
    expect(page.get_by_text("Skipped.")).to_be_visible()
    expect(ready).to_be_visible()
    page.keyboard.press("y")
    expect(progress).to_contain_text("2 labelled by you")
    page.keyboard.press("u")
    expect(page.get_by_text("Taken back.")).to_be_visible()
    page.keyboard.press("u")
    expect(page.get_by_text("Back to the clip that you skipped.")).to_be_visible()
    expect(progress).to_contain_text("1 labelled by you")
    with Store(str(store_copy)) as store:
        (said,) = store.labels_by_people([3])
        assert (said.annotator, said.label, said.note) == ("Ada", False, "no <b>door</b>: y or n?")
    page.reload()  # the name is remembered, and the queue opens again where the link says
    expect(page.get_by_label("Your name")).to_have_value("Ada")
    expect(page.get_by_text("Only Ada has labelled clips here")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download labelled clips").click()
    assert download.value.suggested_filename == "vlmrb-labelled-clips.zip"
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile("queue="))
