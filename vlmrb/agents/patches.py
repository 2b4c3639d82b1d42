"""Convolutions over symbolic grids, computed once for each different patch of a batch.

Grids are mostly floor and wall: of the 3×3 and 5×5 patches that two convolutions see in a batch of DoorKey, 2 to 30 % are
different ones. Convolving these and looking the results up gives the same values and gradients as convolving whole grids.

Networks of this size cost more in calls of PyTorch than in arithmetic, so that on a CPU the look-ups are compiled and the
gradient is written out (`_OnCPU`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.nn import functional as F

KINDS, COLORS, STATES = 11, 6, 4  # MiniGrid's object types, colours, states (the fourth state: the agent facing up)
CELLS = KINDS * COLORS * STATES


class Patches(NamedTuple):
    """Grids as their different 3×3 patches, for both convolutions, and where each of these is."""

    first: Tensor  # int32 [U, 9], cells (object, colour and state as one number) of each different patch; CELLS is the padding
    second: Tensor  # int32 [V, 9], which of `first` make up each different patch of the first convolution's output
    places: Tensor  # int32 [B, P], which of `second` is where
    extras: Tensor  # int32 [B, E], rows of the extras' table


def find_patches(
    observation: np.ndarray, grid: tuple[int, int], limits: np.ndarray, padding: int, device: torch.device
) -> Patches:
    """The patches of observations, uint8 [B, cells·3 + E].

    Args:
        grid: width and height.
        limits: number of values of each extra, int64 [E].
        padding: of both convolutions, 0 or 1.
    """
    return Patches(*(torch.from_numpy(array).to(device) for array in _patches(observation, *grid, limits, padding)))


def convolve_patches(patches: Patches, *weights: Tensor) -> Tensor:
    """Embed, convolve twice and apply a dense layer, each but the first followed by a ReLU: [B, hidden_size].

    Args:
        weights: of objects [KINDS, 1, 1, W], colours [1, COLORS, 1, W], states [1, 1, STATES, W] and extras [·, W], of the
            convolutions [C, W, 3, 3], [C], [D, C, 3, 3], [D] and the dense layer [hidden_size, D·P + E·W], [hidden_size].
    """
    convolve: Any = _OnCPU.apply if weights[0].device.type == "cpu" else plainly
    hidden: Tensor = convolve(patches, *weights)
    return hidden


def plainly(patches: Patches, *weights: Tensor) -> Tensor:
    """`convolve_patches` on any device, in PyTorch's own operations."""
    kind, color, state, extras, *layers = weights
    blank = kind.new_zeros(1, kind.shape[-1])
    cells = torch.cat([(kind + color + state).flatten(0, 2), blank])
    first = _dense(_look_up(cells, patches.first), *layers[:2])  # [U, C]
    second = _dense(_look_up(F.pad(first, (0, 0, 0, 1)), patches.second), *layers[2:4])  # [V, D]
    features = [_look_up(second, patches.places), F.embedding(patches.extras, extras).flatten(1)]
    return _dense(torch.cat(features, dim=1), *layers[4:])


def _look_up(values: Tensor, numbers: Tensor) -> Tensor:
    """[M, C] at [N, K]: [N, C·K], in the order of a convolution's weights."""
    return F.embedding(numbers, values).transpose(1, 2).flatten(1)


def _dense(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.relu(F.linear(inputs, weight.flatten(1), bias))


def _by_cell(weight: Tensor) -> Tensor:
    """A convolution's weights [out, in, 3, 3] as [out, 9·in]."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def _by_channel(gradient: Tensor, weight: Tensor) -> Tensor:
    """The reverse, for the gradient of `weight`."""
    count, channels, *_ = weight.shape
    return gradient.view(count, 3, 3, channels).permute(0, 3, 1, 2).contiguous()


class _OnCPU(torch.autograd.Function):
    """`convolve_patches` on a CPU, in few calls."""

    @staticmethod
    def forward(ctx: Any, patches: Patches, *weights: Tensor) -> Tensor:
        kind, color, state, extras, one, one_bias, two, two_bias, dense, dense_bias = weights
        numbers = [each.numpy() for each in patches]
        columns = torch.from_numpy(_embed(_array(kind), _array(color), _array(state), numbers[0]))
        one_by_cell, two_by_cell = _by_cell(one), _by_cell(two)
        first = columns @ one_by_cell.t()  # [U, C]
        second_columns = torch.from_numpy(_gather(first.numpy(), _array(one_bias), numbers[1]))
        second = second_columns @ two_by_cell.t()  # [V, D]
        features = torch.from_numpy(_lay_out(second.numpy(), _array(two_bias), numbers[2], _array(extras), numbers[3]))
        hidden = features @ dense.t()
        _rectify(hidden.numpy(), _array(dense_bias))
        ctx.patches, ctx.weights = patches, weights
        ctx.save_for_backward(columns, first, second_columns, second, features, hidden, one_by_cell, two_by_cell)
        return hidden

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        columns, first, second_columns, second, features, hidden, one_by_cell, two_by_cell = ctx.saved_tensors
        kind, color, state, extras, one, _, two, _, dense, _ = ctx.weights
        numbers = [each.numpy() for each in ctx.patches]
        of_hidden = torch.ops.aten.threshold_backward(gradient, hidden, 0)
        of_features = (of_hidden @ dense).numpy()
        of_second, of_extras = _of_places(of_features, numbers[2], second.numpy(), _array(extras), numbers[3])
        of_two_bias, of_second = _unrectify(of_second, second.numpy()), torch.from_numpy(of_second)
        of_first = _scatter((of_second @ two_by_cell).numpy(), numbers[1], first.numpy())
        of_one_bias, of_first = _unrectify(of_first, first.numpy()), torch.from_numpy(of_first)
        of_kind, of_color, of_state = _of_tables((of_first @ one_by_cell).numpy(), numbers[0], kind.shape[-1])
        return (
            None,
            torch.from_numpy(of_kind).view_as(kind),
            torch.from_numpy(of_color).view_as(color),
            torch.from_numpy(of_state).view_as(state),
            torch.from_numpy(of_extras),
            _by_channel(of_first.t() @ columns, one),
            torch.from_numpy(of_one_bias),
            _by_channel(of_second.t() @ second_columns, two),
            torch.from_numpy(of_two_bias),
            of_hidden.t() @ features,
            of_hidden.sum(0),
        )


def _array(weight: Tensor) -> np.ndarray:
    array: np.ndarray = weight.detach().numpy()
    return array


@njit(cache=True)
def _embed(kind, color, state, numbers):  # type: ignore[no-untyped-def]
    """Sums of vectors of the cells at numbers [N, 9]: float32 [N, 9·W]."""
    width = kind.shape[3]
    columns = np.zeros((len(numbers), width * 9), kind.dtype)
    for n in range(len(numbers)):
        for k in range(9):
            if numbers[n, k] < CELLS:
                one, two, three = _parts(numbers[n, k])
                for c in range(width):
                    columns[n, k * width + c] = kind[one, 0, 0, c] + color[0, two, 0, c] + state[0, 0, three, c]
    return columns


@njit(cache=True)
def _of_tables(gradient, numbers, width):  # type: ignore[no-untyped-def]
    """The gradients of the three tables by that of `_embed`'s result."""
    of_kind = np.zeros((KINDS, width), gradient.dtype)
    of_color, of_state = np.zeros((COLORS, width), gradient.dtype), np.zeros((STATES, width), gradient.dtype)
    for n in range(len(numbers)):
        for k in range(9):
            if numbers[n, k] < CELLS:
                one, two, three = _parts(numbers[n, k])
                for c in range(width):
                    value = gradient[n, k * width + c]
                    of_kind[one, c] += value
                    of_color[two, c] += value
                    of_state[three, c] += value
    return of_kind, of_color, of_state


@njit(cache=True)
def _parts(cell):  # type: ignore[no-untyped-def]
    """Object, colour and state of a cell's number."""
    return cell // (COLORS * STATES), cell // STATES % COLORS, cell % STATES


@njit(cache=True)
def _rectify(values, bias):  # type: ignore[no-untyped-def]
    """Add bias [C] to values [M, C] and set what is negative to 0, in place."""
    for row in range(len(values)):
        for c in range(len(bias)):
            value = values[row, c] + bias[c]
            values[row, c] = value if value > 0 else 0


@njit(cache=True)
def _unrectify(gradient, values):  # type: ignore[no-untyped-def]
    """Turn the gradient by `_rectify`'s result into that by what it was given, in place, and return that by the bias."""
    total = np.zeros(values.shape[1], values.dtype)
    for row in range(len(values)):
        for c in range(len(total)):
            gradient[row, c] = gradient[row, c] if values[row, c] > 0 else 0
            total[c] += gradient[row, c]
    return total


@njit(cache=True)
def _gather(values, bias, numbers):  # type: ignore[no-untyped-def]
    """`_rectify` values [M, C] and look them up at numbers [N, 9], 0 where these are M: [N, 9·C]."""
    _rectify(values, bias)
    width, rows = values.shape[1], numbers.view(np.uint32)  # unsigned: never counted from the end
    result = np.zeros((len(numbers), 9 * width), values.dtype)
    for n in range(len(numbers)):
        for k in range(9):
            if rows[n, k] < len(values):
                for c in range(width):
                    result[n, k * width + c] = values[rows[n, k], c]
    return result


@njit(cache=True)
def _scatter(gradient, numbers, values):  # type: ignore[no-untyped-def]
    """The gradient of `_gather`'s values by that of its result."""
    width, rows, result = values.shape[1], numbers.view(np.uint32), np.zeros_like(values)
    for n in range(len(numbers)):
        for k in range(9):
            if rows[n, k] < len(values):
                for c in range(width):
                    result[rows[n, k], c] += gradient[n, k * width + c]
    return result


@njit(cache=True)
def _lay_out(values, bias, places, extras, numbers):  # type: ignore[no-untyped-def]
    """`_rectify` values [V, D]; look them up at places [B, P], and extras [·, W] at numbers [B, E]: [B, D·P + E·W].

    A channel of all places comes before the next channel, as the dense layer's weights have them.
    """
    _rectify(values, bias)
    (count, size), channels, (extra, width) = places.shape, values.shape[1], (numbers.shape[1], extras.shape[1])
    rows = places.view(np.uint32)
    result = np.empty((count, channels * size + extra * width), values.dtype)
    for b in range(count):
        for p in range(size):
            for c in range(channels):
                result[b, c * size + p] = values[rows[b, p], c]
        for e in range(extra):
            for c in range(width):
                result[b, channels * size + e * width + c] = extras[numbers[b, e], c]
    return result


@njit(cache=True)
def _of_places(gradient, places, values, extras, numbers):  # type: ignore[no-untyped-def]
    """The gradients of `_lay_out`'s values and extras by that of its result."""
    (count, size), channels, (extra, width) = places.shape, values.shape[1], (numbers.shape[1], extras.shape[1])
    rows = places.view(np.uint32)
    of_values, of_extras = np.zeros_like(values), np.zeros_like(extras)
    for b in range(count):
        for p in range(size):
            for c in range(channels):
                of_values[rows[b, p], c] += gradient[b, c * size + p]
        for e in range(extra):
            for c in range(width):
                of_extras[numbers[b, e], c] += gradient[b, channels * size + e * width + c]
    return of_values, of_extras


@njit(cache=True)
def _patches(observation, width, height, limits, padding):  # type: ignore[no-untyped-def]
    """The arrays of `Patches` for observations, uint8 [B, cells·3 + E]."""
    rows, extras = _rows(observation, width, height, limits, padding)
    first, places = _distinct_patches(rows)
    if padding:
        padded = np.full((places.shape[0], places.shape[1] + 2, places.shape[2] + 2), len(first), np.int32)
        padded[:, 1:-1, 1:-1] = places
        places = padded
    second, places = _distinct_patches(places)
    return first, second, places.reshape(len(places), -1), extras


@njit(cache=True)
def _rows(observation, width, height, limits, padding):  # type: ignore[no-untyped-def]
    """Numbers of the cells, int32 [B, width + 2·padding, height + 2·padding], and rows of the extras, int32 [B, E]."""
    count, cells = len(observation), width * height
    rows = np.full((count, width + 2 * padding, height + 2 * padding), CELLS, np.int32)
    extras = np.empty((count, len(limits)), np.int32)
    for b in range(count):
        for x in range(width):
            for y in range(height):
                at = 3 * (x * height + y)
                kind, color, state = observation[b, at], observation[b, at + 1], observation[b, at + 2]
                row = (min(kind, KINDS - 1) * COLORS + min(color, COLORS - 1)) * STATES + min(state, STATES - 1)
                rows[b, x + padding, y + padding] = row
        first = 0
        for extra in range(len(limits)):
            extras[b, extra] = first + min(np.int64(observation[b, 3 * cells + extra]), limits[extra] - 1)
            first += limits[extra]
    return rows, extras


@njit(cache=True)
def _distinct_patches(numbers):  # type: ignore[no-untyped-def]
    """The different 3×3 patches of int32 [B, W, H]: int32 [N, 9], and which is where: int32 [B, W − 2, H − 2]."""
    columns, places = _distinct_triples(numbers, 0, 1)
    triples, places = _distinct_triples(places, 1, 0)
    patches = np.empty((len(triples), 9), np.int32)
    for n in range(len(triples)):
        for column in range(3):
            patches[n, 3 * column : 3 * column + 3] = columns[triples[n, column]]
    return patches, places


@njit(cache=True)
def _distinct_triples(numbers, dx, dy):  # type: ignore[no-untyped-def]
    """The different triples along one axis (dx, dy = 1, 0 or 0, 1) of int32 [B, W, H]: int32 [N, 3], and which is where."""
    count, width, height = numbers.shape[0], numbers.shape[1] - 2 * dx, numbers.shape[2] - 2 * dy
    places = np.empty((count, width, height), np.int32)
    triples = np.empty((places.size, 3), np.int32)
    bits = 1
    while 1 << bits < 2 * places.size:
        bits += 1
    slots, found = np.full(1 << bits, -1, np.int32), 0  # a hash table with linear probing, at most half full
    for b in range(count):
        for x in range(width):
            for y in range(height):
                one, two, three = numbers[b, x, y], numbers[b, x + dx, y + dy], numbers[b, x + 2 * dx, y + 2 * dy]
                key = (np.uint64(one) << np.uint64(42)) ^ (np.uint64(two) << np.uint64(21)) ^ np.uint64(three)
                slot = (key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - bits)
                number = slots[slot]
                while number >= 0 and (triples[number, 0] != one or triples[number, 1] != two or triples[number, 2] != three):
                    slot = (slot + np.uint64(1)) & np.uint64((1 << bits) - 1)
                    number = slots[slot]
                if number < 0:
                    number = found
                    found += 1
                    slots[slot] = number
                    triples[number, 0], triples[number, 1], triples[number, 2] = one, two, three
                places[b, x, y] = number
    return triples[:found], places
