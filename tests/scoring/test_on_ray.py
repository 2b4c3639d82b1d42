"""A shared scorer whose models are in a Ray cluster."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from contextlib import closing

import numpy as np
import pytest

from tests.doorkey import record_clips
from tests.scoring.test_shared import serving
from vlmrb.__main__ import main
from vlmrb.envs.rendering import MiniGridRenderer
from vlmrb.scoring import ScorerOptions, make_scorer
from vlmrb.scoring.shared import health
from vlmrb.scoring.worker import make_request
from vlmrb.types import Prompt

has_serve = importlib.util.find_spec("ray") is not None and importlib.util.find_spec("grpc_reflection") is not None
needs_ray = pytest.mark.skipif(not has_serve, reason="Ray Serve is not installed: pip install 'vlmrb[ray]'")


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--on", "slurm"], "allowed: ray"), (["--on", "ray", "--gpus", "-1"], "0 to 1024"), (["--cpus", "nan"], "0 to 1024")],
)
def test_wrong_options_are_refused(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve-scorer", "--port", "0", *options]) == 2
    assert words in capsys.readouterr().err


@needs_ray
@pytest.mark.slow  # importing Ray
def test_a_cluster_that_is_not_there_is_named() -> None:
    command = [sys.executable, "-m", "vlmrb", "serve-scorer", "--port", "0", "--on", "ray:127.0.0.1:9"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and re.search(r"no Ray cluster at '127.0.0.1:9'.*ray start --head", done.stderr)


@pytest.mark.skipif(has_serve, reason="Ray Serve is installed")
def test_without_ray_it_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve-scorer", "--port", "0", "--on", "ray"]) == 2
    assert "vlmrb[ray]" in capsys.readouterr().err


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_model_on_ray_gives_the_answers_of_a_local_one() -> None:
    patient = {"RAY_agent_register_timeout_ms": "300000", "RAY_raylet_start_wait_time_s": "250"}
    prompt = Prompt("custom", 1, "Does the agent open a door?")
    clips = record_clips("DoorKey-5x5", 8, lambda _: 0.8, np.random.default_rng(0))
    options = ("--on", "ray", "--replicas", "2", "--scorer", "embedded:robots")
    with (
        tempfile.TemporaryDirectory(prefix="ray") as folder,  # short: the paths of sockets are
        serving(*options, env=patient | {"RAY_TMPDIR": folder, "RAY_ADDRESS": ""}) as url,
    ):
        with closing(make_scorer(f"shared:{url}", ScorerOptions())) as shared:
            requests = [make_request(clip, MiniGridRenderer(), 8, mosaics=True) for clip in clips]
            theirs = shared.score(requests, prompt)
        with closing(make_scorer("embedded:robots", ScorerOptions())) as own:
            for ours, there in zip(own.score(requests, prompt), theirs, strict=True):
                assert ours.probability == pytest.approx(there.probability, abs=1e-4) and ours.revision == there.revision
        assert health(url)["scored"] == len(clips)
