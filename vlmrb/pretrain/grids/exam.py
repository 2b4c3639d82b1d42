"""The exam on DoorKey, which training never sees.

Two fifths of the clips come from agents that act at random, two fifths from agents that follow a plan and slip, as half-trained
ones do, and one fifth from runs of DQN that learn there.
"""

from __future__ import annotations

from functools import partial

from vlmrb.envs import make_renderer
from vlmrb.pretrain.exam import ASKED_PROGRESS, Asked, HeldOut, does, equal_shares
from vlmrb.pretrain.grids.catalogue import CATALOGUE
from vlmrb.pretrain.grids.tiles import TILE
from vlmrb.pretrain.grids.truth import truth_of
from vlmrb.pretrain.grids.worlds import SceneMaker
from vlmrb.pretrain.learning import Learner, clips_of
from vlmrb.pretrain.questions import Catalogue, Matter
from vlmrb.pretrain.sampling import frame_indices
from vlmrb.scoring.worker import make_request
from vlmrb.types import Clip, FrameRenderer, ScoringRequest

_SIZES = (5, 6, 8, 12, 16)
_PLANNED = {"random": 0.0, "half-trained": 0.55}  # share of the moods that follow a plan, by behaviour
_LEARNERS = (Learner("DoorKey-5x5", 20_000), Learner("DoorKey-6x6", 30_000))
_LEARNERS_SHARE = 0.2
_TIMED_CLIPS = 64
_does = partial(does, "the agent")


class DoorKeyExam:
    """DoorKey 5x5 to 16x16.

    Args:
        frames: how many frames of a clip the model looks at.
    """

    catalogue: Catalogue = CATALOGUE
    visuals: tuple[str, ...] = ("swapped", "abstract")
    questions: tuple[Asked, ...] = (
        ASKED_PROGRESS,
        _does("pick up a key", "picked_up", "key"),
        _does("drop a key", "dropped", "key"),
        _does("unlock a door", "unlocked", "door"),
        _does("open a door", "opened", "door"),
        _does("close a door", "closed", "door"),
        _does("reach the goal", "goal_reached"),
        _does("enter another room", "entered"),
        _does("go to a key", "faced", "key"),
        Asked(
            Matter("kept", "key"),
            "Does the agent still hold a key at the end?",
            "Is it false that the agent ends up with a key?",
        ),
        Asked(Matter("left open", "door"), "Is a door still open at the end?", "Does this clip end without a door being open?"),
        Asked(Matter("stayed"), "Does the agent stay in the same place?", "Does the agent move?"),
    )

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._renderers: dict[str, FrameRenderer] = {}

    def held_out(self, clips: int, seed: int) -> list[HeldOut]:
        """Clips of all sizes and behaviours, as a run would score them."""
        combinations = [(f"DoorKey-{size}x{size}", planned) for size in _SIZES for planned in _PLANNED.values()]
        learnt, items = round(clips * _LEARNERS_SHARE), []
        for number, share in enumerate(equal_shares(clips - learnt, len(combinations))):
            items += self._play(*combinations[number], (seed, number), share)
        for learner, share in zip(_LEARNERS, equal_shares(learnt, len(_LEARNERS)), strict=True):
            items += [self._held_out(learner.env, clip) for clip in clips_of(learner, seed, share)]
        return items

    def timed(self, seed: int) -> list[HeldOut]:
        """Clips of DoorKey-8x8."""
        return self._play("DoorKey-8x8", 0.5, (seed, 99), _TIMED_CLIPS)

    def request(self, item: HeldOut, visuals: str = "normal") -> ScoringRequest:
        """A clip with its frames, drawn now."""
        if visuals not in self._renderers:
            self._renderers[visuals] = make_renderer({"kind": "minigrid", "tile_size": TILE, "visuals": visuals})
        return make_request(item.clip, self._renderers[visuals], self._frames)

    def _play(self, env_id: str, planned: float, seed: tuple[int, int], clips: int) -> list[HeldOut]:
        played = SceneMaker([env_id], planned=planned, vary=False).as_they_come(seed, clips)
        return [self._held_out(env_id, clip) for _, clip in played]

    def _held_out(self, env_id: str, clip: Clip) -> HeldOut:
        return HeldOut(env_id, clip, truth_of(clip, frame_indices(len(clip), self._frames)))
