"""The embedded model: where it lies, and which prompts it can read.

It is loaded like any other folder. What sets it apart is its closed vocabulary: a word that it has never seen tells it
nothing, so a prompt with such words gets a notice with the nearest question that it was taught. No torch is needed here.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmrb.assets import asset_path
from vlmrb.errors import VlmrbError

QUESTIONS_FILE = "questions.json"
"""Beside the weights of a model with a closed vocabulary: the plain questions that it was taught, a list of strings."""

_WORD = re.compile(r"\w+|[^\w\s]")
_SHOWN_WORDS = 8


def embedded_folder() -> Path | None:
    """The folder of the embedded model, or None where this installation has none."""
    try:
        return asset_path("embedded")
    except VlmrbError:
        return None


def split_words(text: str) -> list[str]:
    """Words and marks of a text in lower case, as the embedded model's tokenizer splits it."""
    return _WORD.findall(text.lower())


def unknown_words(text: str, vocabulary: frozenset[str]) -> tuple[str, ...]:
    """Words of a text that are not in the vocabulary, in their order; marks do not count."""
    words = (word for word in split_words(text) if word.isalnum() and word not in vocabulary)
    return tuple(dict.fromkeys(words))


def nearest_question(text: str, questions: Sequence[str]) -> str:
    """The first of the questions that have most in common with a text, where rare words count most; '' without questions."""
    words = [frozenset(split_words(question)) for question in questions]
    counts = Counter(word for found in words for word in found)
    asked = frozenset(split_words(text))
    likeness = [sum(math.log(1 + len(words) / counts[word]) for word in sorted(asked & found)) for found in words]
    return questions[likeness.index(max(likeness))] if questions else ""


def picture_notice(scorer: str, render_spec: Mapping[str, Any]) -> str:
    """What a person should know before this scorer is shown such frames: that it has never seen any like them; '' if it has.

    Args:
        scorer: the string that chooses the back end.
        render_spec: how the frames are made, as the run holds it.
    """
    folder = _folder_of(scorer)
    if render_spec.get("kind") == "minigrid" or folder is None or not _exists(folder / QUESTIONS_FILE):
        return ""
    return (
        f"{scorer} has learnt the pictures of MiniGrid and no others, so its labels mean nothing here; name a model that "
        "knows such pictures, such as hf:facebook/Perception-LM-1B, or the controls oracle and reward"
    )


def _folder_of(scorer: str) -> Path | None:
    kind, _, rest = scorer.partition(":")
    return embedded_folder() if kind == "embedded" else Path(rest).expanduser() if kind == "hf" and rest else None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError, RuntimeError):
        return False


def prompt_notice(scorer: str, text: str) -> str:
    """What a person should know before this scorer is asked this: words that the model does not know; '' if there is nothing.

    Args:
        scorer: the string that chooses the back end.
        text: of the prompt; untrusted.
    """
    folder = _folder_of(scorer)
    if folder is None:
        return ""
    try:
        questions = json.loads((folder / QUESTIONS_FILE).read_text(encoding="utf-8"))
        vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return ""  # not a model with a closed vocabulary, or not a folder at all: loading it will say so
    unknown = unknown_words(text, frozenset(vocabulary))
    if not unknown:
        return ""
    words = ", ".join(repr(word) for word in unknown[:_SHOWN_WORDS]) + (", …" if len(unknown) > _SHOWN_WORDS else "")
    return (
        f"{scorer} does not know {'these words' if len(unknown) > 1 else 'this word'} of the prompt and reads past "
        f"{'them' if len(unknown) > 1 else 'it'}: {words}. The nearest question that it was taught is "
        f'"{nearest_question(text, questions)}"; for free questions use a hub model'
    )
