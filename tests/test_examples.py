"""Each example works when its own docstring is followed, with fewer steps."""

from __future__ import annotations

import ast
import importlib.util
import shlex
import threading
import tomllib
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vlmrb import Store, make_config, make_renderer
from vlmrb.__main__ import build_parser, main
from vlmrb.replay import Added, forget_methods
from vlmrb.types import CLIPS_PER_RUN

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "assets" / "examples"
OWN_ENVIRONMENT, OWN_SCORER = EXAMPLES / "own_environment.py", EXAMPLES / "own_scorer.py"
OWN_METHOD = EXAMPLES / "own_replay_method" / "recent_replay.py"
FEWER = "--total-steps 600 --learning-starts 400 --eval-episodes 2 --sync-scoring --quiet"


def commands(example: Path) -> list[str]:
    """What the docstring says to type."""
    docstring = ast.get_docstring(ast.parse(example.read_text(encoding="utf-8"))) or ""
    return [line.strip() for line in docstring.splitlines() if line.startswith("    ")]


def train_command(example: Path) -> list[str]:
    line = next(line for line in commands(example) if line.startswith("python -m vlmrb train "))
    return shlex.split(line)[3:]


def train(example: Path, store_file: Path, *more: str) -> None:
    assert main([*train_command(example), *FEWER.split(), "--store", str(store_file), *more]) == 0


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


def test_the_own_environment_trains_and_its_clips_are_labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    train(OWN_ENVIRONMENT, tmp_path / "runs.db")
    with Store(str(tmp_path / "runs.db")) as store:
        run, clips = store.run(1), store.clips(limit=1000)
        frames = store.load_clip(clips[0].clip_id).snapshots
    assert (run.status, run.env) == ("finished", "own_environment:Corridor-v0")
    assert "is_success" in run.success_rule
    assert frames.shape[1:] == (16, 15 * 16, 3)
    labels = [clip.score.label for clip in clips if clip.score is not None]
    assert labels == [clip.episodic_reward > 0 for clip in clips]
    assert set(labels) == {True, False}


def test_the_own_scorer_labels_the_clips_of_a_run(tmp_path: Path) -> None:
    example = load(OWN_SCORER)
    with ThreadingHTTPServer(("127.0.0.1", 0), example.Scorer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        scorer = f"openai:http://127.0.0.1:{server.server_port}/v1#motion"
        try:
            train(OWN_SCORER, tmp_path / "runs.db", "--scorer", scorer)
        finally:
            server.shutdown()
    with Store(str(tmp_path / "runs.db")) as store:
        run, clip = store.run(1), store.load_clip(CLIPS_PER_RUN)
        (score,) = store.scores(CLIPS_PER_RUN)
    assert (run.status, run.scorer) == ("finished", scorer)
    assert run.counters["clips_scored"] == run.counters["clips"] > 0
    assert run.counters["unknown"] == run.counters["dropped"] == 0
    frames = make_renderer(run.render_spec).render(clip.snapshots[list(score.frame_indices)])
    assert score.probability == pytest.approx(example.probability_of_yes(list(frames), ""), abs=1e-5)


@pytest.fixture
def own_method_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As pip would leave it; building it would need the network."""
    project = tomllib.loads((OWN_METHOD.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert [f"{name}.py" for name in project["tool"]["setuptools"]["py-modules"]] == [OWN_METHOD.name]
    _write_metadata(project["project"], tmp_path / "recent_replay-0.1.0.dist-info")
    monkeypatch.syspath_prepend(OWN_METHOD.parent)
    monkeypatch.syspath_prepend(tmp_path)
    forget_methods()
    yield
    monkeypatch.undo()
    forget_methods()


def _write_metadata(project: dict, folder: Path) -> None:
    folder.mkdir()
    folder.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    folder.joinpath("entry_points.txt").write_text("\n".join(lines))


@pytest.mark.usefixtures("own_method_installed")
def test_the_own_replay_method_is_offered_and_trains_once_it_is_installed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert "recent: Recent, newer transitions more often" in " ".join(capsys.readouterr().out.split())
    train(OWN_METHOD, tmp_path / "runs.db")
    with Store(str(tmp_path / "runs.db")) as store:
        assert (store.run(1).status, store.run(1).replay) == ("finished", "recent")
    assert make_config(replay="vlm", base="recent").base == "recent"


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
