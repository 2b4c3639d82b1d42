"""Live changes as pages show them: what was changed, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vlmrb.store import Store
from vlmrb.types import EDITS, LiveChange, Prompt


@dataclass(frozen=True, slots=True)
class Change:
    """A live change; `value` as text."""

    change_id: int
    name: str
    value: str
    status: str
    requested_at: float
    applied_step: int | None
    error: str


@dataclass(frozen=True, slots=True)
class ChangeMark:
    """A live change of λ, the prompt or the question that a run applied at a step, to be marked in charts."""

    run_id: int
    step: int
    name: str
    value: str


def change_of(request: LiveChange, prompts: Mapping[int | None, Prompt]) -> Change:
    """The change in words; `prompts` by id."""
    value = request.value
    if request.name == "prompt":
        prompt = prompts.get(value if isinstance(value, int) else None)
        words = prompt_words(prompt) if prompt is not None else f"prompt {value}"
    elif request.name == "lambda":
        words = {"schedule": "as scheduled", "none": "no mixture"}.get(str(value), str(value))
    elif request.name == "question":
        words = "as configured" if value == "schedule" else str(value)
    else:
        words = ""
    return Change(
        request.change_id, request.name, words, request.status, request.requested_at, request.applied_step, request.error
    )


def prompt_words(prompt: Prompt) -> str:
    """A prompt in one line: "progress@2: Did …?"."""
    return f"{prompt.name}@{prompt.version}: {prompt.text}"


def change_marks(store: Store, run_ids: Sequence[int]) -> list[ChangeMark]:
    """What was changed in these runs while they trained, by run and in order."""
    requests = [each for each in store.live_changes(*run_ids, status="applied") if each.name in EDITS]
    prompts: dict[int | None, Prompt] = {prompt.prompt_id: prompt for prompt in store.prompts()} if requests else {}
    return [
        ChangeMark(request.run_id, request.applied_step, request.name, change_of(request, prompts).value)
        for request in requests
        if request.applied_step is not None
    ]
