"""Whole runs with hindsight in words: asked, stored, relabelled, resumed, branched, refused; and that it learns."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlmrb.analysis.comparison import method_of
from vlmrb.branching import branch
from vlmrb.checkpoint import load_checkpoint
from vlmrb.config import TrainConfig, make_config
from vlmrb.envs import make_env, make_renderer
from vlmrb.errors import ConfigError
from vlmrb.jobs import matched_set
from vlmrb.metrics import Counters, MeanMetrics
from vlmrb.prompt_library import questions_of
from vlmrb.replay import HindsightInWords, ReplayBuffer, replay_methods
from vlmrb.replay.methods.uniform import UniformSampler
from vlmrb.scoring import ScorerOptions, make_scorer, resolve_prompt
from vlmrb.scoring.worker import _score
from vlmrb.store import Store, runs_folder
from vlmrb.train import create_run, resume, train
from vlmrb.train.labelling import Labelling
from vlmrb.types import SYSTEM, Clip, OtherMissions, Prompt, Transition

ASKED = "At the end of the clip, has the agent just done this: {mission}?"


def small(**settings: Any) -> TrainConfig:
    values = {
        "env": "BabyAI-GoToLocalS5N2-v0",
        "replay": "uniform",
        "scorer": "random:0.3",
        "her": "words:4",
        "sync_scoring": True,
        "clip_length": 16,
        "total_steps": 400,
        "n_envs": 4,
        "learning_starts": 100,
        "batch_size": 32,
        "hidden_size": 16,
        "buffer_size": 300,
        "eval_interval": 400,
        "eval_episodes": 2,
        "log_interval": 100,
        "checkpoint_interval": 100,
    }
    return make_config(**{**values, **settings})


@pytest.fixture
def store(tmp_path: Path):
    with Store(str(tmp_path / "store.db")) as opened:
        yield opened


def curves(store: Store, run_id: int) -> dict[str, Any]:
    """All of a run's curves but those of time."""
    names = [name for name in store.metric_names(run_id) if not name.startswith(("speed/", SYSTEM, "scoring/latency"))]
    return {name: [values.tolist() for values in store.metrics(run_id, name)] for name in names}


def test_what_was_asked_about_other_missions_is_stored_filled_in_and_repeats_exactly(store: Store) -> None:
    first, second = (train(small(), store=store).run_id for _ in range(2))
    assert curves(store, first) == curves(store, second)
    assert store.metrics(first, "replay/relabelled")[1].max() > 0
    clips = store.clips(first, limit=1_000)
    assert clips and all(clip.score is not None and clip.score.prompt_id is None for clip in clips), "their labels are their own"
    question = store.find_prompt("hindsight")
    assert question is not None and question.text == ASKED
    asked = [score for clip in clips for score in store.scores(clip.clip_id) if score.prompt_id == question.prompt_id]
    assert len(asked) == len(clips)
    for score in asked:
        questions = questions_of(score, question)
        assert len(questions) == len(score.answers) <= 4
        assert all(
            re.fullmatch(r"At the end of the clip, has the agent just done this: go to \w+ \w+ \w+\?", q) for q in questions
        )
    assert any(score.label for score in asked)
    counters = store.run(first).counters
    assert counters.clips_scored == counters.clips == len(clips)


@pytest.mark.parametrize("replay", replay_methods())
def test_it_works_beside_every_replay_method(store: Store, replay: str) -> None:
    run_id = train(small(replay=replay, scorer="random:1", total_steps=200, clip_length=32, keep_clips=False), store=store).run_id
    assert store.metrics(run_id, "replay/relabelled")[1].max() > 0.1


def test_a_run_resumes_exactly_with_what_was_accomplished(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    stopped = create_run(small(), store=store)

    def stop(step: int, _total: int, _figures: Any) -> None:
        if step >= 220 and not store.live_changes(stopped):
            store.request_change(stopped, "stop")

    assert resume(stopped, store=store, progress=stop).steps < 400
    loaded = load_checkpoint(store.folder_of_run(stopped) / "checkpoints", lambda _: None)
    assert loaded is not None
    state, _, arrays = loaded
    assert (arrays["buffer.in_words.accomplished"] >= 0).any()
    assert len(state["numbers"]["buffer.in_words.missions"]) == len(arrays["buffer.in_words.words"]) > 5
    path = tmp_path / "copy" / "store.db"
    path.parent.mkdir()
    store.backup(path)
    shutil.copytree(runs_folder(Path(store.url)), runs_folder(path))
    resume(stopped, store=store)
    with Store(str(path)) as copy:
        resume(stopped, store=copy)
        assert curves(copy, stopped) == curves(store, stopped)
    assert store.metrics(stopped, "replay/relabelled")[1][-1] > 0


def test_answers_that_were_stored_after_the_checkpoint_count_when_the_run_is_resumed(store: Store) -> None:
    config = small(scorer="random:1", total_steps=200)
    run_id = train(config, store=store).run_id
    clips, env, prompt = store.clips(run_id, limit=1_000), make_env(config), resolve_prompt(config.prompt)
    assert config.hindsight is not None
    in_words = HindsightInWords(config.hindsight, env.observation_spec, 300, seed=0)
    buffer = ReplayBuffer(300, env.observation_spec, UniformSampler(), np.random.default_rng(0), n_envs=4, hindsight=in_words)
    missions, seen, zero = sorted({clip.mission for clip in clips}), np.zeros((4, *env.observation_spec.shape)), np.zeros(4)
    for step in range(50):
        given = [missions[(4 * step + at) % len(missions)] for at in range(4)]
        buffer.add(Transition(seen, zero, zero, seen, zero.astype(bool), zero.astype(bool)), given)
    saved, question = store.save_prompt(prompt.name, prompt.text), store.find_prompt("hindsight")
    agent: Any = None  # nothing is learned here
    writer = store.writer(run_id)
    labelling = Labelling(config, env.render_spec, saved, buffer, agent, writer, Counters(), MeanMetrics(), question)
    try:
        assert labelling.resume(saved, [clip.clip_id for clip in clips], store) == 0 and labelling.pending == []
    finally:
        labelling.close()
    marked = np.flatnonzero(in_words.state_dict(200)["accomplished"] >= 0)
    assert marked.tolist() == sorted(clip.end_step for clip in clips)
    taken = in_words.state_dict(200)["accomplished"]
    assert all(missions[taken[clip.end_step]] != clip.mission for clip in clips), "never the clip's own"


@pytest.mark.slow
def test_a_branch_keeps_what_was_accomplished_unless_another_scorer_or_question_says_so(store: Store) -> None:
    parent = train(small(scorer="random:1", total_steps=204, keep_checkpoints="every:200"), store=store).run_id
    changes = [{"total_steps": 240}, {"her": "off", "total_steps": 240}, {"scorer": "random:0", "total_steps": 240}]
    shares = []
    for run_id in branch(store, parent, 200, changes):
        resume(run_id, store=store)
        found = store.metrics(run_id, "replay/relabelled")[1] if "replay/relabelled" in store.metric_names(run_id) else [-1.0]
        shares.append(float(found[-1]))
    assert shares[0] > 0.1 and shares[1:] == [-1.0, 0.0]


def test_a_branch_may_begin_to_ask_where_its_parent_did_not(store: Store) -> None:
    parent = train(small(her="off", scorer=None, total_steps=204, keep_checkpoints="every:200"), store=store).run_id
    [run_id] = branch(store, parent, 200, [{"her": "words:4", "scorer": "random:1", "total_steps": 400}])
    resume(run_id, store=store)
    assert store.metrics(run_id, "replay/relabelled")[1][-1] > 0.05


@pytest.mark.slow
def test_a_live_prompt_that_leaves_no_room_for_the_other_questions_is_rejected(store: Store, monkeypatch: Any) -> None:
    def ask(step: int, *_: object) -> None:
        if step >= 40 and not asked:
            asked.append(store.request_change(1, "prompt", store.save_prompt("custom", "- Is it?\n- Or not?").prompt_id))

    asked: list[int] = []
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    train(small(scorer="embedded", her="words:15", scorer_frames=1, clip_length=100, total_steps=120), store=store, progress=ask)
    [change] = store.live_changes(1)
    assert change.status == "rejected" and "her: got 'words:15', which adds 15 to the prompt's 2 questions" in change.error


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (
            {"env": "CartPole-v1"},
            "her: got 'words:4', but the agent sees no mission in CartPole-v1, so that it cannot be given another",
        ),
        ({"env": "DoorKey-5x5"}, "her: got 'words:4', but the agent sees no mission in DoorKey-5x5"),
        ({"env": "FrozenLake-v1", "transcript": "ansi"}, "her: got 'words:4', but the agent sees no mission in FrozenLake-v1"),
        (
            {"env": "MiniGrid-GoToDoor-5x5-v0"},
            "the scorer oracle cannot tell when a mission of MiniGrid-GoToDoor-5x5-v0 is accomplished, such as 'go to the",
        ),
        ({"env": "BabyAI-PutNextS4N1-v0"}, "the scorer oracle cannot tell when a mission of BabyAI-PutNextS4N1-v0 .* 'put the"),
        ({"env": "BabyAI-PutNextS4N1-v0", "scorer": "vote:oracle|random:0.5"}, "the scorer oracle cannot tell"),
        ({"scorer": "embedded", "her": "words:15", "prompt": "milestones"}, "adds 15 to the prompt's 3 questions; .*words:13"),
    ],
)
def test_what_cannot_be_asked_about_is_refused_before_a_row_is_written(
    store: Store, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        create_run(small(**{"scorer": "oracle", **settings}), store=store)
    assert store.runs() == []


@pytest.mark.parametrize(
    "settings", [{"env": "MiniGrid-GoToDoor-5x5-v0", "scorer": "embedded"}, {"env": "MiniGrid-Fetch-5x5-N2-v0"}]
)
def test_other_tasks_with_missions_can_begin(store: Store, settings: dict[str, Any]) -> None:
    assert create_run(small(**{"scorer": "oracle", **settings}), store=store)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"scorer": None},
            "her: got 'words:4', which asks a scorer about other missions, and this run has none; give a scorer: ",
        ),
        ({"scorer": "reward"}, "and reward knows only what the own one paid; choose embedded"),
        ({"scorer": "vote:reward|embedded"}, "and reward knows only what the own one paid"),
        ({"her": "words:16"}, "her: got 'words:16'; allowed: off, or future:K"),
        (
            {"her_question": "Is it done?"},
            "her_question: got 'Is it done?'; allowed: a question on one line with {mission} in it",
        ),
        ({"her_question": "Done?\n{mission}"}, "allowed: a question on one line"),
        ({"her_question": "- {mission}?"}, "allowed: a question on one line"),
        ({"her_question": " "}, "allowed: a question on one line"),
    ],
)
def test_settings_that_do_not_fit_are_refused_with_what_is_allowed(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        small(**settings)


def test_a_set_of_runs_keeps_the_scorer_of_methods_that_read_no_labels_and_tells_their_runs_apart(store: Store) -> None:
    shared = small().model_dump(exclude={"seed", "replay", "scorer", "base"})
    scorers = [{"replay": "uniform", "scorer": scorer} for scorer in ("oracle", "random:0.1")]
    configs = matched_set(shared, scorers, [0])
    assert [config.scorer for config in configs] == ["oracle", "random:0.1"] and configs[0].clip_length == 16
    runs = [store.run(create_run(config, store=store)) for config in configs]
    assert [method_of(run).label for run in runs] == [f"uniform (her words:4 by {each['scorer']})" for each in scorers]
    assert runs[0].name == "BabyAI-GoToLocalS5N2 dqn uniform(her words:4 by oracle) s0"
    [plain] = matched_set({**shared, "her": "off"}, scorers[:1], [0])
    assert plain.scorer is None


def clips_of(env_id: str, steps: int) -> tuple[list[Clip], Any]:
    """A clip of each of so many random steps, and what draws them."""
    env, rng, clips = make_env(small(env=env_id)), np.random.default_rng(2), []
    env.reset(0)
    for number in range(steps):
        step = env.step(int(rng.integers(3)))
        events = tuple((0, event) for event in step.events)
        snapshot = env.snapshot()[None]
        clips.append(Clip(number, 0, 0, np.array([number]), snapshot, np.zeros(1, np.float32), events, "length", 0, env.mission))
        if step.terminated or step.truncated:
            env.reset(number)
    return clips, make_renderer(env.render_spec)


@pytest.mark.parametrize(
    "prompt", [Prompt("custom", 1, "Is it?", 5), Prompt("custom", 1, "any of\n- Is it {goal}?\n- Or not?", 5)]
)
def test_answers_about_other_missions_are_a_score_of_their_own_and_the_clips_own_score_is_as_without(prompt: Prompt) -> None:
    clips, renderer = clips_of("BabyAI-GoToLocalS5N2-v0", 12)
    others = OtherMissions(Prompt("hindsight", 1, ASKED, 9), ("go to the red ball", "go to the blue key", "go to the grey box"))
    scorer = make_scorer("embedded", ScorerOptions(frames=2, threshold=0.3))
    plain, asked = (_score(scorer, renderer, clips, each) for each in (prompt, replace(prompt, others=others)))
    for own, both in zip(plain, asked, strict=True):
        aside = both.others
        assert replace(both, others=None, latency_s=0) == replace(own, latency_s=0)
        assert own.others is None and aside is not None and len(aside.answers) == len(aside.logits) == 3
        assert (aside.prompt_id, aside.threshold, aside.clip_id) == (9, 0.3, own.clip_id)
        assert aside.asked.splitlines() == [f"- {ASKED.replace('{mission}', mission)}" for mission in others.missions]
    oracle = _score(make_scorer("oracle", ScorerOptions()), renderer, clips, replace(prompt, others=others))
    ahead = [renderer.ahead(clip.snapshots[-1]) for clip in clips]
    assert [score.others.answers for score in oracle if score.others] == [  # what the agent faces is read from the snapshot
        tuple(float(mission == f"go to the {thing}") for mission in others.missions) for thing in ahead
    ]


@pytest.mark.slow
def test_with_true_answers_it_learns_to_pick_things_up_sooner_than_without(store: Store) -> None:
    rates = {}
    for her in ("words:15", "off"):
        config = small(
            env="BabyAI-PickupDist-v0",
            her=her,
            scorer=None if her == "off" else "oracle",
            seed=1,
            clip_length=2,
            n_envs=8,
            total_steps=10_000,
            learning_starts=500,
            train_freq=8,
            batch_size=64,
            hidden_size=64,
            buffer_size=10_000,
            eval_interval=10_000,
            log_interval=2_000,
            checkpoint_interval=10_000,
            keep_clips=False,
        )
        rates[her] = store.metrics(train(config, store=store).run_id, "rollout/success_rate")[1][-3:].mean()
    assert rates["words:15"] > rates["off"] + 0.08
