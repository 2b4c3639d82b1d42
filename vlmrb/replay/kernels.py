"""The loops of replay, compiled by Numba when they are first used. Imported late: Numba takes half a second to load."""

from __future__ import annotations

import numpy as np
from numba import njit

FANOUT = 8
"""Children of a node of the sum tree: eight float64 fill a cache line."""


@njit(cache=True)
def set_masses(nodes, first_rows, slots, values):  # type: ignore[no-untyped-def]
    """Write `values` at the leaves `slots` and re-sum their parents; of duplicates the last one stays."""
    leaves = nodes.reshape(-1)
    for i in range(len(slots)):
        leaves[slots[i]] = values[i]
    places = slots.copy()  # of each changed mass, within its level
    for level in range(1, len(first_rows)):
        for i in range(len(slots)):
            places[i] //= FANOUT
            children = nodes[first_rows[level - 1] + places[i]]
            total = 0.0
            for child in range(FANOUT):
                total += children[child]
            nodes[first_rows[level] + places[i] // FANOUT, places[i] % FANOUT] = total


@njit(cache=True)
def find_points(nodes, first_rows, points):  # type: ignore[no-untyped-def]
    """The leaves whose share of [0, total) holds each point; never one of mass 0."""
    slots = np.zeros(len(points), dtype=np.int64)
    rest, firsts = points.copy(), np.empty_like(points)
    # level by level over the whole batch: a level's nodes are asked for together, so that their cache misses overlap,
    # and each is then walked without a branch
    for level in range(len(first_rows) - 1, -1, -1):
        for i in range(len(points)):
            firsts[i] = nodes[first_rows[level] + slots[i], 0]
        for i in range(len(points)):
            children = nodes[first_rows[level] + slots[i]]
            point, prefix, before, chosen = rest[i], firsts[i], 0.0, 0
            for child in range(1, FANOUT):  # what passes all but the last child belongs to the last
                passed = prefix <= point
                chosen += passed
                before = prefix if passed else before
                prefix += children[child]
            rest[i] = point - before
            slots[i] = slots[i] * FANOUT + chosen
    leaves = nodes.reshape(-1)
    for i in range(len(points)):
        while leaves[slots[i]] == 0.0 and slots[i] > 0:  # rounding has carried the point past the last mass: that one takes it
            slots[i] -= 1
    return slots


@njit(cache=True)
def n_step_returns(heads, slots, next_item_id, n_envs, powers):  # type: ignore[no-untyped-def]
    """The n-step return of each slot: its sum, the slot of its last step, how many steps, and whether that one terminated.

    A return ends with its episode or at the newest step of its environment. `powers` holds γ^0 … γ^n in float32.
    """
    capacity, n_step = len(heads), len(powers) - 1
    newest = next_item_id - 1
    newest_slot = newest % capacity
    returns, terminated = np.empty(len(slots), np.float32), np.empty(len(slots), np.float32)
    lasts, counts = np.empty(len(slots), np.int64), np.empty(len(slots), np.int64)
    for i in range(len(slots)):
        slot = slots[i]
        age = newest_slot - slot  # steps of all environments since this one
        if age < 0:
            age += capacity
        episode, total, count = heads[slot].episodes, heads[slot].rewards, 1
        while count < n_step and count * n_envs <= age:
            following = slot + n_envs
            if following >= capacity:
                following -= capacity
            if heads[following].episodes != episode:
                break
            slot = following
            total += powers[count] * heads[slot].rewards
            count += 1
        returns[i], terminated[i] = total, heads[slot].terminated
        lasts[i], counts[i] = slot, count
    return returns, terminated, lasts, counts


@njit(cache=True)
def take_transitions(words, slots, lasts, boundary):  # type: ignore[no-untyped-def]
    """Rows of 32-bit words: up to `boundary` those of `slots`, from there on those of `lasts`.

    A plain loop lets the processor fetch several rows from memory at once, which `take` does not.
    """
    taken = np.empty((len(slots), words.shape[1]), words.dtype)
    for i in range(len(slots)):
        source, last, copy = words[slots[i]], words[lasts[i]], taken[i]
        for j in range(boundary):
            copy[j] = source[j]
        for j in range(boundary, words.shape[1]):
            copy[j] = last[j]
    return taken


@njit(cache=True)
def reliability(td_errors, episodes, steps, ended, slots, stride, largest_sum):  # type: ignore[no-untyped-def]
    """ReaPER: the reliability of every held item of the episodes that `slots` belong to.

    Returns the items' slots, R = Σ_{i≤t}|δ_i| / Σ_i|δ_i| of each, and the largest episode sum seen so far. An episode
    that has not ended is measured against the largest sum (or its own, where that is larger).
    """
    capacity = len(td_errors)
    # first pass: the first held item of each touched episode, each episode once
    firsts = np.empty(len(slots), np.int64)
    count = 0
    for i in range(len(slots)):
        slot = slots[i]
        while True:
            before = slot - stride
            if before < 0:
                before += capacity
            if episodes[before] != episodes[slot] or steps[before] != steps[slot] - 1:
                break
            slot = before
        firsts[count] = slot
        count += 1
    firsts = np.unique(firsts[:count])
    # second pass: along each episode
    total = 0
    for first in firsts:
        slot, length = first, 1
        while True:
            after = slot + stride
            if after >= capacity:
                after -= capacity
            if episodes[after] != episodes[slot] or steps[after] != steps[slot] + 1:
                break
            slot = after
            length += 1
        total += length
    found, reliabilities = np.empty(total, np.int64), np.empty(total, np.float64)
    at = 0
    for first in firsts:
        slot, begin, running = first, at, 0.0
        while True:
            running += td_errors[slot]
            found[at], reliabilities[at] = slot, running
            at += 1
            after = slot + stride
            if after >= capacity:
                after -= capacity
            if episodes[after] != episodes[slot] or steps[after] != steps[slot] + 1:
                break
            slot = after
        if ended[slot]:
            largest_sum = max(largest_sum, running)
        whole = running if ended[slot] else max(largest_sum, running)
        for i in range(begin, at):
            reliabilities[i] = reliabilities[i] / whole if whole > 0.0 else 1.0
    return found, reliabilities, largest_sum
