"""Grid worlds as the recipe needs them."""

from __future__ import annotations

from vlmrb.pretrain.card import Card
from vlmrb.pretrain.grids.catalogue import CATALOGUE
from vlmrb.pretrain.grids.environments import training_families
from vlmrb.pretrain.grids.exam import DoorKeyExam
from vlmrb.pretrain.grids.eye import GridEye
from vlmrb.pretrain.grids.learners import LEARNERS, prepare
from vlmrb.pretrain.grids.source import GridSource
from vlmrb.pretrain.grids.tiles import TILE, TilePictures
from vlmrb.pretrain.model import ModelShape
from vlmrb.pretrain.suite import Suite

GRIDS = Suite(
    name="grids",
    pictures="minigrid",
    catalogue=CATALOGUE,
    shape=ModelShape(frames=32, patch=TILE),
    clips=200_000,
    prepare=prepare,
    make_source=GridSource,
    make_eye=lambda _, shape: GridEye(shape.frames, shape.vision_width, TilePictures()),
    exam=DoorKeyExam,
    card=Card(
        subject="grid worlds",
        sights="MiniGrid's sprites at their original size",
        otherwise="For anything but MiniGrid, such as photographs, other games or text in pictures",
        cell=" (one cell of the grid)",
        seen=f"{len(training_families()) - 1} families of MiniGrid and BabyAI environments, of randomly scattered rooms, and of "
        f"{len(LEARNERS)} agents that learned in other environments",
        unseen="every DoorKey environment, which it is evaluated on",
        kinds="picking up, dropping, unlocking, opening, closing, reaching the goal, dying, entering a room, staying in place, "
        "going to an object, what is kept or left open at the end, what the first and the last frame show, progress; by object "
        "and colour",
        command="python -m vlmrb pretrain",
        hidden="MiniGrid's pictures do not show what the agent carries. ",
    ),
)
"""MiniGrid, every family but DoorKey."""
