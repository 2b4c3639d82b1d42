"""Frames of environments that render in every way but ours."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest

from vlmrb.clips import ClipRecorder
from vlmrb.envs import VectorEnv
from vlmrb.envs.frames import FrameMaker
from vlmrb.envs.gymnasium_env import GymnasiumEnvironment
from vlmrb.errors import EnvironmentSetupError


class Painter(gym.Env):
    """Its pictures are what `paint(time)` returns; an episode takes 8 steps."""

    metadata: ClassVar = {"render_modes": ["rgb_array"]}
    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    render_mode = "rgb_array"

    def __init__(self, paint: Any) -> None:
        self.paint, self.time = paint, 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> Any:
        self.time += 1
        return np.zeros(2, np.float32), 0.0, self.time == 8, False, {}

    def render(self) -> Any:
        return self.paint(self.time)


def clip_of(paint: Any) -> np.ndarray:
    """Frames of an episode of 8 steps, as the recorder keeps them."""
    vector = VectorEnv([GymnasiumEnvironment(Painter(paint))], lambda: 0)
    vector.reset()
    recorder, clips = ClipRecorder(1, 32, run_id=1), []
    for step in range(8):
        seen = vector.step(np.array([0]))
        moved = seen.transition
        clips += recorder.add(np.array([step]), seen.snapshots, moved.reward, seen.events, moved.terminated, moved.truncated)
    (clip,) = clips
    return clip.snapshots


CANVAS = np.zeros((24, 24, 3), np.uint8)


def bar(time: int, value: Any = 200, shape: tuple[int, ...] = (24, 24, 3), dtype: Any = np.uint8) -> np.ndarray:
    """A black picture with a bar that moves to the right."""
    picture = np.zeros(shape, dtype)
    picture[:, time] = value
    return picture


def redraw(time: int, view: slice = slice(None)) -> np.ndarray:
    CANVAS[:] = bar(time)
    return CANVAS[view]


EXPECTED = np.stack([bar(time) for time in range(1, 9)])


@pytest.mark.parametrize(
    "paint",
    [
        bar,
        redraw,
        lambda time: np.flip(redraw(time), 0),
        lambda time: memoryview(redraw(time)),
        lambda time: bar(time, 200.0, dtype=np.float64),
        lambda time: bar(time, 200 / 255, dtype=np.float32),
        lambda time: bar(time, 200, dtype=np.int64),
        lambda time: bar(time, 200, (24, 24)),
        lambda time: bar(time, 200 / 255, (24, 24), np.float64),
        lambda time: bar(time, 200, (24, 24, 1)),
        lambda time: np.concatenate([redraw(time), np.full((24, 24, 1), 255, np.uint8)], axis=2),
        lambda time: np.moveaxis(redraw(time), 2, 0),
        lambda time: bar(time).tolist(),
    ],
)
def test_every_kind_of_picture_becomes_the_same_clip(paint: Any) -> None:
    clip = clip_of(paint)
    assert clip.dtype == np.uint8 and clip.flags.c_contiguous
    np.testing.assert_array_equal(clip, EXPECTED)


def test_a_picture_of_truths_is_black_and_white() -> None:
    np.testing.assert_array_equal(clip_of(lambda time: bar(time, True, (24, 24), bool)), EXPECTED // 200 * 255)


def test_floats_beyond_one_stay_on_their_scale_in_dark_pictures() -> None:
    maker = FrameMaker("Dim-v0")
    assert maker.frame(np.full((8, 8, 3), 0.5)).max() == 128
    assert maker.frame(np.full((8, 8, 3), 140.0)).max() == 140
    assert maker.frame(np.full((8, 8, 3), 1.0)).max() == 1


def test_pictures_that_change_size_are_fitted_into_the_first_of_their_episode() -> None:
    clip = clip_of(lambda time: np.full((20 + 10 * time, 40, 3), 9, np.uint8))
    assert clip.shape == (8, 30, 40, 3) and (clip[0] == 9).all()
    assert (clip[7][:, 20] == 9).all() and (clip[7][:, 0] == 0).all()  # not distorted: black on both sides
    for shape in ((1, 900, 3), (900, 1, 3)):  # of which nothing would be left
        lines = clip_of(lambda time, shape=shape: np.full((30, 40, 3) if time == 1 else shape, 9, np.uint8))
        assert lines.shape == (8, 30, 40, 3) and (lines.max((1, 2, 3)) == 9).all()
    maker = FrameMaker("Growing-v0")
    sizes = []
    for side in (8, 16):
        maker.begin_episode()
        sizes.append(maker.frame(np.zeros((side, side, 3), np.uint8)).shape[0])
    assert sizes == [8, 16]


def _raise() -> None:
    raise RuntimeError("no window")


@pytest.mark.parametrize(
    ("paint", "words"),
    [
        (lambda time: None, r"returned no picture \(None\)"),
        (lambda time: "a picture", "shape"),
        (lambda time: [bar(time), bar(time)], r"shape \[2, 24, 24, 3\]"),
        (lambda time: [[1], [1, 2]], "is no array"),
        (lambda time: np.zeros((24, 24, 2), np.uint8), r"shape \[24, 24, 2\]"),
        (lambda time: np.zeros((0, 24, 3), np.uint8), "shape"),
        (lambda time: np.full((24, 24, 3), np.nan), "values from nan"),
        (lambda time: np.full((24, 24, 3), -1.0), "values from -1 to -1"),
        (lambda time: np.full((24, 24, 3), 65535, np.uint16), "values from 65535"),
        (lambda time: np.full((24, 24, 3), "x"), "a picture of <U1"),
    ],
)
def test_what_is_no_picture_is_named_with_what_is_allowed(paint: Any, words: str) -> None:
    with pytest.raises(EnvironmentSetupError, match=rf"Painter: render\(\) .*{words}.*; allowed: an array \[H, W, 3\]"):
        clip_of(paint)


def test_a_render_that_fails_is_told_with_a_way_out() -> None:
    with pytest.raises(
        EnvironmentSetupError, match=r"Painter: render\(\) fails with RuntimeError: no window\. .*--keep-clips none"
    ):
        clip_of(lambda time: _raise())
