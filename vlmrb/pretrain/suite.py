"""What a kind of world gives to the recipe: questions, clips, how they are seen, and what the model's card says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmrb.pretrain.batches import SceneSource
from vlmrb.pretrain.exam import Exam
from vlmrb.pretrain.model import ModelShape
from vlmrb.pretrain.questions import Catalogue


@dataclass(frozen=True, slots=True)
class Suite:
    """One kind of world to learn about. All functions are given the folder that the training keeps its data in.

    Attributes:
        name: in one word.
        pictures: their kind, as in a run's `render_spec`.
        catalogue: everything that can be asked.
        shape: sizes of the model.
        clips: that the shipped model was trained on.
        prepare: (folder, seed, workers, report) makes what the source needs, going on with what is there; told to `report` is
            the share that is done. None where clips are made on the fly.
        make_source: (folder) the clips.
        make_eye: (folder, shape) how they are seen, an nn.Module.
        make_exam: () clips that no training has seen, and questions about them.
        card: the model card as a text with the places {clips}, {seed}, {parameters}, {frames}, {patch}, {words}, {questions}.
    """

    name: str
    pictures: str
    catalogue: Catalogue
    shape: ModelShape
    clips: int
    prepare: Callable[[Path, int, int, Callable[[float], None]], None] | None
    make_source: Callable[[Path], SceneSource]
    make_eye: Callable[[Path, ModelShape], Any]
    make_exam: Callable[[], Exam]
    card: str
