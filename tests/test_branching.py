"""Branches: real small runs that continue other runs' checkpoints."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from vlmrb import kept
from vlmrb.__main__ import main
from vlmrb.agents import Exploration
from vlmrb.analysis.comparison import MeasuredRun
from vlmrb.analysis.curves import curve_lines
from vlmrb.branching import branch, branch_points
from vlmrb.checkpoint import load_checkpoint
from vlmrb.config import TrainConfig, make_config
from vlmrb.errors import CheckpointError, ConfigError
from vlmrb.events import PROGRESS_KINDS
from vlmrb.jobs import delete_run, set_job_limit
from vlmrb.moments import EVERY
from vlmrb.places import PARENT, place_of
from vlmrb.replay import kernels  # noqa: F401  compiled before anything is measured or interrupted
from vlmrb.store import Store, runs_folder
from vlmrb.train import Trainer, create_run, resume, train
from vlmrb.types import SYSTEM

AT = 600
TOTAL = 1_000


def small(**settings: object) -> TrainConfig:
    values = {
        "env": "DoorKey-5x5",
        "total_steps": TOTAL,
        "n_envs": 4,
        "learning_starts": 100,
        "batch_size": 16,
        "train_freq": 8,
        "hidden_size": 16,
        "clip_length": 8,
        "eval_interval": 200,
        "eval_episodes": 2,
        "log_interval": 100,
        "checkpoint_interval": 400,
        "buffer_size": 5_000,
        "sync_scoring": True,
        "keep_checkpoints": f"every:{AT}",
    }
    return make_config(**{**values, **settings})


@pytest.fixture
def store(tmp_path: Path):
    with Store(str(tmp_path / "store.db")) as opened:
        yield opened


@pytest.fixture(scope="module")
def parents(tmp_path_factory: pytest.TempPathFactory):
    """A store with a finished run for each replay method; nobody changes them."""
    with Store(str(tmp_path_factory.mktemp("parents") / "store.db")) as opened:
        for settings in (
            {"replay": "uniform"},
            {"replay": "vlm", "base": "per", "scorer": "oracle"},
            {"replay": "uniform", "keep_clips": False},
        ):
            train(small(**settings), store=opened)
        yield opened


@pytest.fixture
def family(parents: Store, tmp_path: Path):
    """A copy of that store: runs 1 (uniform), 2 (vlm over per) and 3 (uniform, without clips)."""
    path = tmp_path / "store.db"
    parents.backup(path)
    shutil.copytree(runs_folder(Path(parents.url)), runs_folder(path))
    with Store(str(path)) as opened:
        yield opened


def continued(store: Store, run_id: int, changes: dict[str, Any] | None = None, seed: int = 0, **how: Any) -> int:
    """A branch at AT that has been trained to its end."""
    (branched,) = branch(store, run_id, AT, [changes or {}], [seed], **how)
    resume(branched, store=store)
    return branched


def history(store: Store, run_id: int) -> dict[str, Any]:
    """What a run did after AT: curves, episodes, labels, and the final networks."""
    curves = {
        name: [values.tolist() for values in store.metrics(run_id, name, since_step=AT)]
        for name in store.metric_names(run_id)
        if not name.startswith(("speed/", SYSTEM, "scoring/latency"))
    }
    clips = [c for c in store.clips(run_id, limit=10_000, order="oldest") if c.end_step >= AT]
    _, tensors, _ = load_checkpoint(store.folder_of_run(run_id) / "checkpoints") or ({}, {}, {})
    return {
        "curves": curves,
        "episodes": store.episodes(run_id, AT - 1),
        "clips": [(c.start_step, c.end_step, c.score and c.score.label) for c in clips],
        "networks": {name: value.numpy().tobytes() for name, value in tensors["online"].items()},
    }


def begun(store: Store, run_id: int) -> Trainer:
    """The Trainer of a branch, at its first step."""
    trainer = Trainer(run_id, make_config(**store.run(run_id).config), store)
    trainer._begin()
    trainer._labelling.close()
    return trainer


# -- keeping checkpoints


def test_checkpoints_of_the_first_and_fifth_success_are_kept_with_their_buffers(store: Store) -> None:
    config = small(
        env="CartPole-v1", replay="per", success_return=20.0, keep_clips=False, keep_checkpoints="fifth-success, first-success"
    )
    run = store.run(train(config, store=store).run_id)
    assert run.config["keep_checkpoints"] == "first-success,fifth-success"
    successes = [episode.step for episode in store.episodes(run.run_id) if episode.success]
    points = branch_points(store, run.run_id)  # the run has finished: its own checkpoint has no buffer
    assert [(point.moment, point.kept) for point in points] == [("first-success", True), ("fifth-success", True)]
    for point, success in zip(points, (successes[0], successes[4]), strict=True):
        assert point.step == success // 4 * 4 + 4 and point.size > 0
        _, _, arrays = load_checkpoint(Path(point.path).parent) or ({}, {}, {})
        assert len(arrays["buffer.rewards"]) == point.step


def test_scripted_play_does_not_count_as_a_success(store: Store) -> None:
    config = small(
        env="CartPole-v1", replay="per", success_return=1.0, keep_clips=False, keep_checkpoints="first-success", total_steps=400
    )
    trainer = Trainer(1, config, store) if store.create_run(config.model_dump(), render_spec={}, success_rule="") else None
    assert trainer is not None
    trainer.config = config.model_copy(update={"play_steps": 200})
    trainer.run()
    first = next(e.step for e in store.episodes(1) if e.step >= 200)
    assert [point.step for point in branch_points(store, 1)] == [first // 4 * 4 + 4]


@pytest.mark.slow
def test_of_the_regular_checkpoints_the_oldest_go_and_the_run_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAX_COUNT", 3)
    monkeypatch.setattr("vlmrb.train.keeping.MAX_COUNT", 3)
    run_id = train(small(replay="uniform", keep_clips=False, keep_checkpoints="every:200"), store=store).run_id
    assert [point.step for point in branch_points(store, run_id)] == [600, 800, 1_000]
    assert "oldest are removed" in store.run(run_id).counters.checkpoint_notice
    monkeypatch.setattr(kept, "MAX_BYTES", 1)
    place_of(store, store.run(run_id)).written(kept.kind_of(EVERY), *kept.bounds_of(EVERY))
    assert [point.step for point in branch_points(store, run_id)] == [1_000]


@pytest.mark.slow
def test_a_resumed_run_drops_the_checkpoints_that_it_kept_later(family: Store) -> None:
    folder = family.folder_of_run(1)
    family.release_run(1, "stopped")
    shutil.rmtree(folder / "checkpoints")
    assert [point.step for point in branch_points(family, 1)] == [AT]
    resume(1, store=family, from_start=True)
    (point,) = branch_points(family, 1)
    assert point.step == AT
    state, _, _ = load_checkpoint(Path(point.path).parent) or ({}, {}, {})
    assert state["settings"]["replay"] == "uniform"


@pytest.mark.parametrize("wrong", ["sixth-success", "every:0", "every", "first-success first-success", "every:10,every:20", ","])
def test_a_wrong_moment_is_refused_with_the_allowed_form_before_a_row_exists(store: Store, wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"keep_checkpoints: got .*'first-success', 'fifth-success' and 'every:N'"):
        train(small(keep_checkpoints=wrong), store=store)
    assert store.runs() == []


# -- continuing


@pytest.mark.parametrize("run_id", [1, 2])
def test_a_branch_without_changes_is_bit_for_bit_the_run_that_is_resumed(family: Store, run_id: int) -> None:
    branched = continued(family, run_id)
    folder = family.folder_of_run(run_id)
    shutil.rmtree(folder / "checkpoints")
    shutil.copytree(folder / "kept" / "every", folder / "checkpoints")
    family.release_run(run_id, "stopped")
    resume(run_id, store=family)
    assert history(family, branched) == history(family, run_id)
    run = family.run(branched)
    assert (run.status, run.step, run.parent_id, run.parent_step, run.parent_moment) == ("finished", TOTAL, run_id, AT, "step")
    assert family.metrics(branched, "eval/success_rate")[0].tolist() == [800, 1_000]


def test_continuation_seeds_change_exploration_and_sampling_and_repeat_exactly(family: Store) -> None:
    one, again, other = (continued(family, 1, seed=seed) for seed in (1, 1, 2))
    assert history(family, one) == history(family, again)
    assert history(family, one)["networks"] != history(family, other)["networks"]
    states = [
        {name: rng.bit_generator.state["state"] for name, rng in begun(family, run_id)._rngs.items()}
        for run_id in branch(family, 1, AT, [{}, {"replay": "per"}], [0, 1])
    ]
    assert states[0] == states[1] and states[2] == states[3]  # alike for siblings of one seed
    assert {name for name in states[0] if states[0][name] != states[2][name]} == {"agent", "replay"}


def test_schedules_go_on_as_the_parents_whatever_the_branchs_length(family: Store) -> None:
    parent = make_config(**family.run(1).config)
    run_ids = branch(family, 1, AT, [{}], steps=5_000) + branch(family, 1, AT, [{"schedule_steps": None}], steps=5_000)
    longer, own = (make_config(**family.run(run_id).config) for run_id in run_ids)
    assert longer.total_steps == own.total_steps == AT + 5_000
    rng = np.random.default_rng(0)
    for step in (AT, 700, 3_000):
        assert Exploration(longer, rng).epsilon(step).tolist() == Exploration(parent, rng).epsilon(step).tolist()
    assert Exploration(own, rng).epsilon(AT)[-1] > Exploration(parent, rng).epsilon(AT)[-1]


def test_another_number_of_steps_per_update_starts_without_catching_up(family: Store) -> None:
    (branched,) = branch(family, 1, AT, [{"train_freq": 2, "n_step": 1}])
    trainer = begun(family, branched)
    assert not trainer._update_is_due()
    resume(branched, store=family)
    assert family.run(branched).status == "finished"


# -- taking over a buffer


def test_a_method_by_td_error_gets_the_errors_of_all_items_at_once(family: Store) -> None:
    (branched,) = branch(family, 1, AT, [{"replay": "per"}])
    trainer = begun(family, branched)
    buffer = trainer._buffer
    batch, _ = buffer.look_up(np.arange(AT))
    errors = (np.abs(trainer._agent.td_errors(batch), dtype=np.float64) + 1e-6) ** 0.6
    np.testing.assert_allclose(buffer.sampler.chances(np.arange(AT), AT), errors / errors.sum(), rtol=1e-3)
    assert family.run(branched).config["importance_weights"] is True  # the method's own default


@pytest.mark.parametrize("replay", ["relo", "reaper", "laber", "uniform", "vlm"])
def test_every_method_takes_over_every_buffer(family: Store, replay: str) -> None:
    changes = {"replay": replay} | ({"scorer": "oracle"} if replay == "vlm" else {})
    for parent in (1, 2):
        assert family.run(continued(family, parent, changes, steps=64)).error == ""


def test_the_base_is_taken_over_as_it_is(family: Store) -> None:
    state, _, arrays = load_checkpoint(family.folder_of_run(2) / "kept" / "every") or ({}, {}, {})
    (branched,) = branch(family, 2, AT, [{"replay": "per"}])
    sampler = begun(family, branched)._sampler
    assert sampler.state_dict()["masses"][:AT].tolist() == arrays["buffer.sampler.base.masses"].tolist()
    assert sampler.state_dict()["max_mass"] == state["numbers"]["buffer.sampler.base.max_mass"]


def test_labels_of_the_same_scorer_are_the_parents(family: Store) -> None:
    _, _, arrays = load_checkpoint(family.folder_of_run(2) / "kept" / "every") or ({}, {}, {})
    (branched,) = branch(family, 2, AT, [{"base": "uniform", "lambda_max": 1.0, "lambda_warmup": 0.0}])
    sampler = begun(family, branched)._sampler
    assert sampler.state_dict()["vlm_priorities"][:AT].tolist() == arrays["buffer.sampler.vlm_priorities"].tolist()


def test_a_branch_with_a_curriculum_takes_the_answers_to_its_ruling_question(family: Store) -> None:
    key = PROGRESS_KINDS.index("picked_up key")
    plans = [{"curriculum": "steps:900000"}, {"curriculum": f"steps:{','.join(map(str, range(1, len(PROGRESS_KINDS))))}"}]
    first, last = branch(family, 2, AT, plans)
    clips = [clip for clip in family.clips(2, limit=1_000, order="oldest") if clip.end_step < AT and clip.score is not None]

    def said_yes(question: int) -> set[int]:
        yes = (clip for clip in clips if clip.score is not None and clip.score.answers[question])
        return {step for clip in yes for step in range(clip.start_step, clip.end_step + 1, 4)}

    assert key == 0 and said_yes(key)
    assert set(np.flatnonzero(begun(family, first)._sampler.state_dict()["vlm_priorities"])) == said_yes(key)
    trainer = begun(family, last)
    assert trainer._labelling.ruling.questions == len(PROGRESS_KINDS)


def test_clips_are_scored_before_the_branch_starts_and_siblings_find_the_scores(
    family: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = branch(
        family, 1, AT, [{"replay": "vlm", "scorer": "oracle"}, {"replay": "vlm", "scorer": "oracle", "base": "per"}]
    )
    sampler = begun(family, first)._sampler
    clips = [clip for clip in family.clips(1, limit=1_000, order="oldest") if clip.end_step < AT]
    yes = {step for clip in clips if clip.progress for step in range(clip.start_step, clip.end_step + 1, 4)}
    assert yes and set(np.flatnonzero(sampler.state_dict()["vlm_priorities"])) == yes
    assert all(clip.score is None for clip in clips)  # the parent's clips stay as they are
    assert len(family.scores_of_run(1, "oracle")) == len(clips)
    monkeypatch.setattr("vlmrb.train.takeover.score_clips", lambda *_, **__: pytest.fail("scored again"))
    assert set(np.flatnonzero(begun(family, second)._sampler.state_dict()["vlm_priorities"])) == yes


def test_answers_of_a_vote_count_for_its_threshold_alone(family: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    vote = {"replay": "vlm", "scorer": "vote:oracle|reward|random:0.5"}
    first, second, third = branch(family, 1, AT, [vote, {**vote, "base": "per"}, {**vote, "threshold": 0.7}])
    begun(family, first)
    stored = family.scores_of_run(1, vote["scorer"])
    assert stored and all(len(score.votes) == 3 for score in stored)
    asked = []
    monkeypatch.setattr("vlmrb.train.takeover.score_clips", lambda _, clips, *__, **___: asked.append(len(clips)) or [])
    begun(family, second)
    assert asked == []
    begun(family, third)
    assert asked == [len(stored)]


def test_what_cannot_be_scored_is_said_in_words(family: Store) -> None:
    branched = continued(family, 3, {"replay": "vlm", "scorer": "oracle"}, steps=64)
    run = family.run(branched)
    assert run.status == "finished" and "600 of the 600 transitions taken over have no label" in run.error


def test_a_lambda_held_in_the_parent_gives_way_to_the_branchs_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    run_id = create_run(small(replay="vlm", scorer="oracle"), store=store)
    store.request_change(run_id, "lambda", 0.9)
    resume(run_id, store=store)
    weights = []
    for branched in branch(store, run_id, AT, [{}, {"lambda_max": 0.25, "lambda_warmup": 0.0}]):
        trainer = begun(store, branched)
        trainer._advance_schedules()
        weights.append(trainer._sampler.figures()["replay/vlm_weight"])  # type: ignore[attr-defined]
    assert weights == [0.9, 0.25]


# -- safety


def test_a_branch_that_crashed_before_its_first_step_starts_again(family: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = continued(family, 1, {"replay": "vlm", "scorer": "oracle"})
    (branched,) = branch(family, 1, AT, [{"replay": "vlm", "scorer": "oracle"}])
    with monkeypatch.context() as patch:
        patch.setattr("vlmrb.train.resuming.save_checkpoint", lambda *_, **__: pytest.fail("killed here"))
        with pytest.raises(BaseException, match="killed here"):
            resume(branched, store=family)
    resume(branched, store=family)
    assert history(family, branched) == history(family, whole)


def test_an_interrupted_branch_resumes_from_its_own_checkpoint(family: Store) -> None:
    (branched,) = branch(family, 1, AT, [{"replay": "per", "checkpoint_interval": 100}])
    config = make_config(**family.run(branched).config)

    def interrupt(step: int, *_: object) -> None:
        if step >= 800:
            trainer._interrupt()

    trainer = Trainer(branched, config, family, interrupt)
    trainer._house_due = float("-inf")
    trainer._keep_house = _after(trainer._keep_house, lambda: interrupt(trainer.step))  # type: ignore[method-assign]
    assert trainer.run().status == "interrupted"
    assert resume(branched, store=family).steps == TOTAL
    assert not (family.folder_of_run(branched) / PARENT).exists()


def _after(work: Any, then: Any) -> Any:
    def both(*arguments: Any) -> None:
        work(*arguments)
        then()

    return both


def test_a_branch_outlives_its_parent_and_can_be_branched_off(family: Store) -> None:
    (child,) = branch(family, 1, AT, [{"replay": "per", "keep_checkpoints": "every:200"}])
    delete_run(family, 1)
    resume(child, store=family)
    (grandchild,) = branch(family, child, 800, [{"replay": "vlm", "scorer": "oracle"}])
    resume(grandchild, store=family)
    run = family.run(grandchild)
    assert (run.status, run.parent_id, run.parent_step) == ("finished", child, 800)
    assert (family.run(child).parent_id, family.run(child).parent_step) == (1, AT)
    assert "have no label" in run.error  # those of the deleted run's clips


def test_labels_come_from_the_clips_of_all_ancestors(family: Store) -> None:
    (child,) = branch(family, 1, AT, [{"replay": "per", "keep_checkpoints": "every:200"}])
    resume(child, store=family)
    grandchild = continued_at(family, child, 800, {"replay": "vlm", "scorer": "oracle"})
    assert family.run(grandchild).error == ""


def continued_at(store: Store, run_id: int, at: int, changes: dict[str, Any]) -> int:
    (branched,) = branch(store, run_id, at, [changes])
    resume(branched, store=store)
    return branched


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"env": "DoorKey-6x6"}, "env: a branch cannot change it: the buffer and the networks were made"),
        ({"hidden_size": 32}, "hidden_size: a branch cannot change it: it is part of the networks"),
        ({"n_envs": 8}, "n_envs: a branch cannot change it: it decides where items lie"),
        ({"seed": 3}, "seed: a branch cannot change it: .*continuation seeds"),
        ({"observation": "full"}, "observation: a branch cannot change it"),
        ({"replay": "best"}, "replay: got 'best'"),
        ({"colour": 1}, "colour: there is no such setting"),
        ({"total_steps": AT}, "total_steps: 600 is not after"),
    ],
)
def test_what_a_branch_cannot_change_is_refused_by_name(family: Store, change: dict[str, Any], reason: str) -> None:
    before = len(family.runs())
    with pytest.raises(ConfigError, match=reason):
        branch(family, 1, AT, [{}, change])
    assert len(family.runs()) == before


def test_a_step_without_a_checkpoint_is_refused_with_those_that_there_are(family: Store) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint to branch off at 500: it can be branched off at 600"):
        branch(family, 1, 500, [{}])
    with pytest.raises(CheckpointError, match="no checkpoint to branch off at first-success"):
        branch(family, 1, "first-success", [{}])
    with pytest.raises(ConfigError, match="seeds: 1, 1 contains a duplicate"):
        branch(family, 1, AT, [{}], [1, 1])


def test_a_damaged_checkpoint_makes_no_branch(family: Store) -> None:
    (point,) = branch_points(family, 1)
    (Path(point.path) / "arrays" / "buffer.rewards.npy").write_bytes(b"damaged")
    before = len(family.runs())
    with pytest.raises(CheckpointError, match=r"rewards\.npy has changed"):
        branch(family, 1, AT, [{}])
    assert len(family.runs()) == before


def test_exported_curves_say_where_a_branch_comes_from(family: Store) -> None:
    branched = family.run(continued(family, 1, {"replay": "per"}, steps=200))
    measured = [MeasuredRun(run, *family.metrics(run.run_id, "eval/success_rate")) for run in (family.run(1), branched)]
    lines = {line["method"]: line for line in map(json.loads, curve_lines(measured, "eval/success_rate", "1"))}
    assert (lines["per"]["parent_id"], lines["per"]["parent_step"], lines["per"]["parent_moment"]) == (1, AT, "step")
    assert lines["per"]["steps"] == [AT + 200] and lines["uniform"]["parent_id"] is None


# -- the command line


@pytest.fixture
def say(family: Store, capsys: pytest.CaptureFixture[str]):
    """Runs a command; returns its output, parsed with --json, or what it complained about. The queue does not advance."""
    set_job_limit(family, 1)
    (job_id,) = family.enqueue_jobs("train", [999])
    family.take_jobs({"train": 1})
    here = psutil.Process()
    family.job_started(job_id, here.pid, here.create_time())

    def run(*words: object, status: int = 0) -> Any:
        assert main([*map(str, words), "--store", family.url]) == status
        captured = capsys.readouterr()
        return (json.loads(captured.out) if "--json" in words else captured.out) if status == 0 else captured.err

    return run


def test_branch_queues_every_method_with_every_seed(family: Store, say: Any) -> None:
    said = say(
        "branch", 1, "--at", AT, "--replay", "uniform", "vlm", "--scorer", "oracle", "--seeds", "0-1", "--steps", "64", "--json"
    )
    runs = [family.run(run_id) for run_id in said["run_ids"]]
    assert [(run.replay, run.continuation_seed) for run in runs] == [("uniform", 0), ("vlm", 0), ("uniform", 1), ("vlm", 1)]
    assert {(run.status, run.step, run.total_steps, run.parent_id) for run in runs} == {("queued", AT, AT + 64, 1)}
    assert runs[3].name == "DoorKey-5x5 dqn vlm(oracle) s0 from 1@600 c1"
    assert "1@600" in say("runs") and "of run 1 at step 600, continuation seed 1" in say("show", runs[3].run_id)


def test_branch_trains_here_if_asked_to(family: Store, say: Any) -> None:
    assert "finished" in say("branch", 1, "--at", "600", "--n-step", "1", "--steps", "64", "--wait", "--quiet")
    assert family.runs()[0].status == "finished" and "n_step=1" in family.runs()[0].name


def test_show_lists_the_kept_checkpoints_with_their_sizes(say: Any) -> None:
    assert "step 600 (kept, " in say("show", 1)
    (point,) = say("show", 1, "--json")["branch_points"]
    assert (point["step"], point["moment"], point["kept"]) == (AT, "step", True) and point["size"] > 1_000


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--at", "fifth-success"], "no checkpoint to branch off at fifth-success: it can be branched off at 600"),
        (["--at", "600", "--env", "DoorKey-6x6"], "env: a branch cannot change it"),
        (["--at", "600", "--seeds", "a"], "seeds: got 'a'"),
        (["--at", "600", "--steps", "5", "--total-steps", "700"], "give either how many steps more"),
    ],
)
def test_branch_refuses_in_words(say: Any, words: list[str], reason: str) -> None:
    assert reason in say("branch", 1, *words, status=2)


def test_a_backup_holds_the_kept_checkpoints_and_branches_that_have_not_started(family: Store, say: Any, tmp_path: Path) -> None:
    (branched,) = branch(family, 1, AT, [{}], steps=64)
    main(["doctor", "--store", family.url, "--backup", str(tmp_path / "copy.db")])
    with Store(str(tmp_path / "copy.db"), create=False) as copy:
        assert resume(branched, store=copy).steps == AT + 64
        (again,) = branch(copy, 1, AT, [{}], steps=64)
        assert resume(again, store=copy).steps == AT + 64
