"""The available prompts: presets and stored prompts."""

from __future__ import annotations

from vlmrb.prompt_library import prompt_presets
from vlmrb.store import Store
from vlmrb.types import Prompt


def known_prompts(store: Store) -> list[Prompt]:
    """The presets, then the stored prompts with other names or versions."""
    presets = prompt_presets()
    listed = {(prompt.name, prompt.version) for prompt in presets}
    return presets + [prompt for prompt in store.prompts() if (prompt.name, prompt.version) not in listed]
