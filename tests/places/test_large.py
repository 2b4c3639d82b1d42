"""Checkpoints of the size that runs have, over a line that breaks."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from tests import s3
from tests.bench.checkpoints import filled_buffer, save
from tests.waiting import wait_until
from vlmrb.checkpoint import Loaded
from vlmrb.places import RESUME, Mirror, Remote
from vlmrb.replay import ReplayBuffer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture
def line(moto: str, monkeypatch: pytest.MonkeyPatch) -> s3.Line:
    made = s3.Line(moto)
    s3.reach(made.endpoint, monkeypatch)
    return made


def holds(loaded: Loaded | None, step: int, buffer: ReplayBuffer) -> None:
    """Whether it is the checkpoint of that step, with every byte of the buffer."""
    assert loaded is not None
    state, _, arrays = loaded
    assert state["step"] == step
    for name, value in buffer.state_dict().items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(arrays[f"buffer.{name}"], value)


def test_a_buffer_of_300000_items_is_resumed_on_another_machine(line: s3.Line, tmp_path: Path) -> None:
    url, buffer = f"{s3.make_bucket(line.endpoint)}/run-1", filled_buffer(300_000)
    here = Mirror(tmp_path / "here", Remote(url))
    assert here.load(RESUME) is None
    save(here, 300_000, buffer)
    assert here.finish(600.0) == ""
    (found,) = here.checkpoints(RESUME)
    line.received = 0
    holds(Mirror(tmp_path / "here", Remote(url)).load(RESUME), 300_000, buffer)
    assert line.received < 100_000  # it was there
    holds(Mirror(tmp_path / "there", Remote(url)).load(RESUME), 300_000, buffer)
    assert found.size < line.received < found.size * 1.02 + 100_000
    line.close()


def test_of_a_checkpoint_that_is_cut_off_20_times_nothing_is_believed(
    line: s3.Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vlmrb.places.remote._TRIES", 1)
    url, random = f"{s3.make_bucket(line.endpoint)}/run-1", Random(0)
    before, after = filled_buffer(20_000), filled_buffer(20_000, seed=1)
    place = Mirror(tmp_path / "first", Remote(url))
    place.load(RESUME)
    save(place, 100, before)
    assert place.finish(120.0) == ""
    (found,) = place.checkpoints(RESUME)
    for number in range(20):
        place = Mirror(tmp_path / f"machine-{number}", Remote(url))
        holds(place.load(RESUME), 100, before)
        line.cut_after(random.randrange(2_000, int(found.size * 0.98)))
        save(place, 200 + number, after)
        wait_until(lambda place=place: place.notice, "the cut to be noticed")  # type: ignore[misc]
        assert "on this machine only" in place.finish(0.0)
        line.cut_after(None)
    assert [each.step for each in place.checkpoints(RESUME)] == [100]
    assert place.finish(120.0) == ""
    holds(Mirror(tmp_path / "last", Remote(url)).load(RESUME), 219, after)
    line.close()
