"""The loops of replay, compiled by Numba when they are first used. Imported late: Numba takes half a second to load."""

from __future__ import annotations

import numpy as np
from numba import njit

from vlmrb.replay.prefetch import prefetch

FANOUT = 8
"""Children of a node of the sum tree: eight float64 fill a cache line."""

WORDS_OF_LINE = 16
"""32-bit words that the processor fetches from memory at once."""

AHEAD = 6
"""Items between the one being copied and the one whose memory is asked for: enough to hide the wait."""


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
def add_chances(chances, leaves, slots, share, total):  # type: ignore[no-untyped-def]
    """Add to `chances` (float64 [N]) what `share` of the draws gives each slot whose mass of `total` is its leaf."""
    for i in range(len(slots)):
        chances[i] += share * leaves[slots[i]] / total


@njit(cache=True)
def n_step_transitions(words, slots, next_item_id, n_envs, powers, boundary, terminated_at):  # type: ignore[no-untyped-def]
    """The n-step transition that begins at each slot; it ends with its episode or at the newest step of its environment.

    Args:
        words: the buffer's records (`vlmrb.replay.buffer`), uint32 [capacity, W].
        slots: int64 [B].
        powers: γ^0 … γ^n, float32.
        boundary: word that the next observation begins at; the two words before it are the reward and the episode.
        terminated_at: byte of a record that says whether the episode terminated with it.

    Returns:
        Records with the next observation of the last step, uint32 [B, W]; float32 [3, B]: the return, whether the last step
        terminated (0 or 1), γ^k for k steps; the item ids, int64 [B].
    """
    capacity, width, count, n_step = len(words), words.shape[1], len(slots), len(powers) - 1
    episodes, rewards, octets = words.view(np.int32), words.view(np.float32), words.view(np.uint8)
    reward_at, episode_at = boundary - 2, boundary - 1
    newest = next_item_id - 1
    newest_slot = newest % capacity
    taken, numbers, item_ids = np.empty((count, width), np.uint32), np.empty((3, count), np.float32), np.empty(count, np.int64)
    if n_step == 1:  # so short a loop lets the processor fetch several records at once
        for i in range(count):
            copy_words(words[slots[i]], taken[i])
    for i in range(count):
        slot = slots[i]
        if n_step > 1:
            if i + AHEAD < count:
                prefetch_transition(words, slots[i + AHEAD], n_envs, n_step, boundary)
            copy_words(words[slot], taken[i, :boundary])
        age = newest_slot - slot  # steps of all environments since this one
        if age < 0:
            age += capacity
        item_ids[i] = newest - age
        episode, total, steps = episodes[slot, episode_at], rewards[slot, reward_at], 1
        while steps < n_step and steps * n_envs <= age:
            following = slot + n_envs
            if following >= capacity:
                following -= capacity
            if episodes[following, episode_at] != episode:
                break
            slot = following
            total += powers[steps] * rewards[slot, reward_at]
            steps += 1
        if n_step > 1:
            copy_words(words[slot, boundary:], taken[i, boundary:])
        numbers[0, i], numbers[1, i], numbers[2, i] = total, octets[slot, terminated_at], powers[steps]
    return taken, numbers, item_ids


FUTURE, FINAL, EPISODE = range(3)
"""Where `hindsight_goals` takes goals from, by their places in `vlmrb.replay.hindsight.STRATEGIES`."""


@njit(cache=True)
def hindsight_goals(words, steps, slots, next_item_id, n_envs, boundary, points, share, strategy):  # type: ignore[no-untyped-def]
    """For each slot the one whose achieved goal takes the place of its own; −1 where it keeps that.

    The items of an episode lie n_envs apart, and no later item of their environment is of an earlier episode. So the last
    one is found by doubling the distance and then halving what is left; the first one by its number in the episode.

    Args:
        words, slots, next_item_id, n_envs, boundary: as for `n_step_transitions`.
        steps: number of the step in its episode, int32 [capacity].
        points: float64 [2, B] in [0, 1): below `share`, an item takes another goal; which one.
    """
    capacity, episodes, episode_at = len(words), words.view(np.int32), boundary - 1
    newest_slot, oldest_age = (next_item_id - 1) % capacity, min(next_item_id, capacity) - 1
    found = np.full(len(slots), -1, np.int64)
    for i in range(len(slots)):
        if points[0, i] >= share:
            continue
        slot = slots[i]
        age = newest_slot - slot  # steps of all environments since this one
        if age < 0:
            age += capacity
        episode, most = episodes[slot, episode_at], age // n_envs
        ahead, beyond = 0, 1
        while beyond <= most and episodes[(slot + beyond * n_envs) % capacity, episode_at] == episode:
            ahead = beyond
            beyond *= 2
        beyond = min(beyond, most + 1)
        while beyond - ahead > 1:
            middle = (ahead + beyond) // 2
            if episodes[(slot + middle * n_envs) % capacity, episode_at] == episode:
                ahead = middle
            else:
                beyond = middle
        behind = min(steps[slot], (oldest_age - age) // n_envs) if strategy == EPISODE else 0
        place = ahead if strategy == FINAL else int(points[1, i] * (behind + ahead + 1)) - behind
        found[i] = (slot + place * n_envs) % capacity
    return found


@njit(cache=True)
def hindsight_steps(words, slots, next_item_id, n_envs, n_step, boundary):  # type: ignore[no-untyped-def]
    """The slots of the steps of each n-step return, one return after the other, and where each begins: int64 [M + 1]."""
    capacity, episodes, episode_at = len(words), words.view(np.int32), boundary - 1
    newest_slot = (next_item_id - 1) % capacity
    found, firsts, at = np.empty(len(slots) * n_step, np.int64), np.zeros(len(slots) + 1, np.int64), 0
    for i in range(len(slots)):
        slot = slots[i]
        age = newest_slot - slot
        if age < 0:
            age += capacity
        episode, steps = episodes[slot, episode_at], 0
        while steps < n_step and steps * n_envs <= age and episodes[slot, episode_at] == episode:
            found[at] = slot
            at += 1
            steps += 1
            slot = (slot + n_envs) % capacity
        firsts[i + 1] = at
    return found[:at], firsts


@njit(cache=True)
def hindsight_returns(rewards, reached, firsts, powers):  # type: ignore[no-untyped-def]
    """Each return up to the first step that reaches its goal, float32 [M], and how many steps that are, int64 [M]."""
    returns, taken = np.zeros(len(firsts) - 1, np.float32), np.zeros(len(firsts) - 1, np.int64)
    for i in range(len(returns)):
        total, steps = rewards[firsts[i]], 1
        while not reached[firsts[i] + steps - 1] and firsts[i] + steps < firsts[i + 1]:
            total += powers[steps] * rewards[firsts[i] + steps]
            steps += 1
        returns[i], taken[i] = total, steps
    return returns, taken


@njit(cache=True)
def missions_ahead(words, accomplished, slots, next_item_id, n_envs, boundary, points, share):  # type: ignore[no-untyped-def]
    """For each slot a mission that its own step or a later one of its episode has accomplished, each such step alike.

    Args:
        words, slots, next_item_id, n_envs, boundary: as for `n_step_transitions`.
        accomplished: number of the mission that a step accomplished, or −1, int16 [capacity].
        points: float64 [2, B] in [0, 1): below `share`, an item takes another mission; which one.

    Returns:
        int64 [B] each: the mission's number, −1 where an item keeps its own; the slot of the first step from the item's own on
        that accomplished it; how many steps ahead that is.
    """
    capacity, episodes, episode_at = len(words), words.view(np.int32), boundary - 1
    newest_slot = (next_item_id - 1) % capacity
    numbers = np.full(len(slots), -1, np.int64)
    ends, ahead = np.zeros(len(slots), np.int64), np.zeros(len(slots), np.int64)
    for i in range(len(slots)):
        if points[0, i] >= share:
            continue
        age = newest_slot - slots[i]  # steps of all environments since this one
        if age < 0:
            age += capacity
        episode, most, slot, steps, marks = episodes[slots[i], episode_at], age // n_envs, slots[i], 0, 0
        while steps <= most and episodes[slot, episode_at] == episode:
            marks += accomplished[slot] >= 0
            steps += 1
            slot = (slot + n_envs) % capacity
        if marks == 0:
            continue
        passed, slot = int(points[1, i] * marks), slots[i]  # marks before the chosen one
        while accomplished[slot] < 0 or passed > 0:
            passed -= accomplished[slot] >= 0
            slot = (slot + n_envs) % capacity
        numbers[i], slot = accomplished[slot], slots[i]
        while accomplished[slot] != numbers[i]:
            ahead[i] += 1
            slot = (slot + n_envs) % capacity
        ends[i] = slot
    return numbers, ends, ahead


@njit(cache=True)
def copy_words(source, into):  # type: ignore[no-untyped-def]
    """The first words of `source`, as many as `into` takes; a loop from 0 on, which the compiler turns into wide moves."""
    for j in range(len(into)):
        into[j] = source[j]


@njit(cache=True)
def prefetch_transition(words, slot, n_envs, n_step, boundary):  # type: ignore[no-untyped-def]
    """Begin to fetch what `n_step_transitions` reads for a slot, if its episode does not end before."""
    for j in range(0, boundary, WORDS_OF_LINE):
        prefetch(words, slot, j)
    for _ in range(1, n_step):
        slot += n_envs
        if slot >= len(words):
            slot -= len(words)
        prefetch(words, slot, boundary - 2)
    for j in range(boundary + WORDS_OF_LINE - 1, words.shape[1], WORDS_OF_LINE):
        prefetch(words, slot, j)


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
    # second pass: how long the episodes are, and the largest sum, for whichever of them has not ended
    total = 0
    for first in firsts:
        slot, running = first, 0.0
        while True:
            running += td_errors[slot]
            total += 1
            after = slot + stride
            if after >= capacity:
                after -= capacity
            if episodes[after] != episodes[slot] or steps[after] != steps[slot] + 1:
                break
            slot = after
        if ended[slot]:
            largest_sum = max(largest_sum, running)
    # third pass: along each episode
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
        whole = running if ended[slot] else max(largest_sum, running)
        for i in range(begin, at):
            reliabilities[i] = reliabilities[i] / whole if whole > 0.0 else 1.0
    return found, reliabilities, largest_sum
