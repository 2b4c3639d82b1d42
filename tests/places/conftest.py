"""Real places: a folder, fsspec's memory and file systems, and on loopback S3, Google Cloud Storage and SFTP."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import other_stores, s3


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


@pytest.fixture(scope="session")
def google() -> Iterator[str]:
    """A Google Cloud Storage for all tests; its URL."""
    for name in ("gcp_storage_emulator", "gcsfs"):
        pytest.importorskip(name, reason="pip install gcp-storage-emulator -e '.[gcs]' brings a Google Cloud Storage on loopback")
    with other_stores.google() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """An SFTP server for all tests: the URL of its root, and the home folder with its key."""
    pytest.importorskip("paramiko", reason="pip install paramiko brings SFTP")
    if other_stores.SSHD is None:
        pytest.skip("there is no sshd; Debian's package openssh-server brings it")
    home = tmp_path_factory.mktemp("home")
    with other_stores.sftp(home) as root:
        yield root, home


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("gs", "sftp")]  # need servers that few people have


@pytest.fixture(params=["memory", "file", "s3", *SLOW])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty folder somewhere."""
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/folder"
    if request.param == "gs":
        return f"{other_stores.make_bucket(request.getfixturevalue('google'), monkeypatch)}/folder"
    if request.param == "sftp":
        root, home = request.getfixturevalue("sftp")
        monkeypatch.setenv("HOME", str(home))
        return f"{root}{tmp_path}/there"
    return f"memory://{uuid.uuid4().hex}/folder" if request.param == "memory" else f"file://{tmp_path}/there"
