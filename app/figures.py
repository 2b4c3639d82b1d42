"""Colours of methods: the same wherever a method is drawn."""

from __future__ import annotations

from collections.abc import Iterable

VARIANTS = 7
"""Tokens that there are for kinds of VLM replay: 'method-vlm', 'method-vlm-2', … 'method-vlm-7'."""

OTHER = "method-other"


def method_tokens(labels: Iterable[str]) -> dict[str, str]:
    """The colour token of each method, as `assets/studio/studio.css` names them.

    'uniform' and 'per' have their own. VLM replay with its default settings comes before variants such as
    'vlm (oracle, λ=0.25)', and each of the two in alphabetical order, so give all labels of the store for colours that
    are the same on every page.

    Args:
        labels: of methods, as `vlmrb.comparison.method_of` names them.
    """
    known = set(labels)
    kinds = sorted(known - {"uniform", "per"}, key=lambda label: ("," in label, label))
    tokens = {label: f"method-{label}" for label in known & {"uniform", "per"}}
    for number, label in enumerate(kinds, 1):
        tokens[label] = OTHER if number > VARIANTS else "method-vlm" if number == 1 else f"method-vlm-{number}"
    return tokens
