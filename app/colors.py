"""Colours of methods: the same wherever a method is drawn."""

from __future__ import annotations

from collections.abc import Iterable

VARIANTS = 7
"""Tokens that there are for kinds of VLM replay: 'method-vlm', 'method-vlm-2', … 'method-vlm-7'."""

OTHER = "method-other"

COLORS = {
    "method-vlm": "#4f46e5",
    "method-per": "#c2570c",
    "method-uniform": "#5b6b75",
    "method-vlm-2": "#a21caf",
    "method-vlm-3": "#0e7490",
    "method-vlm-4": "#be185d",
    "method-vlm-5": "#4d7c0f",
    "method-vlm-6": "#7c3aed",
    "method-vlm-7": "#0369a1",
    OTHER: "#6b6b78",
}
"""The tokens' colours on light ground, for figures outside of the studio; `studio.css` says the same."""


def method_tokens(labels: Iterable[str]) -> dict[str, str]:
    """The colour token of each method, as `assets/studio/studio.css` names them.

    'uniform' and 'per' have their own. VLM replay with its default settings comes before variants such as
    'vlm (oracle, λ=0.25)', and each of the two in alphabetical order, so give all labels of the store for colours that
    are the same on every page.

    Args:
        labels: of methods, as `vlmrb.analysis.comparison.method_of` names them.
    """
    known = set(labels)
    kinds = sorted(known - {"uniform", "per"}, key=lambda label: ("," in label, label))
    tokens = {label: f"method-{label}" for label in known & {"uniform", "per"}}
    for number, label in enumerate(kinds, 1):
        tokens[label] = OTHER if number > VARIANTS else "method-vlm" if number == 1 else f"method-vlm-{number}"
    return tokens
