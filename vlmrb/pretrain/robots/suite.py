"""The robot's scenes as the recipe needs them."""

from __future__ import annotations

from vlmrb.pretrain.card import Card
from vlmrb.pretrain.model import ModelShape
from vlmrb.pretrain.robots.catalogue import CATALOGUE
from vlmrb.pretrain.robots.exam import SceneExam
from vlmrb.pretrain.robots.eye import RobotEye
from vlmrb.pretrain.robots.learners import AGENTS
from vlmrb.pretrain.robots.pictures import SIDE, PatchPictures
from vlmrb.pretrain.robots.source import EPISODES, RobotSource, prepare
from vlmrb.pretrain.suite import Suite

ROBOTS = Suite(
    name="robots",
    pictures="ogbench",
    catalogue=CATALOGUE,
    shape=ModelShape(frames=8, patch=SIDE, vision_width=96, vision_layers=4, vision_heads=3, text_width=96, text_heads=3),
    clips=100_000,
    prepare=prepare,
    make_source=RobotSource,
    make_eye=lambda folder, shape: RobotEye(shape.frames, shape.vision_width, PatchPictures.load(folder / "pictures.npy")),
    exam=SceneExam,
    card=Card(
        title=" for robots",
        subject="OGBench's robot arm",
        sights="one arm, cubes, buttons, a drawer and a window as OGBench's camera shows them",
        otherwise="For any other robot or camera",
        seen=f"{EPISODES:,} filmed episodes of scripted robots in the cube, puzzle and scene environments with random layouts "
        f"and goals, and {sum(agent.films for agent in AGENTS)} of agents that learned (SAC and TD3 in tasks of cubes and "
        "puzzles, and policies that imitate scripted play in the scene, frozen after 200 to 6,000 updates); half of all with "
        "other camera angles, colours and light",
        unseen="the scene's own tasks (`scene-singletask-…`) and agents that learn there, which it is evaluated on",
        kinds="grasping, lifting, dropping and moving a cube, putting it into the drawer or at its target; opening, closing, "
        "locking and unlocking drawer and window; pressing a button, holding still, what is open in the first and the last "
        "frame, progress",
        command="python -m vlmrb pretrain --suite robots",
    ),
)
"""OGBench's cube, puzzle and scene environments."""
