"""Host names, origins and the address of a proxy."""

from __future__ import annotations

import pytest

from app.address import Address, host_name, host_of, parse_address
from vlmrb.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", Address()),
        ("/", Address()),
        ("/vlmrb", Address("/vlmrb")),
        ("/user/ada/proxy/7860/", Address("/user/ada/proxy/7860")),
        ("https://lab.example/vlmrb/", Address("/vlmrb", "lab.example")),
        ("http://Lab.example:8080", Address("", "lab.example:8080")),
    ],
)
def test_a_proxy_is_given_by_path_or_address(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["vlmrb", "//lab.example", "ftp://lab.example", "https://", "http://[::1", "/a?b", "/a#b", "/a b", "/a//b", "/<x>"]
)
def test_anything_else_is_refused_in_words(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--root-path.*such as /vlmrb"):
        parse_address(text)


MALFORMED = ["", "[", "[::1", "::1", "[:::]", "localhost:", "localhost:x", "localhost:" + "9" * 5_000, "localhost:99999", "a@b",
             "a/b", "a b", "\xff", "999.1.1.1", "http://localhost", "x" * 5_000, "localhost, evil.example"]  # fmt: skip


@pytest.mark.parametrize("host", MALFORMED)
def test_a_malformed_host_is_none(host: str) -> None:
    assert host_name(host) is None
    assert host_of(f"http://{host}") is None


@pytest.mark.parametrize(
    ("host", "name"),
    [("localhost:7860", "localhost"), ("[::1]:7860", "::1"), ("127.0.0.1", "127.0.0.1"), ("my_lab-1", "my_lab-1")],
)
def test_a_host_has_a_name_and_perhaps_a_port(host: str, name: str) -> None:
    assert host_name(host) == name
    assert host_of(f"https://{host}") == host


@pytest.mark.parametrize("origin", ["null", "", "file://", "localhost:7860", "data:x"])
def test_what_is_no_page_has_no_host(origin: str) -> None:
    assert host_of(origin) is None
