"""The robot's scenes as the recipe needs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vlmrb.pretrain.model import ModelShape
from vlmrb.pretrain.robots.catalogue import CATALOGUE
from vlmrb.pretrain.robots.exam import SceneExam
from vlmrb.pretrain.robots.eye import RobotEye
from vlmrb.pretrain.robots.pictures import SIDE, PatchPictures
from vlmrb.pretrain.robots.source import EPISODES, RobotSource, prepare
from vlmrb.pretrain.suite import Suite

_SHAPE = ModelShape(frames=8, patch=SIDE, vision_width=96, vision_layers=4, vision_heads=3, text_width=96, text_heads=3)
_CARD = """# The embedded model of VLM-RB for robots

A small frozen vision-language model that answers yes/no questions about short clips of OGBench's robot arm, so that VLM-guided
replay works there on first run, without a download and without a GPU.

**It is not a general vision-language model.** It was made by this project, from nothing, on OGBench's simulated scenes alone. It
knows {words} English words and marks, one arm, cubes, buttons, a drawer and a window as OGBench's camera shows them, and nothing
else. For any other robot, camera or question choose a hub model (`--scorer hf:<hub id>`).

| | |
|---|---|
| architecture | Qwen2-VL (`transformers`), {parameters:,} parameters; {frames} frames of a clip; a patch is \
{patch} × {patch} pixels over all frames |
| seen | {clips:,} clips of {episodes} filmed episodes of the cube, puzzle and scene environments, with layouts and goals at \
random; half of the episodes with other camera angles, colours and light |
| not seen | OGBench's own tasks (`…-singletask-…`), and what a learning agent does |
| questions | {questions} matters (grasping, lifting, dropping, moving a cube, putting it into the drawer or to its target; \
opening, closing, locking and unlocking drawer and window; pressing a button, holding still, what stands open first and last, \
progress), in many phrasings, with their opposites |
| made by | `python -m vlmrb pretrain --suite robots`, seed {seed} |

What is done and undone between two of the {frames} frames cannot be seen: such answers are guesses, and P(yes) should say so.

The questions in plain words are in `questions.json`. `python -m vlmrb pretrain --suite robots --evaluate FOLDER` measures this
folder.
"""


def _prepare(folder: Path, seed: int, workers: int, report: Callable[[float], None]) -> None:
    prepare(folder, seed, EPISODES, workers, report)


def _make_eye(folder: Path, shape: ModelShape) -> RobotEye:
    return RobotEye(shape.frames, shape.vision_width, PatchPictures.load(folder / "pictures.npy"))


def _make_exam() -> SceneExam:
    return SceneExam(_SHAPE.frames)


ROBOTS = Suite(
    name="robots",
    pictures="ogbench",
    catalogue=CATALOGUE,
    shape=_SHAPE,
    clips=100_000,
    prepare=_prepare,
    make_source=RobotSource,
    make_eye=_make_eye,
    make_exam=_make_exam,
    card=_CARD.replace("{episodes}", f"{EPISODES:,}"),
)
"""OGBench's cube, puzzle and scene environments."""
