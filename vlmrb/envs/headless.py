"""Drawing MuJoCo's scenes without a screen: which OpenGL to use, and what to do where there is none."""

from __future__ import annotations

import ctypes.util
import os
import sys

from vlmrb.errors import EnvironmentSetupError

_LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}


def choose_gl() -> str:
    """Name the OpenGL that MuJoCo shall draw with, before anything imports it; returns the name, '' for MuJoCo's own choice.

    `MUJOCO_GL` decides where it is set. Elsewhere on Linux it becomes egl, which uses a GPU where there is one, or osmesa.
    """
    if not os.environ.get("MUJOCO_GL") and sys.platform == "linux":
        for name, library in _LIBRARIES.items():
            if ctypes.util.find_library(library):
                os.environ["MUJOCO_GL"] = name
                break
    return os.environ.get("MUJOCO_GL", "")


def cannot_draw(error: Exception) -> EnvironmentSetupError:
    """The error for a machine on which MuJoCo finds no OpenGL that works, with the way out."""
    tried = os.environ.get("MUJOCO_GL") or "the default"
    return EnvironmentSetupError(
        f"MuJoCo cannot draw without a screen here (OpenGL: {tried}; {type(error).__name__}: {str(error)[:200]}). Install EGL "
        "(Debian and Ubuntu: apt-get install libegl1 libgl1-mesa-dri) or OSMesa (libosmesa6); to choose one set MUJOCO_GL=egl "
        "or MUJOCO_GL=osmesa"
    )
