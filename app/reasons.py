"""Why a run's labels help it to learn, or cannot, in words."""

from __future__ import annotations

from vlmrb.analysis.agreement import auc
from vlmrb.analysis.phases import FIFTH
from vlmrb.analysis.why import Curve, Labels, why
from vlmrb.config import defaults_of_run
from vlmrb.replay.registry import replay_method
from vlmrb.store import Store

NEWEST = 1_000
"""Clips whose labels are compared with events."""

_CURVES = ("scoring/yes_rate", "replay/vlm_share", "replay/drawn_yes", "replay/held_yes")


def reasons_of(store: Store, run_id: int) -> list[str]:
    """One sentence per reason, causes first; none if the run's replay reads no labels.

    Raises:
        NotFoundError: there is no such run.
    """
    run = store.run(run_id)
    settings = defaults_of_run(run.config) | run.config
    if run.scorer is None or not replay_method(str(settings["replay"])).mixes:
        return []
    curves = {name: Curve(*curve) for (_, name), curve in store.curves([run_id], _CURVES).items() if len(curve[0])}
    found = store.early_successes({run_id: int(settings["play_steps"])}, (1, FIFTH))[run_id]
    successes = [step for step in found if step is not None] if run.parent_id is None else [0, 0]
    clips = [clip for clip in store.clips(run_id, limit=NEWEST) if clip.score is not None and clip.score.probability is not None]
    agreement = auc([clip.score.probability for clip in clips if clip.score], [clip.progress for clip in clips])
    return why(run.step, curves, Labels(agreement, len(clips)), successes, str(settings["base"]))
