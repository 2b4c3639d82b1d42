"""Grid worlds as the recipe needs them."""

from __future__ import annotations

from pathlib import Path

from vlmrb.pretrain.grids.catalogue import CATALOGUE
from vlmrb.pretrain.grids.environments import training_families
from vlmrb.pretrain.grids.exam import DoorKeyExam
from vlmrb.pretrain.grids.eye import GridEye
from vlmrb.pretrain.grids.source import GridSource
from vlmrb.pretrain.grids.tiles import TILE, TilePictures
from vlmrb.pretrain.model import ModelShape
from vlmrb.pretrain.suite import Suite

_SHAPE = ModelShape(frames=24, patch=TILE)
_CARD = """# The embedded model of VLM-RB

A small frozen vision-language model that answers yes/no questions about short clips of grid worlds, so that VLM-guided replay
works on first run, without a download and without a GPU.

**It is not a general vision-language model.** It was made by this project, from nothing, on simulated grid worlds alone. It
knows {words} English words and marks, MiniGrid's sprites at their own size, and nothing else: no photographs, no other games, no
text in pictures. For anything but MiniGrid choose a hub model (`--scorer hf:<hub id>`).

| | |
|---|---|
| architecture | Qwen2-VL (`transformers`), {parameters:,} parameters; {frames} frames of a clip; a patch is one cell of \
{patch} × {patch} pixels over all frames |
| seen | {clips:,} clips of {families} families of MiniGrid and BabyAI environments, and of randomly scattered rooms |
| not seen | every DoorKey environment: what it is measured on |
| questions | {questions} matters (picking up, dropping, unlocking, opening, closing, reaching the goal, dying, entering a room, \
staying in place, what stands there first and last, progress; by object and colour), in many phrasings, with their opposites |
| made by | `python -m vlmrb pretrain`, seed {seed} |

What the agent carries is not in MiniGrid's pictures, and what happens between two frames and is undone before the second cannot
be seen: such answers are guesses, and P(yes) should say so.

The questions in plain words are in `questions.json`. `python -m vlmrb pretrain --evaluate FOLDER` measures this folder.
"""


def _make_source(_: Path) -> GridSource:
    return GridSource()


def _make_eye(_: Path, shape: ModelShape) -> GridEye:
    return GridEye(shape.frames, shape.vision_width, TilePictures())


def _make_exam() -> DoorKeyExam:
    return DoorKeyExam(_SHAPE.frames)


GRIDS = Suite(
    name="grids",
    pictures="minigrid",
    catalogue=CATALOGUE,
    shape=_SHAPE,
    clips=120_000,
    prepare=None,
    make_source=_make_source,
    make_eye=_make_eye,
    make_exam=_make_exam,
    card=_CARD.replace("{families}", str(len(training_families()) - 1)),
)
"""MiniGrid, every family but DoorKey."""
