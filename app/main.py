"""All pages of the studio as one app."""

from __future__ import annotations

import gradio as gr

from app.frame import page_frame
from app.pages import clips, compare, launch, prompts, run, runs, studies
from app.studio import Studio


def build_app(studio: Studio) -> gr.Blocks:
    """All pages as one Gradio app. Each has its own URL; its state is in the URL and the store."""
    with gr.Blocks(title="VLM-RB Studio", analytics_enabled=False, fill_width=True) as demo, page_frame(studio, "", "Runs"):
        runs.build(studio)
    with demo.route("Launch", "/launch"), page_frame(studio, "launch", "Launch"):
        launch.build(studio)
    with demo.route("Studies", "/studies"), page_frame(studio, "studies", "Studies"):
        studies.build(studio)
    with demo.route("Run", "/run"), page_frame(studio, "run", "Run"):
        run.build(studio)
    with demo.route("Clips", "/clips"), page_frame(studio, "clips", "Clips"):
        clips.build(studio)
    with demo.route("Prompts", "/prompts"), page_frame(studio, "prompts", "Prompts"):
        prompts.build(studio)
    with demo.route("Compare", "/compare"), page_frame(studio, "compare", "Compare"):
        compare.build(studio)
    return demo
