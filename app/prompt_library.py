"""The questions there are: shipped presets, and what is stored."""

from __future__ import annotations

from vlmrb.prompt_library import prompt_presets
from vlmrb.store import Store
from vlmrb.types import Prompt


def known_prompts(store: Store) -> list[Prompt]:
    """The presets, then the questions that are stored under other names or versions."""
    presets = prompt_presets()
    there = {(prompt.name, prompt.version) for prompt in presets}
    return presets + [prompt for prompt in store.prompts() if (prompt.name, prompt.version) not in there]
