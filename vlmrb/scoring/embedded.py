"""The embedded models: where they lie, and which pictures and prompts they can read.

They are loaded like any other folder. What sets them apart is that each knows one kind of pictures, and its closed vocabulary: a
word that it has never seen tells it nothing, so a prompt with such words gets a notice with the nearest question that it was
taught. No torch is needed here.
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
"""Beside the weights of a model with a closed vocabulary: {"pictures": the kind that it knows, as in a run's `render_spec`,
"questions": the plain questions that it was taught, a list of strings}."""

ROBOTS = "robots"
"""What follows 'embedded:' for the model of OGBench's robot; the model of grid worlds is plain 'embedded'."""

_FOLDERS = {"": "embedded", ROBOTS: "embedded_robots"}
_WORLDS = {"minigrid": "MiniGrid", "ogbench": "OGBench's robot"}
_ROBOT_ENV = re.compile(r"(cube|puzzle|scene)-([\w-]+-)?singletask(-task\d)?-v\d+")
_WORD = re.compile(r"\w+|[^\w\s]")
_SHOWN_WORDS = 8


def embedded_folder(name: str = "") -> Path | None:
    """The folder of an embedded model ('' or 'robots'), or None where this installation has none of that name."""
    try:
        return asset_path(_FOLDERS[name]) if name in _FOLDERS else None
    except VlmrbError:
        return None


def fit_to_pictures(scorer: str, render_spec: Mapping[str, Any]) -> str:
    """The scorer that 'embedded' stands for where frames are made like this; any other as it is."""
    return f"embedded:{ROBOTS}" if scorer == "embedded" and render_spec.get("kind") == "ogbench" else scorer


def pictures_of(env_id: str) -> str:
    """The kind of an environment's pictures by its id alone, as far as that tells: 'ogbench' or ''."""
    return "ogbench" if _ROBOT_ENV.fullmatch(env_id) else ""


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
    learnt = _learnt(scorer)
    if not learnt or render_spec.get("kind") == learnt["pictures"]:
        return ""
    return (
        f"{scorer} has learnt the pictures of {_WORLDS.get(learnt['pictures'], 'one world')} and no others, so its labels mean "
        "nothing here; name a model that knows such pictures, such as hf:facebook/Perception-LM-1B, or the control "
        "scorers oracle and reward"
    )


def _learnt(scorer: str) -> dict[str, Any]:
    """What the QUESTIONS_FILE of a scorer's folder holds; {} where it has none."""
    folder = _folder_of(scorer)
    try:
        found = json.loads((folder / QUESTIONS_FILE).read_text(encoding="utf-8")) if folder is not None else {}
    except (OSError, ValueError, RuntimeError):
        return {}  # not a model with a closed vocabulary, or not a folder at all: loading it will say so
    is_whole = isinstance(found, dict) and isinstance(found.get("pictures"), str) and isinstance(found.get("questions"), list)
    return found if is_whole and all(isinstance(question, str) for question in found["questions"]) else {}


def _folder_of(scorer: str) -> Path | None:
    kind, _, rest = scorer.partition(":")
    return embedded_folder(rest) if kind == "embedded" else Path(rest).expanduser() if kind == "hf" and rest else None


def prompt_notice(scorer: str, text: str) -> str:
    """What a person should know before this scorer is asked this: words that the model does not know; '' if there is nothing.

    Args:
        scorer: the string that chooses the back end.
        text: of the prompt; untrusted.
    """
    learnt, folder = _learnt(scorer), _folder_of(scorer)
    if not learnt or folder is None:
        return ""
    try:
        vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # loading it will say so
    unknown = unknown_words(text, frozenset(vocabulary))
    if not unknown:
        return ""
    words = ", ".join(repr(word) for word in unknown[:_SHOWN_WORDS]) + (", …" if len(unknown) > _SHOWN_WORDS else "")
    return (
        f"{scorer} does not know {'these words' if len(unknown) > 1 else 'this word'} of the prompt and reads past "
        f"{'them' if len(unknown) > 1 else 'it'}: {words}. The nearest question that it was taught is "
        f'"{nearest_question(text, learnt["questions"])}"; for free questions use a hub model'
    )
