"""Prompts: free text, or named, versioned yes/no questions from assets/prompts.json.

The presets 'games' and 'manipulation' ask what the paper's two prompts ask, in our own words; 'progress' asks about a
milestone, and 'milestones' is a set of questions, one for each milestone of a key-and-door task. A published version is never
edited: a better wording is a new version of the same name.
"""

from __future__ import annotations

import json
import re

from vlmrb.assets import asset_path
from vlmrb.errors import ConfigError, VlmrbError
from vlmrb.types import MAX_QUESTIONS, PLACEHOLDERS, Prompt

MAX_PROMPT_LENGTH = 8_000
"""Maximum number of characters in a prompt."""

MAX_WEIGHT = 100.0
"""Largest weight of a question."""

_NAME = re.compile(r"([A-Za-z][\w-]*)(?:@(\S*))?")  # a single word is never a question
_BRACES = re.compile(r"\{\s*(?:[^\W\d][^{}\n,;|=\"']*)?\}")
"""What looks like a placeholder; numbers, lists and quoted words in braces do not."""


def load_presets() -> dict[str, list[Prompt]]:
    """The shipped presets by name, versions ascending.

    Raises:
        VlmrbError: the preset file is missing or damaged.
    """
    path = asset_path("prompts.json")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        presets = {
            name: [Prompt(name, int(version["version"]), check_prompt_text(version["text"])) for version in versions]
            for name, versions in entries.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise VlmrbError(f"the prompt preset file {path} is damaged ({reason}); reinstall VLM-RB") from error
    return {name: sorted(versions, key=lambda prompt: prompt.version) for name, versions in presets.items()}


def resolve_prompt(text_or_name: str) -> Prompt:
    """The prompt that a setting refers to: a preset, or the text itself.

    Args:
        text_or_name: 'games' (its newest version), 'games@1', or the text of a yes/no question or of a set of them (one per line,
            each after '- '), which becomes 'custom', version 1.

    Raises:
        ConfigError: empty, too long, not printable, or no such name or version.
    """
    prompt = accepted_prompt(text_or_name)
    if prompt.name != "custom":
        return prompt
    if _NAME.fullmatch(prompt.text):
        raise ConfigError(
            f"prompt: there is no preset {prompt.text[:100]!r}; choose from {known_presets()}, "
            "or write a question of more than one word"
        )
    check_prompt_text(prompt.text)
    return prompt


def accepted_prompt(text_or_name: str) -> Prompt:
    """The prompt that a setting refers to, as `resolve_prompt` has accepted it when its run was created."""
    stripped = text_or_name.strip()
    return find_preset(stripped) or Prompt("custom", 1, stripped)


def find_preset(name: str) -> Prompt | None:
    """The preset of a name, 'games' (its newest version) or 'games@1'; None if there is none."""
    name, at, version = name.partition("@")
    versions = reversed(load_presets().get(name, []))
    return next((prompt for prompt in versions if not at or version == str(prompt.version)), None)


def known_presets() -> str:
    """All presets with their versions, for a message."""
    return ", ".join(f"{prompt.name}@{prompt.version}" for versions in load_presets().values() for prompt in versions)


def check_prompt_text(text: str) -> str:
    """The text without surrounding space.

    Raises:
        ConfigError: empty, longer than MAX_PROMPT_LENGTH, with characters that cannot be stored or shown, or with a placeholder
            that nothing fills; or a set of more than MAX_QUESTIONS questions, with an empty one, or with a weight that is not in
            (0, MAX_WEIGHT].
    """
    text = text.strip()
    if not text:
        raise ConfigError(
            "prompt: is empty; give a preset (games, manipulation, progress, milestones) or the text of a yes/no question"
        )
    if len(text) > MAX_PROMPT_LENGTH:
        raise ConfigError(f"prompt: has {len(text)} characters; allowed: up to {MAX_PROMPT_LENGTH}")
    strange = next((c for c in text if (ord(c) < 32 and c not in "\n\r\t") or ord(c) == 127 or 0xD800 <= ord(c) <= 0xDFFF), None)
    if strange is not None:
        raise ConfigError(f"prompt: contains the control character {strange!r}; use plain text")
    check_placeholders(text)
    prompt = Prompt("custom", 1, text)
    questions = prompt.questions
    for number, weight in enumerate(prompt.weights, 1):
        if not 0.0 < weight <= MAX_WEIGHT:
            raise ConfigError(
                f"prompt: question {number} has the weight {weight:g}; allowed: above 0, up to {MAX_WEIGHT:g}, such as "
                "'- [0.5] Does the agent open a door?'"
            )
    if len(questions) > MAX_QUESTIONS:
        raise ConfigError(f"prompt: is a set of {len(questions)} questions; allowed: up to {MAX_QUESTIONS}")
    if "" in questions:
        raise ConfigError(
            f"prompt: question {questions.index('') + 1} of {len(questions)} is empty; allowed: 1 to {MAX_QUESTIONS} questions, "
            "each with text after '- '"
        )
    return text


def check_placeholders(text: str, setting: str = "prompt") -> None:
    """Check that what looks like a placeholder is one: a model would be asked about '{mision}' as it stands.

    Raises:
        ConfigError: nothing fills one; `setting` is what the message names.
    """
    unknown = next((found[0] for found in _BRACES.finditer(text) if found[0] not in PLACEHOLDERS), None)
    if unknown is not None:
        raise ConfigError(
            f"{setting}: nothing fills {unknown[:100]}; write {' or '.join(PLACEHOLDERS)} for what the episode is about, and "
            "anything else without braces"
        )
