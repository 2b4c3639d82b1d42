"""The frame around every page: name, navigation, what is running, light or dark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from app.studio import Studio
from app.widgets import widget

NAVIGATION = (("Runs", ""), ("Launch", "launch"), ("Clips", "clips"), ("Prompts", "prompts"), ("Compare", "compare"))


@contextmanager
def page_frame(studio: Studio, path: str, title: str) -> Iterator[None]:
    """The top of a page, then its content.

    Args:
        studio: for what the top shows of the queue.
        path: of the page; '' is the first one. Pages that are not in the navigation light up the one they belong to.
        title: of the browser's tab and the page's heading.
    """
    gr.Navbar(visible=False)

    def activity(_: dict[str, Any]) -> dict[str, Any]:
        """How many runs and trials are at work, and how many wait."""
        trials = [job for job in studio.store.jobs(status="running") if job.kind == "trial"]
        running = len(studio.store.runs(status="running")) + len(trials)
        return {"running": running, "queued": len(studio.store.jobs(status="queued"))}

    widget("top", activity, navigation=NAVIGATION, path=path, title=title, store=studio.store.name)
    with gr.Column(elem_classes="page", elem_id="page"):
        yield
