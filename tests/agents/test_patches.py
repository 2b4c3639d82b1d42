"""Grids: convolving each different patch once gives the values and gradients of convolving everything."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.whole_convolutions import convolved
from vlmrb.agents import patches as compiled
from vlmrb.agents.networks import GridTorso
from vlmrb.types import ObservationSpec

GRIDS = [(7, 7), (6, 9), (5, 5), (4, 6), (3, 3)]  # those with a side below 5 are padded
EXTRAS = (4, 11, 6)


def torso_of(grid: tuple[int, int], extras: tuple[int, ...]) -> GridTorso:
    torch.manual_seed(0)
    shape = (grid[0] * grid[1] * 3 + len(extras),)
    return GridTorso(ObservationSpec("grid", shape, "uint8", (*grid, 3), extras), 24)


def observations_of(count: int, grid: tuple[int, int], extras: tuple[int, ...], kinds: int) -> np.ndarray:
    """Cells of a few kinds repeat patches, cells of many do not; some numbers are beyond what the tables have."""
    rng = np.random.default_rng(3)
    cells = rng.integers(0, kinds, (count, grid[0] * grid[1], 3))
    return np.concatenate([cells.reshape(count, -1), rng.integers(0, 13, (count, len(extras)))], axis=1).astype(np.uint8)


def values_and_gradients(torso: GridTorso, forward: Callable[[], Tensor]) -> list[Tensor]:
    torso.zero_grad()
    hidden = forward()
    hidden.backward(torch.linspace(-1, 1, hidden.numel()).reshape(hidden.shape))
    return [hidden.detach(), *(parameter.grad for parameter in torso.parameters() if parameter.numel())]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("extras", [EXTRAS, ()])
@pytest.mark.parametrize("kinds", [2, 14])
def test_values_and_gradients_are_those_of_the_whole_convolutions(grid, extras, kinds) -> None:
    torso, observations = torso_of(grid, extras), observations_of(40, grid, extras, kinds)
    prepared = torso.prepare(observations, torch.device("cpu"))
    ours = values_and_gradients(torso, lambda: torso(prepared))
    reference = values_and_gradients(torso, lambda: convolved(torso, grid, extras, observations))
    assert len(ours) == len(reference) == 1 + len(list(torso.parameters())) - (not extras)
    for mine, other in zip(ours, reference, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def test_other_devices_compute_the_same_in_pytorchs_own_operations(monkeypatch) -> None:
    torso, observations = torso_of((4, 6), EXTRAS), observations_of(40, (4, 6), EXTRAS, 3)
    prepared = torso.prepare(observations, torch.device("cpu"))
    ours = values_and_gradients(torso, lambda: torso(prepared))
    monkeypatch.setattr("vlmrb.agents.networks.convolve_patches", compiled.plainly)
    for mine, other in zip(ours, values_and_gradients(torso, lambda: torso(prepared)), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def test_each_different_patch_is_found_once_and_where_it_was() -> None:
    observations = observations_of(60, (6, 6), (), 3)
    prepared = torso_of((6, 6), ()).prepare(observations, torch.device("cpu"))
    cells = observations.reshape(-1, 6, 6, 3).astype(int)
    numbers = (cells[..., 0] * 6 + cells[..., 1]) * 4 + cells[..., 2]
    windows = np.lib.stride_tricks.sliding_window_view(numbers, (5, 5), axis=(1, 2)).reshape(60, 4, 25)
    first, second, places, extras = (each.numpy() for each in prepared)
    assert len(np.unique(first, axis=0)) == len(first) and len(np.unique(second, axis=0)) == len(second)
    assert len(second) == len(np.unique(windows.reshape(-1, 25), axis=0))
    assert extras.shape == (60, 0)
    corner = first[second[places]].reshape(60, 4, 3, 3, 3, 3)[..., 0, 0]  # of each 5×5 window, its 3×3 cells at one corner
    np.testing.assert_array_equal(corner, windows.reshape(60, 4, 5, 5)[..., :3, :3])


def test_parameters_keep_the_names_and_shapes_that_stored_checkpoints_have() -> None:
    shapes = {name: tuple(value.shape) for name, value in torso_of((7, 7), EXTRAS).state_dict().items()}
    assert shapes == {
        "kind": (11, 1, 1, 8), "color": (1, 6, 1, 8), "state": (1, 1, 4, 8), "extras": (21, 8),
        "convolutions.0.weight": (16, 8, 3, 3), "convolutions.0.bias": (16,),
        "convolutions.2.weight": (32, 16, 3, 3), "convolutions.2.bias": (32,),
        "hidden.weight": (24, 312), "hidden.bias": (24,),
    }  # fmt: skip
