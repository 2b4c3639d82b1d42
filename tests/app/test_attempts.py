"""Wrong passwords are slowed down, the right one is not kept out for long, and memory stays bounded."""

from __future__ import annotations

import time

import pytest

from app import attempts
from app.attempts import Attempts, network_of


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, to be moved by hand."""
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_an_address_has_a_few_attempts_at_once_and_then_waits_longer_and_longer(clock: list[float]) -> None:
    tried = Attempts()
    waits = [tried.reserve("192.0.2.1") for _ in range(20)]
    assert waits[:5] == [0.0] * 5
    assert waits[5:8] == pytest.approx([0.5, 1.0, 1.5])
    assert waits[-1] is None


def test_another_address_is_not_slowed_down_by_one_that_tries_on_and_on(clock: list[float]) -> None:
    tried = Attempts()
    for _ in range(100):
        tried.reserve("192.0.2.1")
    assert tried.reserve("192.0.2.2") == 0.0


def test_whoever_tried_too_often_may_try_again_within_seconds(clock: list[float]) -> None:
    tried = Attempts()
    for _ in range(10_000):
        tried.reserve("192.0.2.1")
    clock[0] += 1.0
    assert tried.reserve("192.0.2.1") is not None


def test_many_addresses_together_are_slowed_down(clock: list[float]) -> None:
    tried = Attempts()
    waits = [tried.reserve(f"192.0.{at // 250}.{at % 250}") for at in range(1_000)]
    assert sum(wait is not None for wait in waits) <= 110


def test_the_addresses_of_one_ipv6_network_count_as_one(clock: list[float]) -> None:
    tried = Attempts()
    assert [tried.reserve(f"2001:db8::{at}") for at in range(20)][-1] is None
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff") != network_of("2001:db8:0:1::1")


def test_right_passwords_do_not_count(clock: list[float]) -> None:
    tried = Attempts()
    for _ in range(1_000):
        assert tried.reserve("192.0.2.1") == 0.0
        tried.forgive("192.0.2.1")


def test_a_browser_that_has_logged_in_is_known_until_it_has_been_away_for_long(clock: list[float]) -> None:
    tried = Attempts()
    session = tried.new_session()
    for _ in range(3):
        clock[0] += attempts.SESSION_S - 1
        assert tried.knows(session)
    clock[0] += attempts.SESSION_S + 1
    assert not tried.knows(session)
    assert not tried.knows("")


def test_addresses_and_sessions_take_bounded_memory(clock: list[float]) -> None:
    tried = Attempts()
    for at in range(attempts.MAX_ADDRESSES + 500):
        tried.reserve(f"10.{at // 65_536}.{at // 256 % 256}.{at % 256}")
        tried.new_session()
    assert len(tried._addresses) == attempts.MAX_ADDRESSES
    assert len(tried._sessions) == attempts.MAX_SESSIONS
