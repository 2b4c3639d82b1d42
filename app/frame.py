"""The frame around every page: name, navigation, activity, theme switch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from app.studio import Studio
from app.widgets import widget

NAVIGATION = (
    ("Runs", ""),
    ("Launch", "launch"),
    ("Studies", "studies"),
    ("Clips", "clips"),
    ("Prompts", "prompts"),
    ("Compare", "compare"),
)


@contextmanager
def page_frame(studio: Studio, path: str, title: str) -> Iterator[None]:
    """The top of a page, then its content.

    Args:
        studio: source of the activity shown at the top.
        path: the page's path; '' is the start page. A page outside the navigation highlights the entry it belongs to.
        title: title of the browser tab.
    """
    gr.Navbar(visible=False)

    def activity(_: dict[str, Any]) -> dict[str, Any]:
        """Number of running and of queued runs and trials."""
        trials = [job for job in studio.store.jobs(status="running") if job.kind == "trial"]
        running = len(studio.store.runs(status="running")) + len(trials)
        return {"running": running, "queued": len(studio.store.jobs(status="queued"))}

    shown = f"{studio.store.name} (read-only)" if studio.store.read_only else studio.store.name
    widget("top", activity, navigation=NAVIGATION, path=path, title=title, store=shown)
    with gr.Column(elem_classes="page", elem_id="page"):
        yield
