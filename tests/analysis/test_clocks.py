"""When a run was at which step, from what it recorded, or added up from its speeds."""

from __future__ import annotations

import numpy as np

from vlmrb.analysis.clocks import Clock, clock_of
from vlmrb.types import CLOCK_S, EVALUATION_S, RUNNING_S, SPEED


def curve(*points: tuple[int, float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([step for step, _ in points], np.int64), np.array([value for _, value in points], np.float64)


def points(found: tuple[np.ndarray, np.ndarray]) -> list[tuple[int, float]]:
    return [(int(step), float(value)) for step, value in zip(*found, strict=True)]


def test_a_recorded_clock_is_taken_as_it_is_and_a_step_between_two_points_lies_between_their_times() -> None:
    clock = clock_of({RUNNING_S: curve((0, 0), (100, 20)), CLOCK_S: curve((0, 1_000), (100, 5_000)), SPEED: curve((100, 1.0))})
    assert points(clock.running) == [(0, 0), (100, 20)] and points(clock.wall) == [(0, 1_000), (100, 5_000)]
    assert clock.running_at(50) == 10


def test_without_one_the_measured_speeds_and_evaluations_are_added_up() -> None:
    curves = {SPEED: curve((100, 10.0), (300, 20.0)), EVALUATION_S: curve((200, 4.0), (300, 6.0))}
    clock = clock_of(curves)
    assert points(clock.running) == [(0, 0), (100, 10), (300, 30)]
    assert not clock.wall[0].size


def test_a_branch_begins_to_count_at_its_first_step() -> None:
    assert points(clock_of({SPEED: curve((100, 1.0), (1_100, 10.0))}, start=1_000).running) == [(1_000, 0), (1_100, 10)]


def test_a_run_that_an_earlier_version_began_has_both() -> None:
    curves = {SPEED: curve((100, 10.0), (200, 10.0), (300, 10.0)), RUNNING_S: curve((200, 20), (300, 99))}
    assert points(clock_of(curves).running) == [(0, 0), (100, 10), (200, 20), (300, 99)]


def test_an_imported_run_with_nothing_but_the_time_by_the_clock_counts_from_its_first_point() -> None:
    assert points(clock_of({CLOCK_S: curve((5, 1_000), (10, 1_060))}).running) == [(5, 0), (10, 60)]


def test_a_run_of_which_nothing_is_known_has_no_clock_and_missing_values_do_no_harm() -> None:
    for curves in ({}, {SPEED: curve((100, 0.0), (200, float("nan"))), CLOCK_S: curve((1, float("nan")))}):
        clock = clock_of(curves)
        assert clock.running_at(10) == 0 and not clock.running[0].size and not clock.wall[0].size
    assert isinstance(clock, Clock)
