"""Real places: a folder, fsspec's memory and file systems, and moto's S3 on loopback."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import s3


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """An S3 for all tests; its URL."""
    pytest.importorskip("moto", reason="moto is not installed; pip install -e '.[test]' brings it")
    with s3.running() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty bucket, which this process can reach."""
    s3.reach(moto, monkeypatch)
    return s3.make_bucket(moto)


@pytest.fixture(params=["memory", "file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty folder somewhere."""
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/folder"
    return f"memory://{uuid.uuid4().hex}/folder" if request.param == "memory" else f"file://{tmp_path}/there"
