"""The embedded models: where they are, and which pictures and prompts they can read.

They are loaded like any other model folder, but each knows only one kind of pictures, a closed vocabulary, and a few ways to
negate. Unknown words mean nothing to it, and other negations may not either, so a prompt with them gets a notice with the nearest
question that it was trained on. Needs no torch.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vlmrb.assets import asset_path
from vlmrb.errors import VlmrbError
from vlmrb.panels import Member, members_of, with_members
from vlmrb.scoring.prompts import find_preset
from vlmrb.scoring.shared import notices
from vlmrb.types import Prompt

QUESTIONS_FILE = "questions.json"
"""Next to the weights of a model with a closed vocabulary: {"pictures": the kind that it knows, as in a run's `render_spec`,
"questions": list of the plain questions that it was trained on}."""

MEASURED_FILE = "measured.json"
"""Beside it, if the model has been measured: precision and recall of its labels on held-out clips, {question: {"precision": p,
"recall": r}}, both in [0, 1] or null."""

GOOD_ENOUGH = 0.9
"""Precision and recall below which a question gets a notice."""

ROBOTS = "robots"
"""What follows 'embedded:' for the model of OGBench's robot; the model of grid worlds is plain 'embedded'."""

_FOLDERS = {"": "embedded", ROBOTS: "embedded_robots"}
_WORLDS = {"minigrid": "MiniGrid", "ogbench": "OGBench's robot"}
_ROBOT_ENV = re.compile(r"(cube|puzzle|scene)-([\w-]+-)?singletask(-task\d)?-v\d+")
_WORD = re.compile(r"\w+|[^\w\s]")
_NEGATION = re.compile(
    r"\b(?:not|never|no|nothing|none|nobody|neither|nor|without|cannot|\w+n['’]t|fail(?:s|ed|ing)?|false|untrue)\b", re.IGNORECASE
)
_JOINED = re.compile(r"\b(?:or|and(?! (?:keep(?:s|ing)?|still)\b))\b", re.IGNORECASE)  # 'picks up and keeps' is one thing
_ASKING = re.compile(r"[^.?!]*\?")  # the sentences that ask, without 'Moving about does not count.'
_ANSWERS = re.compile(r"\byes\W+(?:or\W+)?no\b", re.IGNORECASE)  # 'yes or no?' negates nothing
_ANY_FRAME = re.compile(r"(?<!\bfirst )(?<!\blast )\bframe\b(?! where\b)", re.IGNORECASE)
_SHOWN_WORDS = 8
_PLAIN_WORDS = frozenset("a an the does do is are at it in this that show clip agent robot still".split())  # name no matter
_ENDING = re.compile(r"(?<=\w\w)(?:ing|ed|es|e|s)$")
_DOUBLED = re.compile(r"([^\W\daeiou])\1$")
_LARGEST = 64 * 2**20  # bytes; a closed vocabulary takes kilobytes


def embedded_folder(name: str = "") -> Path | None:
    """The folder of an embedded model ('' or 'robots'), or None if it is not installed."""
    try:
        return asset_path(_FOLDERS[name]) if name in _FOLDERS else None
    except VlmrbError:
        return None


def fit_to_pictures(scorer: str, render_spec: Mapping[str, Any]) -> str:
    """Replace plain 'embedded' by the embedded model for these frames, also in a panel; other scorers stay as they are."""
    if render_spec.get("kind") != "ogbench":
        return scorer
    robots = f"embedded:{ROBOTS}"
    return with_members(scorer, lambda member: replace(member, scorer=robots) if member.scorer == "embedded" else member)


def fitting(scorer: str) -> dict[str, str]:
    """What a scorer's name means, by the kind of pictures; '' for all others."""
    return {
        pictures: fit_to_pictures(scorer, {"kind": pictures}) for pictures in (("", "ogbench") if scorer == "embedded" else ("",))
    }


def pictures_of(env_id: str) -> str:
    """The kind of an environment's pictures, as far as its id shows it: 'ogbench' or ''."""
    return "ogbench" if _ROBOT_ENV.fullmatch(env_id) else ""


def split_words(text: str) -> list[str]:
    """Words and punctuation of a text in lower case, split as by the embedded model's tokenizer."""
    return _WORD.findall(text.lower())


def negations(text: str) -> list[str]:
    """The words with which a prompt negates what it asks, in order."""
    return _NEGATION.findall(_asking_alone(text))


def joined_by(text: str) -> list[str]:
    """The words with which a prompt asks several things in one question, in order."""
    return _JOINED.findall(_asking_alone(text))


def names(text: str) -> frozenset[str]:
    """What a prompt asks about: stems of the words that tell it from others, so that 'closes' and 'closing' are one."""
    words = (word for word in split_words(_asking(text)) if word.isalnum() and word not in _PLAIN_WORDS)
    return frozenset(_DOUBLED.sub(r"\1", _ENDING.sub("", word)) for word in words) - _PLAIN_WORDS


def _asking(text: str) -> str:
    """The sentences of a prompt that ask, or all of it if none does."""
    return "".join(_ASKING.findall(text)) or text


def _asking_alone(text: str) -> str:
    """The same without the answers that it offers, as in 'yes or no?'."""
    return _ANSWERS.sub("", _asking(text))


def unknown_words(text: str, vocabulary: frozenset[str]) -> tuple[str, ...]:
    """Words of a text that are not in the vocabulary, in order, without punctuation."""
    words = (word for word in split_words(text) if word.isalnum() and word not in vocabulary)
    return tuple(dict.fromkeys(words))


def nearest_question(text: str, questions: Sequence[str]) -> str:
    """The question that shares most with a text, rare words counting most (the first, if tied); '' if there are none."""
    words = [frozenset(split_words(question)) for question in questions]
    counts = Counter(word for found in words for word in found)
    asked = frozenset(split_words(text))
    likeness = [sum(math.log(1 + len(words) / counts[word]) for word in sorted(asked & found)) for found in words]
    return questions[likeness.index(max(likeness))] if questions else ""


def picture_notice(scorer: str, render_spec: Mapping[str, Any]) -> str:
    """A warning if this scorer, or a member of it, has never seen such frames; '' if not.

    Args:
        scorer: the string that selects the back end.
        render_spec: how the run's frames are rendered.
    """
    return _joined(_picture_notice(member.scorer, render_spec) for member in members_of(scorer))


def _joined(notices: Iterable[str]) -> str:
    return ". ".join(dict.fromkeys(filter(None, notices)))


def picture_kind(render_spec: Mapping[str, Any]) -> str:
    """The kind of pictures that a run's clips are; '' if nobody knows."""
    return str(render_spec.get("pictures", render_spec.get("kind", "")))


def _picture_notice(scorer: str, render_spec: Mapping[str, Any]) -> str:
    if address := _address(scorer):
        return notices(address, (), picture_kind(render_spec))["pictures"]
    learnt = _learnt(scorer)
    if not learnt or picture_kind(render_spec) == learnt["pictures"]:
        return ""
    return (
        f"{scorer} was trained only on pictures of {_WORLDS.get(learnt['pictures'], 'another world')}, so its labels mean "
        "nothing here; use a general model such as hf:facebook/Perception-LM-1B, or the control scorers oracle and reward"
    )


def _address(scorer: str) -> str:
    """Of the server that a scorer is behind, which knows its model; '' if there is none."""
    kind, _, rest = scorer.partition(":")
    return rest if kind == "shared" else ""


def knows_only_pictures(scorer: str) -> bool:
    """Whether this scorer's model has a closed vocabulary and was trained on pictures alone."""
    return scorer.partition(":")[0] == "embedded" or bool(_learnt(scorer))


def _learnt(scorer: str) -> dict[str, Any]:
    """Content of the QUESTIONS_FILE in a scorer's folder; {} if there is none."""
    folder = _folder_of(scorer)
    try:
        found = read_json(folder / QUESTIONS_FILE) if folder is not None else {}
    except (OSError, ValueError, RuntimeError):
        return {}  # no closed vocabulary, or no model folder at all: loading it reports that
    is_whole = isinstance(found, dict) and isinstance(found.get("pictures"), str) and isinstance(found.get("questions"), list)
    return found if is_whole and all(isinstance(question, str) for question in found["questions"]) else {}


def read_json(path: Path) -> Any:
    """Content of a file that need not be what it seems: a pipe never ends, and this is read where nothing may wait.

    Raises:
        OSError, ValueError, RuntimeError: it cannot be read.
    """
    if not path.is_file() or path.stat().st_size > _LARGEST:
        raise OSError(f"{path} is missing, not a regular file, or too large")
    return json.loads(path.read_text(encoding="utf-8"))


def _folder_of(scorer: str) -> Path | None:
    kind, _, rest = scorer.partition(":")
    return embedded_folder(rest) if kind == "embedded" else Path(rest).expanduser() if kind == "hf" and rest else None


def prompt_notice(scorer: str, prompt: Prompt, render_spec: Mapping[str, Any] = MappingProxyType({})) -> str:
    """A warning about words of a prompt that this scorer's model, or a member's, does not know or may overlook; '' if none.

    Args:
        scorer: the string that selects the back end.
        prompt: a question or a set of them; untrusted. Of a set, each such question is named. A member with a prompt of its own
            is asked that.
        render_spec: how the run's frames are rendered, as far as it is known: a server may hold a model for each kind.
    """
    return _joined(_prompt_notice(member.scorer, _asked(member, prompt), render_spec) for member in members_of(scorer))


def _asked(member: Member, prompt: Prompt) -> Prompt:
    return (find_preset(member.prompt) if member.prompt else None) or prompt


def _prompt_notice(scorer: str, prompt: Prompt, render_spec: Mapping[str, Any]) -> str:
    if address := _address(scorer):
        return notices(address, prompt.questions, picture_kind(render_spec))["prompt"]
    learnt, folder = _learnt(scorer), _folder_of(scorer)
    if not learnt or folder is None:
        return ""
    try:
        known = frozenset(read_json(folder / "tokenizer.json")["model"]["vocab"])
    except (OSError, ValueError, RuntimeError, KeyError, TypeError):
        return ""  # loading it reports that
    measured, found = _measured(folder), []
    for number, question in enumerate(prompt.questions, 1):
        where = "the prompt" if len(prompt.questions) == 1 else f"question {number}"
        nearest = nearest_question(question, learnt["questions"])
        if unknown := unknown_words(question, known):
            found.append(f'does not know {_ignored(unknown, where)}. The nearest question it was trained on is "{nearest}"')
        if negated := negations(question):
            found.append(f'may overlook {negated[0]!r} in {where}. Ask what happens, such as "{nearest}", and read its no')
        if joined := joined_by(question):
            found.append(
                f"was trained on one thing per question, and may misread {joined[0]!r} in {where}. Ask a set, one question per "
                "line after '- ', under a line 'all of' or 'any of'"
            )
        if _ANY_FRAME.search(_asking(question)):
            found.append(
                f"knows a single 'frame' only as the first or the last one, and may misread it in {where}. Ask about the clip, "
                f'such as "{nearest}"'
            )
        found += _weak_spots(question, where, measured)
    return f"{scorer} {'. It '.join(found)}; for free-form questions use a hub model" if found else ""


def _measured(folder: Path) -> dict[str, Any]:
    """Content of a folder's MEASURED_FILE; {} if there is none."""
    try:
        found = read_json(folder / MEASURED_FILE)
    except (OSError, ValueError, RuntimeError):
        return {}
    return found if isinstance(found, dict) else {}


def _weak_spots(text: str, where: str, measured: Mapping[str, Any]) -> list[str]:
    """What to say where a question contains one whose labels are known to be often wrong."""
    asked, found = names(text), []
    for question, figures in measured.items():
        precision, recall = (figures.get(name) if isinstance(figures, dict) else None for name in ("precision", "recall"))
        if not (isinstance(precision, float) and isinstance(recall, float)) or min(precision, recall) >= GOOD_ENOUGH:
            continue
        if (named := names(question)) and named <= asked:
            found.append(
                f'is not at its best on {where}: asked "{question}" about held-out clips, {precision:.0%} of its yes are right '
                f"and it finds {recall:.0%} of what happens"
            )
    return found


def _ignored(words: Sequence[str], where: str) -> str:
    """'this word of the prompt and ignores it: …'."""
    shown = ", ".join(repr(word) for word in words[:_SHOWN_WORDS]) + (", …" if len(words) > _SHOWN_WORDS else "")
    these, them = ("these words", "them") if len(words) > 1 else ("this word", "it")
    return f"{these} of {where} and ignores {them}: {shown}"
