"""ReLo: prioritised replay by reducible loss (Sujit et al. 2022, arXiv 2208.10483).

The priority is how much of an item's loss can still be learned away: the loss of the online network minus that of the
target network, both against the same target, clipped at 0. Everything else is PER. The authors' code uses α 0.6 with DQN,
0.5 with SAC, and β 0.4 rising to 1.
"""

from __future__ import annotations

import numpy as np

from vlmrb.replay.method import ReplayMethod
from vlmrb.replay.methods.per import SETTINGS, VARIANTS, PrioritizedSampler
from vlmrb.types import Feedback


class ReLoSampler(PrioritizedSampler):
    """PER with p_i = max(0, L_online(i) − L_target(i)) + ε (equation 7 of the paper). Arguments as those of PER."""

    def feedback(self, slots: np.ndarray, feedback: Feedback) -> None:
        """p = max(0, reducible loss) + ε."""
        assert feedback.reducible_losses is not None, "the agent was not asked for reducible losses"
        self.prioritize(slots, np.maximum(feedback.reducible_losses.astype(np.float64), 0.0))


METHOD = ReplayMethod(
    key="relo",
    label="ReLo",
    summary="by reducible loss",
    color="teal",
    make=ReLoSampler.of,
    settings=SETTINGS,
    defaults={"importance_weights": True},
    variants=VARIANTS,
    feedback=("reducible_losses",),
    stored=("per_alpha",),
)
