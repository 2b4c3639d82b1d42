"""Each example works when its own docstring is followed, with fewer steps."""

from __future__ import annotations

import ast
import importlib.util
import os
import shlex
import subprocess
import sys
import threading
import tomllib
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vlmrb import Store, make_renderer
from vlmrb.__main__ import build_parser
from vlmrb.replay import Added
from vlmrb.types import CLIPS_PER_RUN

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "assets" / "examples"
OWN_ENVIRONMENT, OWN_SCORER = EXAMPLES / "own_environment.py", EXAMPLES / "own_scorer.py"
OWN_METHOD = EXAMPLES / "own_replay_method" / "recent_replay.py"
FEWER = "--total-steps 1000 --learning-starts 500 --eval-episodes 2 --sync-scoring --quiet"


def commands(example: Path) -> list[str]:
    """What the docstring says to type."""
    docstring = ast.get_docstring(ast.parse(example.read_text(encoding="utf-8"))) or ""
    return [line.strip() for line in docstring.splitlines() if line.startswith("    ")]


def train_command(example: Path) -> list[str]:
    line = next(line for line in commands(example) if line.startswith("python -m vlmrb train "))
    return shlex.split(line)[1:]


def run_python(words: list[str], folder: Path, *search_path: Path) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, *search_path)))}
    outcome = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=280)
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("example", [OWN_ENVIRONMENT, OWN_SCORER, OWN_METHOD], ids=lambda path: path.stem)
def test_every_command_of_an_example_is_real(example: Path) -> None:
    for line in commands(example):
        words = shlex.split(line)
        if words[:3] == ["python", "-m", "vlmrb"]:
            build_parser().parse_args(words[3:])
        else:
            assert words[:-1] in (["cd"], ["python"], ["pip", "install"]), line
            assert (ROOT / words[-1]).exists(), line


def test_the_own_environment_trains_and_its_clips_are_labelled(tmp_path: Path) -> None:
    store_file = tmp_path / "runs.db"
    run_python([*train_command(OWN_ENVIRONMENT), *FEWER.split(), "--store", str(store_file)], EXAMPLES)
    with Store(str(store_file)) as store:
        run, clips = store.run(1), store.clips(limit=1000)
        frames = store.load_clip(clips[0].clip_id).snapshots
    assert (run.status, run.env) == ("finished", "own_environment:Corridor-v0")
    assert "is_success" in run.success_rule
    assert frames.shape[1:] == (16, 15 * 16, 3)
    labels = [clip.score.label for clip in clips if clip.score is not None]
    assert labels == [clip.episodic_reward > 0 for clip in clips]
    assert set(labels) == {True, False}


def test_the_own_scorer_labels_the_clips_of_a_run(tmp_path: Path) -> None:
    example, store_file = load(OWN_SCORER), tmp_path / "runs.db"
    with ThreadingHTTPServer(("127.0.0.1", 0), example.Scorer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        words = [word.replace(":8765/", f":{server.server_port}/") for word in train_command(OWN_SCORER)]
        run_python([*words, *FEWER.split(), "--store", str(store_file)], tmp_path)
        server.shutdown()
    with Store(str(store_file)) as store:
        run, clip = store.run(1), store.load_clip(CLIPS_PER_RUN)
        (score,) = store.scores(CLIPS_PER_RUN)
    assert (run.status, run.scorer) == ("finished", f"openai:http://127.0.0.1:{server.server_port}/v1#motion")
    assert run.counters["clips_scored"] == run.counters["clips"] > 0
    assert run.counters["unknown"] == run.counters["dropped"] == 0
    frames = make_renderer(run.render_spec).render(clip.snapshots[list(score.frame_indices)])
    assert score.probability == pytest.approx(example.probability_of_yes(list(frames), ""), abs=1e-5)


def test_the_own_replay_method_is_offered_and_trains_once_it_is_installed(tmp_path: Path) -> None:
    project = tomllib.loads((OWN_METHOD.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert [f"{name}.py" for name in project["tool"]["setuptools"]["py-modules"]] == [OWN_METHOD.name]
    _pretend_to_install(project["project"], tmp_path)
    installed = (OWN_METHOD.parent, tmp_path)
    told = " ".join(run_python(["-m", "vlmrb", "train", "--help"], tmp_path, *installed).split())
    assert "recent: Recent, newer transitions more often" in told
    store_file = tmp_path / "runs.db"
    run_python([*train_command(OWN_METHOD), *FEWER.split(), "--store", str(store_file)], tmp_path, *installed)
    with Store(str(store_file)) as store:
        assert (store.run(1).status, store.run(1).replay) == ("finished", "recent")


def _pretend_to_install(project: dict, folder: Path) -> None:
    """What pip leaves for Python to find an installed project's entry points; building it would need the network."""
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [line for group, entries in project["entry-points"].items()
             for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))]  # fmt: skip
    (info / "entry_points.txt").write_text("\n".join(lines))


def test_the_own_replay_method_draws_newer_items_more_often_by_the_chances_that_it_states() -> None:
    capacity, n_envs = 12, 4
    sampler = load(OWN_METHOD).METHOD.make(None, capacity)
    for first in range(0, 20, n_envs):  # the ring is full and has wrapped: slot 7 holds the newest item, slot 8 the oldest
        ids = np.arange(first, first + n_envs)
        sampler.add(ids % capacity, Added(ids, ids, ids, ids < 0, ids, n_envs))
    by_age = np.arange(8, 20) % capacity
    chances = sampler.chances(by_age, capacity)
    assert chances.sum() == pytest.approx(1.0)
    assert (np.diff(chances) > 0).all()
    draws = 40_000
    drawn = sampler.sample(draws, capacity, np.random.default_rng(0))
    counts = np.bincount(drawn.slots, minlength=capacity)[by_age]
    assert ((counts - draws * chances) ** 2 / (draws * chances)).sum() < 31.3  # chi-square, 11 degrees of freedom, p = 0.001
    np.testing.assert_array_equal(drawn.probabilities, sampler.chances(drawn.slots, capacity))
