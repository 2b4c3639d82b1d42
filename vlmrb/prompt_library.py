"""The prompts that can be used: shipped presets and those saved in a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vlmrb.errors import ConfigError
from vlmrb.events import PROGRESS_KINDS
from vlmrb.panels import reads_prompt
from vlmrb.scoring import fit_to_pictures, load_presets, picture_notice, pictures_of, prompt_notice, resolve_prompt
from vlmrb.scoring.prompts import check_prompt_text
from vlmrb.store import Store
from vlmrb.types import ClipScore, Prompt


def prompt_presets() -> list[Prompt]:
    """The shipped prompts, by name and version."""
    return [prompt for versions in load_presets().values() for prompt in versions]


def save_prompt(store: Store, name: str, text: str) -> Prompt:
    """Save a text as the next version of a named prompt; a text already saved under this name keeps its version.

    Raises:
        ConfigError: the name is empty, contains an @ or is a preset's, or the text is not a prompt.
    """
    name = name.strip()
    if not name or "@" in name:
        raise ConfigError("name: enter a name without @, such as 'keys and doors'")
    if name in {prompt.name for prompt in prompt_presets()} | {"custom"}:
        raise ConfigError(f"name: {name!r} is a shipped preset and cannot be changed; choose another name")
    return store.save_prompt(name, check_prompt_text(text))


def find_question(store: Store, prompt: str) -> Prompt:
    """Look up a prompt by preset name, stored 'name@version' or the text of a question; writes nothing.

    Raises:
        ConfigError: the prompt is empty or the version does not exist.
    """
    if not prompt.strip():
        raise ConfigError("prompt: is empty; give a preset (games, manipulation) or the text of a yes/no question")
    name, at, version = prompt.strip().rpartition("@")
    if at and version.isdecimal() and len(version) < 10 and (found := store.find_prompt(name, int(version))):
        return found
    return resolve_prompt(prompt)


def unreadable(store: Store, scorer: str, prompt: str, env: str) -> str:
    """What a scorer cannot read in a prompt (as for `find_question`) and what to do about it; '' if it can read all of it.

    `env` decides which of the embedded models plain 'embedded' means.

    Raises:
        ConfigError: the prompt is empty or the version does not exist.
    """
    pictures = {"kind": pictures_of(env)}
    return prompt_notice(fit_to_pictures(scorer, pictures), find_question(store, prompt), pictures)


def unfit(scorer: str, render_spec: Mapping[str, Any]) -> str:
    """Why a scorer's labels mean nothing about frames that are rendered like this, and what to do about it; '' if they do."""
    return picture_notice(fit_to_pictures(scorer, render_spec), render_spec)


def stored_prompt(store: Store, prompt: str) -> int:
    """Id of the stored version of a prompt (as for `find_question`); saves the prompt if it is not stored yet.

    Raises:
        ConfigError: the prompt is empty or the version does not exist.
    """
    question = find_question(store, prompt)
    prompt_id = question.prompt_id or store.save_prompt(question.name, question.text).prompt_id
    assert prompt_id is not None
    return prompt_id


_KINDS = tuple(kind.replace("_", " ") for kind in PROGRESS_KINDS)


def questions_of(score: ClipScore, prompt: Prompt | None) -> tuple[str, ...]:
    """What each of a score's answers is about: the prompt's questions, or the kinds of progress that `oracle` reports."""
    asked = (score.scorer,) if prompt is None else replace(prompt, text=score.asked or prompt.text).questions
    if prompt is None and len(score.answers) == len(_KINDS):
        asked = _KINDS
    return tuple(asked[at] if at < len(asked) else f"question {at + 1}" for at in range(len(score.answers)))


def questions_asked(scorer: str | None, prompt: Prompt) -> tuple[str, ...]:
    """What a scorer answers: the prompt's questions, the kinds of progress (`oracle`), or nothing that is asked in words."""
    if scorer is None or not reads_prompt(scorer):
        return _KINDS if scorer == "oracle" else ()
    return prompt.questions
