"""Environments: created by id, stepped in parallel, rendered from snapshots.

Neither gymnasium nor minigrid is imported until an environment is created.
"""

from __future__ import annotations

from vlmrb.envs.base import Environment, EnvStep
from vlmrb.envs.factory import make_env
from vlmrb.envs.headless import cannot_draw, choose_gl
from vlmrb.envs.judging import judge_for
from vlmrb.envs.play import Play, check_play
from vlmrb.envs.rendering import make_renderer
from vlmrb.envs.text_frames import LARGEST_CELL, SMALLEST_CELL, page_size, texts_of
from vlmrb.envs.trying import TriedEnvironment, takes_frames, try_env, what_is_tried
from vlmrb.envs.vector import VectorEnv, VectorStep

__all__ = [
    "EnvStep",
    "Environment",
    "LARGEST_CELL",
    "Play",
    "SMALLEST_CELL",
    "TriedEnvironment",
    "VectorEnv",
    "VectorStep",
    "cannot_draw",
    "check_play",
    "choose_gl",
    "judge_for",
    "make_env",
    "make_renderer",
    "page_size",
    "takes_frames",
    "texts_of",
    "try_env",
    "what_is_tried",
]
