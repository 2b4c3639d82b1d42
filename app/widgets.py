"""Parts of a page drawn by the studio's own scripts: a Gradio HTML node, and the Python functions that its script may call.

The widget 'run_list' is drawn by `assets/studio/widgets/run_list.js`, whose `mount(context)` gets the node, the initial
data and the functions. Gradio never redraws the node, so zoom, focus, selection and scroll position are kept.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import gradio as gr

from app.media import assets_version, plotly_version
from app.plain import to_json
from vlmrb.errors import ConfigError, VlmrbError

MAX_REQUEST = 100_000
"""Maximum number of characters in a widget's request."""


def widget(name: str, *functions: Callable[[dict[str, Any]], Any], elem_id: str | None = None, **data: Any) -> gr.HTML:
    """A widget of the page.

    Args:
        name: name of its script.
        functions: each takes the dict sent by the browser, which it must validate, and returns plain data, records or
            arrays. The script receives the message of a VlmrbError.
        elem_id: id of the node, unique on the page; by default the name.
        data: initial data for the script, JSON-serialisable.
    """
    start = json.dumps(to_json(data)).replace("<", "\\u003c")
    script = f"""
        const at = (path) => new URL(path, document.baseURI).href;
        import(at("./studio/assets/studio.js?v={assets_version()}")).then((studio) => studio.mount({json.dumps(name)}, {{
            element, trigger, watch, props, data: {start}, version: {json.dumps(assets_version())},
            server: typeof server === "undefined" ? {{}} : server, plotly: at("./studio/plotly.js?v={plotly_version()}"),
        }}))"""
    return gr.HTML(
        "",
        html_template=f'<div class="widget widget-{name}" aria-busy="true"></div>',
        js_on_load=script,
        server_functions=[answering(function) for function in functions] or None,
        elem_id=elem_id or name,
        apply_default_css=False,
        container=False,
        padding=False,
    )


def answering(function: Callable[[dict[str, Any]], Any]) -> Callable[[Any], dict[str, Any]]:
    """The function as the browser calls it: gives {'answer': …}, or {'error': message} for bad requests and VlmrbErrors."""

    @functools.wraps(function)
    def answer(request: Any = None) -> dict[str, Any]:
        try:
            if not isinstance(request, dict) or len(json.dumps(request)) > MAX_REQUEST:
                raise ConfigError("the request is malformed or too long; reload the page")
            return {"answer": to_json(function(request))}
        except VlmrbError as error:
            return {"error": str(error)}

    answer.__annotations__ = {"request": Any, "return": dict}
    return answer
