"""Which hosts are this machine."""

from __future__ import annotations

import pytest

from vlmrb.hosts import is_loopback


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "a.localhost",
        "LOCALHOST.",
        "127.0.0.1",
        "127.8.9.10",
        "::1",
        "[::1]",
        "::ffff:127.0.0.1",
        "127.1",
        "0x7f000001",
    ],
)
def test_this_machine_is_known(host: str) -> None:
    assert is_loopback(host) and is_loopback(host, to_connect=True)


@pytest.mark.parametrize(
    "host",
    [
        "localhost.example.com",
        "127.example.com",
        "10.0.0.1",
        "::2",
        "",
        "x",
        "127.0.0.1 example.com",
        "127.0.0.1\texample.com",
        "\0",
    ],
)
def test_others_are_not(host: str) -> None:
    assert not is_loopback(host) and not is_loopback(host, to_connect=True)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "0"])
def test_who_listens_there_is_reached_from_everywhere_and_who_connects_reaches_this_machine(host: str) -> None:
    assert not is_loopback(host) and is_loopback(host, to_connect=True)
