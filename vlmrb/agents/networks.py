"""Networks: torsos that encode observations, and heads that compute action values.

Updates of networks this small cost more in calls than in arithmetic, so each torso has a `prepare` that converts stored
observations to its input once, however many networks read them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor, nn
from torch.nn import functional as F

from vlmrb.types import ObservationSpec

KINDS, COLORS, STATES = 11, 6, 4  # MiniGrid's object types, colours, states (the fourth state: the agent facing up)


def make_torso(spec: ObservationSpec, hidden_size: int) -> Any:
    """A network with `prepare(observation)` for observations [B, *spec.shape] as stored and `forward` → [B, hidden_size]."""
    torsos = {"grid": GridTorso, "vector": VectorTorso, "image": ImageTorso}
    return torsos[spec.kind](spec, hidden_size)


class Patches(NamedTuple):
    """Grids prepared for `GridTorso`: each different 3×3 patch once, for both convolutions, and where each occurs."""

    first: Tensor  # int32 [U, 9], rows of the table for each different patch of cells
    second: Tensor  # int32 [V, 9], which of `first` make up each different patch of the first convolution's output
    places: Tensor  # int32 [B, places], which of `second` is where
    extras: Tensor  # int32 [B, extras], rows of the table


class GridTorso(nn.Module):
    """Symbolic grids: each cell is embedded as the sum of an object, a colour and a state vector; two 3×3 convolutions follow.

    The three small tables are combined into one with a row per (object, colour, state), followed by the rows of the extras
    and a row of zeros for the padding. Convolutions matter: on DoorKey-8x8 (`vlm`, `oracle`, seed 1, batches of 128) this
    network reached 42 % success after 175,000 steps; two dense layers were at 0 % after 200,000.

    Grids are mostly floor and wall: of the patches that the convolutions see in a batch of DoorKey, 5 to 30 % are different
    ones. Each of these is convolved once, and the results are looked up, which gives the same values and gradients.
    """

    def __init__(self, spec: ObservationSpec, hidden_size: int, width: int = 8, channels: tuple[int, int] = (16, 32)) -> None:
        super().__init__()
        assert spec.grid_shape is not None
        self._grid = spec.grid_shape[:2]
        self._limits = np.array(spec.extras, np.int64)
        self.kind = nn.Parameter(torch.randn(KINDS, 1, 1, width))
        self.color = nn.Parameter(torch.randn(1, COLORS, 1, width) * 0.5)
        self.state = nn.Parameter(torch.randn(1, 1, STATES, width) * 0.5)
        self.extras = nn.Parameter(torch.randn(sum(spec.extras), width))
        self._padding = 0 if min(self._grid) >= 5 else 1
        self.convolutions = nn.Sequential(nn.Conv2d(width, channels[0], 3), nn.ReLU(), nn.Conv2d(*channels, 3), nn.ReLU())
        places = (self._grid[0] - 4 + 4 * self._padding) * (self._grid[1] - 4 + 4 * self._padding)
        self.hidden = nn.Linear(channels[1] * places + len(spec.extras) * width, hidden_size)
        self._blank: Tensor
        self.register_buffer("_blank", torch.zeros(self._padding, width), persistent=False)

    def prepare(self, observation: np.ndarray, device: torch.device) -> Patches:
        """uint8 [B, cells·3 + extras] → the patches to convolve and their places."""
        arrays = _patches(observation, *self._grid, self._limits, self._padding)
        return Patches(*(torch.from_numpy(array).to(device) for array in arrays))

    def forward(self, patches: Patches) -> Tensor:
        """Prepared observations → [B, hidden_size]."""
        one, _, two, _ = self.convolutions
        cells = torch.cat([(self.kind + self.color + self.state).flatten(0, 2), self._blank])
        first = F.relu(F.linear(_look_up(cells, patches.first), one.weight.flatten(1), one.bias))  # [U, channels]
        if self._padding:
            first = F.pad(first, (0, 0, 0, 1))
        second = F.relu(F.linear(_look_up(first, patches.second), two.weight.flatten(1), two.bias))  # [V, channels]
        extras = F.embedding(patches.extras, self.extras).flatten(1)
        return F.relu(self.hidden(_look_up(second, patches.places, extras)))


def _look_up(values: Tensor, numbers: Tensor, rest: Tensor | None = None) -> Tensor:
    """values [M, C] at numbers [N, K], then rest [N, R]: [N, C·K + R], a value of all K first, as convolutions order them."""
    if values.device.type == "cpu":
        looked_up: Tensor = _LookUp.apply(values, numbers, rest)  # type: ignore[no-untyped-call]
        return looked_up
    looked_up = F.embedding(numbers, values).transpose(1, 2).flatten(1)
    return looked_up if rest is None else torch.cat([looked_up, rest], dim=1)


class _LookUp(torch.autograd.Function):
    """`_look_up` on a CPU, where PyTorch's own operations take several times as long."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, numbers: Tensor, rest: Tensor | None) -> Tensor:
        ctx.save_for_backward(numbers)
        ctx.shape = values.shape
        width = values.shape[1] * numbers.shape[1]
        result = values.new_empty(len(numbers), width + (0 if rest is None else rest.shape[1]))
        _gather(values.detach().numpy(), numbers.numpy(), result.numpy())
        if rest is not None:
            result[:, width:] = rest
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (numbers,) = ctx.saved_tensors
        of_values = gradient.new_zeros(ctx.shape)
        _scatter(of_values.numpy(), numbers.numpy(), gradient.contiguous().numpy())
        return of_values, None, gradient[:, ctx.shape[1] * numbers.shape[1] :] if ctx.needs_input_grad[2] else None


@njit(cache=True)
def _gather(values, numbers, result):  # type: ignore[no-untyped-def]
    rows = numbers.view(np.uint32)  # unsigned: without checks for negative ones
    count, width = numbers.shape[1], values.shape[1]
    for n in range(len(rows)):
        for k in range(count):
            value = values[rows[n, k]]
            for c in range(width):
                result[n, c * count + k] = value[c]


@njit(cache=True)
def _scatter(values, numbers, result):  # type: ignore[no-untyped-def]
    rows = numbers.view(np.uint32)
    count, width = numbers.shape[1], values.shape[1]
    for n in range(len(rows)):
        for k in range(count):
            value = values[rows[n, k]]
            for c in range(width):
                value[c] += result[n, c * count + k]


@njit(cache=True)
def _patches(observation, width, height, limits, padding):  # type: ignore[no-untyped-def]
    """The arrays of `Patches` for observations, uint8 [B, cells·3 + extras]."""
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
    """Rows of the table: int32 [B, width + 2·padding, height + 2·padding] for the cells, [B, extras] for the extras."""
    count, cells = len(observation), width * height
    rows = np.full((count, width + 2 * padding, height + 2 * padding), KINDS * COLORS * STATES, np.int32)
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


class VectorTorso(nn.Module):
    """Vectors of numbers: two hidden layers."""

    def __init__(self, spec: ObservationSpec, hidden_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(spec.shape[0], hidden_size), nn.ReLU(), nn.Linear(hidden_size, hidden_size), nn.ReLU()
        )

    def prepare(self, observation: np.ndarray, device: torch.device) -> Tensor:
        """float32 [B, D], unchanged."""
        return torch.from_numpy(observation).to(device)

    def forward(self, observation: Tensor) -> Tensor:
        """float32 [B, D] → [B, hidden_size]."""
        features: Tensor = self.layers(observation)
        return features


class ImageTorso(nn.Module):
    """Images: the three convolutions of the Nature DQN (Mnih et al. 2015)."""

    def __init__(self, spec: ObservationSpec, hidden_size: int) -> None:
        super().__init__()
        height, width, channels = spec.shape
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 32, 8, 4),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, 2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(7) if min(height, width) > 96 else nn.Identity(),
            nn.Flatten(),
        )
        with torch.no_grad():
            flat = self.convolutions(torch.zeros(1, channels, height, width)).shape[1]
        self.hidden = nn.Linear(flat, hidden_size)

    def prepare(self, observation: np.ndarray, device: torch.device) -> Tensor:
        """uint8 [B, H, W, C] → float32 [B, C, H, W] in [0, 1]."""
        return torch.from_numpy(observation).to(device).permute(0, 3, 1, 2).float() / 255

    def forward(self, image: Tensor) -> Tensor:
        """Prepared observations → [B, hidden_size]."""
        return F.relu(self.hidden(self.convolutions(image)))


class ValueHead(nn.Module):
    """Action values from features; dueling (Wang et al. 2016): value + advantage − mean advantage."""

    def __init__(self, hidden_size: int, n_actions: int, dueling: bool) -> None:
        super().__init__()
        self.advantage = nn.Linear(hidden_size, n_actions)
        self.value = nn.Linear(hidden_size, 1) if dueling else None

    def forward(self, features: Tensor) -> Tensor:
        """[..., hidden_size] → [..., n_actions]."""
        advantage: Tensor = self.advantage(features)
        if self.value is None:
            return advantage
        values: Tensor = self.value(features) + advantage - advantage.mean(dim=-1, keepdim=True)
        return values
