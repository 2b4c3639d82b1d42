"""Render MuJoCo scenes without a screen: which OpenGL to use, and what to do if there is none."""

from __future__ import annotations

import ctypes.util
import os
import sys

from vlmrb.errors import EnvironmentSetupError

_LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}


def choose_gl() -> str:
    """Choose the OpenGL back end before anything imports MuJoCo; returns its name, '' for MuJoCo's own choice.

    `MUJOCO_GL` decides if it is set. Otherwise, on Linux, it becomes egl, which uses a GPU if there is one, or osmesa.
    """
    if not os.environ.get("MUJOCO_GL") and sys.platform == "linux":
        for name, library in _LIBRARIES.items():
            if ctypes.util.find_library(library):
                os.environ["MUJOCO_GL"] = name
                break
    return os.environ.get("MUJOCO_GL", "")


def cannot_draw(error: BaseException) -> EnvironmentSetupError:
    """The error for a machine where MuJoCo finds no working OpenGL, with the way out."""
    tried = os.environ.get("MUJOCO_GL") or "the default"
    return EnvironmentSetupError(
        f"MuJoCo cannot render without a screen here (OpenGL: {tried}; {type(error).__name__}: {str(error)[:200]}). Install EGL "
        "(Debian and Ubuntu: apt-get install libegl1 libgl1-mesa-dri libopengl0) or OSMesa (libosmesa6); to choose one, set "
        "MUJOCO_GL=egl or MUJOCO_GL=osmesa"
    )
