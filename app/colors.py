"""Colours of methods: the same on every page and in every figure."""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from vlmrb.analysis.comparison import method_of
from vlmrb.replay.method import COLORS
from vlmrb.replay.registry import replay_methods
from vlmrb.store import Store

SHADES = {
    "indigo": ("#4f46e5", "#9d98ff"),
    "orange": ("#c2570c", "#f59e4b"),
    "slate": ("#5b6b75", "#9fb3bf"),
    "teal": ("#0f766e", "#5eead4"),
    "crimson": ("#be123c", "#fda4af"),
    "brown": ("#854d0e", "#d9b38c"),
    "fuchsia": ("#a21caf", "#e879f9"),
    "cyan": ("#0e7490", "#4fd1e0"),
    "pink": ("#be185d", "#fb7bb4"),
    "lime": ("#4d7c0f", "#a3d955"),
    "violet": ("#7c3aed", "#c4a5ff"),
    "blue": ("#0369a1", "#62b8f5"),
}
"""Each colour of `vlmrb.replay.method.COLORS` for the light and the dark theme."""

VARIANTS = ("fuchsia", "cyan", "pink", "lime", "violet", "blue")
"""Colours of further variants of a method, such as other values of λ, in this order."""

OTHER = "method-other"
_OTHER_SHADES = ("#6b6b78", "#a6a7b4")


def colors() -> dict[str, tuple[str, str]]:
    """The light and dark shade of each token: 'method-<key>', 'variant-1' to 'variant-6', 'method-other'."""
    of_methods = {f"method-{key}": SHADES[method.color] for key, method in replay_methods().items()}
    of_variants = {f"variant-{number}": SHADES[color] for number, color in enumerate(VARIANTS, 1)}
    return of_methods | of_variants | {OTHER: _OTHER_SHADES}


def light_color(token: str) -> str:
    """A token's colour in the light theme, for figures outside the studio."""
    found = colors()
    return found.get(token, found[OTHER])[0]


def style_sheet() -> str:
    """The tokens as CSS variables, for the light and the dark theme."""
    found = colors()
    light, dark = (" ".join(f"--{token}: {shades[theme]};" for token, shades in found.items()) for theme in (0, 1))
    return f"body {{ {light} }} body.dark {{ {dark} }}"


def method_tokens(labels: Iterable[str]) -> dict[str, str]:
    """The colour token of each method.

    The first variant of a replay method gets the method's own colour, the others get variant colours. Labels without
    settings come before those with settings, such as 'vlm (oracle, λ=0.25)'; otherwise the order is alphabetical. Pass
    all labels in the store, so that colours are the same on every page.

    Args:
        labels: method labels from `vlmrb.analysis.comparison.method_of`.
    """
    known, tokens = colors(), dict[str, str]()
    variants = 0
    for label in sorted(set(labels), key=lambda label: ("," in label, label)):
        token = f"method-{label.partition(' ')[0]}"
        if token not in known:
            token = OTHER
        elif token in tokens.values():
            variants += 1
            token = f"variant-{variants}" if variants <= len(VARIANTS) else OTHER
        tokens[label] = token
    return tokens


_labels: WeakKeyDictionary[Store, dict[int, tuple[float, str]]] = WeakKeyDictionary()


def stored_labels(store: Store) -> list[str]:
    """Labels of the methods of the newest thousand runs, newest first. A run's method never changes."""
    created, known = store.created_at(limit=1_000), _labels.get(store, {})
    new = [run_id for run_id, at in created.items() if known.get(run_id, (None,))[0] != at]
    found = {run.run_id: (run.created_at, method_of(run).label) for run in store.runs(run_ids=new)} if new else {}
    known = {run_id: found.get(run_id) or known[run_id] for run_id in created if run_id in found or run_id in known}
    _labels[store] = known  # replaced, not changed: several browsers ask at a time
    return [label for _, label in known.values()]


def stored_tokens(store: Store, *more: str) -> dict[str, str]:
    """The colour tokens of the methods of the newest thousand runs; labels in `more` that are not among them get further ones."""
    stored = stored_labels(store)
    tokens = method_tokens(stored)
    return method_tokens([*stored, *more]) | tokens if more else tokens


assert set(SHADES) == set(COLORS)
