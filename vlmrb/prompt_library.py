"""The questions that can be asked: shipped presets, and what is stored."""

from __future__ import annotations

from vlmrb.errors import ConfigError
from vlmrb.scoring import fit_to_pictures, load_presets, pictures_of, prompt_notice, resolve_prompt
from vlmrb.store import Store
from vlmrb.types import Prompt


def prompt_presets() -> list[Prompt]:
    """The shipped prompts, by name and version."""
    return [prompt for versions in load_presets().values() for prompt in versions]


def save_prompt(store: Store, name: str, text: str) -> Prompt:
    """Store a text as the next version of a name; the same text under the same name is the same version.

    Raises:
        ConfigError: the name is empty or a preset's, or the text is empty.
    """
    name = name.strip()
    if not name or "@" in name:
        raise ConfigError("name: give one of your own, without an @, such as 'keys and doors'")
    if name in {prompt.name for prompt in prompt_presets()} | {"custom"}:
        raise ConfigError(f"name: {name!r} is a preset's and stays as it was published; give another name")
    return store.save_prompt(name, text)


def find_question(store: Store, prompt: str) -> Prompt:
    """What a preset, 'name@version' of the store, or the text of a question stands for; nothing is written.

    Raises:
        ConfigError: it is empty, or there is no such version.
    """
    if not prompt.strip():
        raise ConfigError("prompt: is empty; give a preset (games, manipulation) or the text of a yes/no question")
    name, at, version = prompt.strip().rpartition("@")
    if at and version.isdecimal() and (found := store.find_prompt(name, int(version))):
        return found
    return resolve_prompt(prompt)


def unreadable(store: Store, scorer: str, prompt: str, env: str) -> str:
    """What a scorer cannot read of a question (as `find_question` has it), in words with a way out; '' if it can.

    `env` is the environment that it is asked about, where 'embedded' is not settled yet.

    Raises:
        ConfigError: there is no such question.
    """
    return prompt_notice(fit_to_pictures(scorer, {"kind": pictures_of(env)}), find_question(store, prompt).text)


def stored_prompt(store: Store, prompt: str) -> int:
    """The id of the stored version that `prompt` stands for, as `find_question` has it; stored now where it was not.

    Raises:
        ConfigError: it is empty, or there is no such version.
    """
    question = find_question(store, prompt)
    prompt_id = question.prompt_id or store.save_prompt(question.name, question.text).prompt_id
    assert prompt_id is not None
    return prompt_id
