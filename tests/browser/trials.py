"""Trials of a prompt without a model, for the pages that show them."""

from __future__ import annotations

from vlmrb import Store
from vlmrb.types import ClipScore


def add_trials(store: Store, run_id: int, clips: int = 20) -> tuple[int, int]:
    """Two finished trials of the same clips, whose answers differ in half of them; gives their numbers."""
    ids = store.sample_clips([run_id], clips)
    made = []
    for name, question, answers in (
        ("keys", "Does the agent pick up a <b>key</b>?", [0.9]),
        ("doors", "Does the agent open a <b>door</b>?", [0.9, 0.2]),
    ):
        prompt = store.save_prompt(name, question)
        trial = store.create_trial(
            scorer="embedded", prompt_id=prompt.prompt_id, threshold=0.5, options={"frames": None}, clip_ids=ids
        )
        said = [(clip, answers[at % len(answers)]) for at, clip in enumerate(ids)]
        store.add_trial_scores(trial, [ClipScore(clip, p, None, None, 0.5, "embedded", "m", "", None) for clip, p in said])
        store.end_trial(trial, "finished")
        made.append(trial)
    return made[0], made[1]
