"""The exam on DoorKey, which no training has seen.

Clips come from agents that act at random and from agents that follow a plan and slip, as half-trained ones do.
"""

from __future__ import annotations

from vlmrb.envs import make_renderer
from vlmrb.pretrain.exam import Asked, HeldOut
from vlmrb.pretrain.grids.catalogue import CATALOGUE
from vlmrb.pretrain.grids.tiles import TILE
from vlmrb.pretrain.grids.truth import truth_of
from vlmrb.pretrain.grids.worlds import SceneMaker
from vlmrb.pretrain.questions import Catalogue, Matter
from vlmrb.pretrain.sampling import frame_indices
from vlmrb.types import Clip, FrameRenderer, ScoringRequest

_SIZES = (5, 6, 8, 12, 16)
_BEHAVIOURS = {"random": 0.0, "half-trained": 0.55}
_TIMED_CLIPS = 64


class DoorKeyExam:
    """DoorKey 5x5 to 16x16.

    Args:
        frames: of a clip that the model looks at.
    """

    catalogue: Catalogue = CATALOGUE
    visuals: tuple[str, ...] = ("swapped", "abstract")
    questions: tuple[Asked, ...] = (
        Asked(Matter("progress"), "Does this clip show meaningful progress?", "Does this clip end without meaningful progress?"),
        Asked(Matter("picked_up", "key"), "Does the agent pick up a key?", "Does the agent never pick up a key?"),
        Asked(Matter("dropped", "key"), "Does the agent drop a key?", "Does the agent never drop a key?"),
        Asked(Matter("unlocked", "door"), "Does the agent unlock a door?", "Does the agent never unlock a door?"),
        Asked(Matter("opened", "door"), "Does the agent open a door?", "Does the agent never open a door?"),
        Asked(Matter("closed", "door"), "Does the agent close a door?", "Does the agent never close a door?"),
        Asked(Matter("goal_reached"), "Does the agent reach the goal?", "Does the agent never reach the goal?"),
        Asked(Matter("entered"), "Does the agent enter another room?", "Does the agent never enter another room?"),
        Asked(Matter("stayed"), "Does the agent stay in the same place?", "Does the agent move?"),
    )

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._renderers: dict[str, FrameRenderer] = {}

    def held_out(self, clips: int, seed: int) -> list[HeldOut]:
        """Clips of all sizes and behaviours, as a run would score them."""
        items = []
        combinations = [(size, name) for size in _SIZES for name in _BEHAVIOURS]
        for number, (size, name) in enumerate(combinations):
            env_id = f"DoorKey-{size}x{size}"
            maker = SceneMaker([env_id], planned=_BEHAVIOURS[name], vary=False)
            share = clips * (number + 1) // len(combinations) - clips * number // len(combinations)
            items += [self._item(env_id, clip) for _, clip in maker.as_they_come((seed, number), share)]
        return items

    def timed(self, seed: int) -> list[HeldOut]:
        """Clips of DoorKey-8x8."""
        maker = SceneMaker(["DoorKey-8x8"], planned=0.5, vary=False)
        return [self._item("DoorKey-8x8", clip) for _, clip in maker.as_they_come((seed, 99), _TIMED_CLIPS)]

    def request(self, item: HeldOut, visuals: str = "normal") -> ScoringRequest:
        """A clip with its frames, drawn now."""
        if visuals not in self._renderers:
            self._renderers[visuals] = make_renderer({"kind": "minigrid", "tile_size": TILE, "visuals": visuals})
        indices = frame_indices(len(item.clip), self._frames)
        frames = self._renderers[visuals].render(item.clip.snapshots[indices])
        return ScoringRequest(item.clip, frames, tuple(int(index) for index in indices))

    def _item(self, env_id: str, clip: Clip) -> HeldOut:
        return HeldOut(env_id, clip, truth_of(clip, frame_indices(len(clip), self._frames)))
