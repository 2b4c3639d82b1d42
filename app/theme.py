"""The studio's look: a Gradio theme that uses the tokens of `assets/studio/studio.css`."""

from __future__ import annotations

import gradio as gr

SANS = ("Inter", "ui-sans-serif", "system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")


def studio_theme() -> gr.themes.Base:
    """The theme. It uses system fonts, so nothing is downloaded."""
    theme = gr.themes.Base(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.zinc,
        font=list(SANS),
        font_mono=list(MONO),
        radius_size=gr.themes.sizes.radius_md,
        text_size=gr.themes.sizes.text_md,
        spacing_size=gr.themes.sizes.spacing_md,
    )
    shared = {
        "body_background_fill": "var(--bg)",
        "body_text_color": "var(--text)",
        "body_text_color_subdued": "var(--muted)",
        "background_fill_primary": "var(--surface)",
        "background_fill_secondary": "var(--bg)",
        "block_background_fill": "transparent",
        "block_border_color": "var(--line)",
        "block_label_background_fill": "transparent",
        "block_label_text_color": "var(--muted)",
        "block_title_text_color": "var(--text)",
        "block_info_text_color": "var(--muted)",
        "border_color_primary": "var(--line)",
        "input_background_fill": "var(--surface)",
        "input_border_color": "var(--line-strong)",
        "input_border_color_focus": "var(--accent)",
        "input_placeholder_color": "var(--muted)",
        "button_primary_background_fill": "var(--accent)",
        "button_primary_background_fill_hover": "var(--accent-strong)",
        "button_primary_text_color": "var(--on-accent)",
        "button_secondary_background_fill": "var(--surface)",
        "button_secondary_background_fill_hover": "var(--hover)",
        "button_secondary_border_color": "var(--line-strong)",
        "button_secondary_text_color": "var(--text)",
        "link_text_color": "var(--accent)",
        "link_text_color_hover": "var(--accent-strong)",
        "slider_color": "var(--accent)",
    }
    settings = shared | {f"{name}_dark": value for name, value in shared.items()}
    settings |= {"block_border_width": "0px", "block_shadow": "none", "block_padding": "0px", "input_border_width": "1px"}
    settings |= {"block_title_text_weight": "550", "button_border_width": "1px"}
    known = set(vars(theme))
    return theme.set(**{name: value for name, value in settings.items() if name in known or not name.endswith("_dark")})
