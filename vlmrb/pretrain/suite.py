"""What one kind of world contributes to the recipe: clips, questions, the eye and the exam."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmrb.pretrain.batches import SceneSource
from vlmrb.pretrain.card import Card
from vlmrb.pretrain.exam import Exam
from vlmrb.pretrain.model import ModelShape
from vlmrb.pretrain.questions import Catalogue


@dataclass(frozen=True, slots=True)
class Suite:
    """One kind of world to learn about. The functions get the folder where the training keeps its data.

    Attributes:
        name: in one word.
        pictures: their kind, as in a run's `render_spec`.
        catalogue: everything that can be asked.
        shape: sizes of the model.
        clips: how many the shipped model was trained on.
        prepare: (folder, seed, workers, report) makes the data that the source needs and keeps what already exists; `report` gets
            the finished share.
        make_source: (folder) the clips.
        make_eye: (folder, shape) an `Eye`.
        exam: (frames) clips that training never saw and questions about them; the model looks at `frames` frames of each.
        card: for the model's folder.
    """

    name: str
    pictures: str
    catalogue: Catalogue
    shape: ModelShape
    clips: int
    prepare: Callable[[Path, int, int, Callable[[float], None]], None]
    make_source: Callable[[Path], SceneSource]
    make_eye: Callable[[Path, ModelShape], Any]
    exam: Callable[[int], Exam]
    card: Card

    def make_exam(self) -> Exam:
        """The exam for a model of this suite's shape."""
        return self.exam(self.shape.frames)
