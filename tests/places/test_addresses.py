"""What the setting `checkpoints` may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmrb.addresses import parse_address, without_secrets
from vlmrb.config import make_config
from vlmrb.errors import ConfigError


def test_addresses_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    for text, address in {
        "local": "local",
        " s3://bucket/runs/ ": "s3://bucket/runs",
        "GS://bucket": "gs://bucket",
        "sftp://somebody@host/srv/runs": "sftp://somebody@host/srv/runs",
        "/shared//runs/": "/shared/runs",
        "file:///shared/runs": "/shared/runs",
        "runs": f"{tmp_path}/runs",
        "~/runs": "/home/somebody/runs",
    }.items():
        assert parse_address(text) == address
        assert parse_address(address) == address
    assert make_config(checkpoints="none").checkpoints == f"{tmp_path}/none" and make_config().checkpoints is None


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("", "a folder, a URL such as s3://"),
        ("s3:bucket/runs", "has '://' after its scheme"),
        ("s4://bucket/runs", "nothing is known of s4://"),
        ("s3://", "names no bucket"),
        ("s3://key:secret-word@bucket/runs", "may hold no key, password or option"),
        ("s3://bucket/runs?token=secret-word", "may hold no key, password or option"),
        ("simplecache::s3://bucket/secret-word", "may hold no key"),
        ("s3://bucket/\nruns", "allowed"),
    ],
)
def test_what_is_no_address_is_refused_with_the_way_out_and_without_secrets(wrong: str, why: str) -> None:
    with pytest.raises(ConfigError, match="checkpoints: got ") as caught:
        make_config(checkpoints=wrong)
    assert why in str(caught.value) and "secret-word" not in str(caught.value)


def test_passwords_are_left_out_of_a_librarys_messages() -> None:
    assert (
        without_secrets("no answer from http://me:word@host:9000/b, nor s3://b/x")
        == "no answer from http://…@host:9000/b, nor s3://b/x"
    )
