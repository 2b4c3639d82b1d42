"""The robot suite: repeatable footage, truths that match the frames, and a model that sees what it is shown."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from vlmrb.errors import ConfigError
from vlmrb.pretrain import suites
from vlmrb.pretrain.batches import BatchOrder, Scenes, pack
from vlmrb.pretrain.evaluation import evaluate
from vlmrb.pretrain.learner import Learner
from vlmrb.pretrain.learning import Learner as TrainedAgent
from vlmrb.pretrain.model import ModelShape, build_model, build_tokenizer, save_folder
from vlmrb.pretrain.questions import Matter, Question
from vlmrb.pretrain.recipe import PretrainProgress, Recipe, pretrain
from vlmrb.pretrain.robots.catalogue import CATALOGUE, answer
from vlmrb.pretrain.robots.exam import _ENVS, _LEARNERS, SceneExam
from vlmrb.pretrain.robots.eye import RobotEye
from vlmrb.pretrain.robots.footage import STEPS, STRIDE, VARIED, FilmMaker, Footage, load_footage, make_footage, save_footage
from vlmrb.pretrain.robots.learners import AGENTS, Pupils, Run
from vlmrb.pretrain.robots.pictures import PatchPictures
from vlmrb.pretrain.robots.source import EPISODES as TRAINED_ON
from vlmrb.pretrain.robots.source import RobotSource, prepare
from vlmrb.pretrain.robots.stage import LOOKS, Stage
from vlmrb.pretrain.robots.truth import GRID, HAPPENINGS, truth_of
from vlmrb.scoring.hf import HFScorer
from vlmrb.types import Clip, Event, Prompt, ScoringRequest

SHAPE = ModelShape(
    frames=4, patch=16, vision_width=32, vision_layers=1, vision_heads=2, text_width=32, text_layers=2, text_heads=2
)
EPISODES = 3
PRESS = "Does the robot press a button?"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    shares: list[float] = []
    prepare(folder, 0, 0, shares.append, EPISODES, ())
    assert shares[-1] == 1.0
    return folder


@pytest.fixture(scope="module")
def films(data) -> list[Footage]:
    return [load_footage(data / f"{number:06d}.npz") for number in range(EPISODES)]


@pytest.mark.slow
def test_an_episode_repeats_whatever_was_filmed_before(films, tmp_path) -> None:
    maker = FilmMaker()
    busy = maker.film(0, VARIED)
    again = maker.film(0, 1)
    maker.close()
    assert busy.env == "scene-v0"
    assert (again.frames == films[1].frames).all()
    assert again.events == films[1].events
    save_footage(tmp_path / "busy.npz", busy)
    loaded = load_footage(tmp_path / "busy.npz")
    assert loaded.events == busy.events
    assert (loaded.places == busy.places).all()
    assert load_footage(tmp_path / "busy.npz", frames=False).frames.shape == (0, *busy.frames.shape[1:])


def test_things_are_where_the_picture_shows_them(films) -> None:
    redness = []
    for film in films:
        for row, (frame, places, looks) in enumerate(zip(film.frames, film.places, film.looks, strict=True)):
            for place, look in zip(places, looks, strict=True):
                if LOOKS[look] == "red button" and row % 4 == 0:
                    y, x = (np.clip(place, 0, 0.999) * len(frame)).astype(int)
                    around = frame[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5].astype(int)
                    redness.append((around[..., 0] - around[..., 1:].max(-1)).max() > 60)
    assert len(redness) > 20
    assert np.mean(redness) > 0.8  # the others are behind the arm


def test_a_truth_holds_what_happens_after_the_first_frame(films) -> None:
    checked = 0
    for film in films:
        for at, thing, event in film.events:
            patch = np.floor(film.places[at, thing] * GRID).astype(int)
            if at == 0 or not ((patch >= 0) & (patch < GRID)).all():
                continue
            truth = truth_of(film, np.array([at - 1, at]))
            assert truth.events == tuple(other for when, _, other in film.events if when == at)
            assert truth.happened[patch[0] * GRID + patch[1], HAPPENINGS.index(f"{event.name} {event.object}")]
            assert truth.paths[:, :, 0].sum() <= 2  # one gripper, in two frames
            checked += 1
    assert checked >= 3


@pytest.mark.parametrize(
    ("matter", "expected"),
    [
        (Matter("progress"), True),
        (Matter("lifted", "cube"), True),
        (Matter("lifted", "cube", "red"), True),
        (Matter("lifted", "cube", "blue"), False),
        (Matter("moved", "cube"), True),
        (Matter("moved", "cube", "blue"), False),
        (Matter("opened", "drawer"), False),
        (Matter("shows first", "open drawer"), False),
        (Matter("shows last", "open drawer"), True),
        (Matter("shows last", "locked drawer"), True),
        (Matter("kept", "cube"), True),
        (Matter("kept", "cube", "red"), False),
        (Matter("left open", "drawer"), True),
        (Matter("left open", "window"), False),
        (Matter("stayed"), False),
    ],
)
def test_answers_follow_the_events_and_the_frames(films, matter, expected) -> None:
    truth = replace(
        truth_of(films[0], np.array([0, 1])),
        events=(Event("lifted", "cube", "red"),),
        stayed=False,
        moved=frozenset({"red"}),
        kept=frozenset({"blue"}),
        first=frozenset({"locked closed drawer"}),
        last=frozenset({"locked open drawer"}),
    )
    assert answer(matter, truth) is expected


def test_a_success_that_nothing_in_the_clip_explains_is_not_asked_about(films) -> None:
    truth = replace(truth_of(films[0], np.array([0, 1])), events=(Event("success"),))
    assert answer(Matter("progress"), truth) is None


def test_batches_repeat_and_rare_events_are_common_in_them(data) -> None:
    source, order = RobotSource(data), BatchOrder(0, 3, 12, SHAPE.frames, 4)
    first, second = source.scenes(order), RobotSource(data).scenes(order)
    assert (first.view["codes"] == second.view["codes"]).all()
    assert first.view["codes"].shape[:2] == (12 * GRID * GRID, SHAPE.frames)
    rng = np.random.default_rng(0)
    drawn = [source._draw(rng, SHAPE.frames) for _ in range(400)]
    as_they_come = np.mean([source._kinds(*each) != {"nothing"} for each in drawn])
    orders = [BatchOrder(0, index, 12, SHAPE.frames, 4) for index in range(10)]
    chosen = np.mean([bool(truth.events) for order in orders for truth in source.scenes(order).truths])
    assert 0 < 1.5 * as_they_come < chosen


def test_what_the_model_sees_in_training_is_what_the_back_end_sees_in_pixels(data, films, tmp_path) -> None:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(CATALOGUE.vocabulary())
    yes, no = tokenizer.convert_tokens_to_ids(["yes", "no"])
    pictures = PatchPictures.load(data / "pictures.npy")
    eye = RobotEye(SHAPE.frames, SHAPE.vision_width, pictures)
    learner = Learner(build_model(len(tokenizer), SHAPE), SHAPE, yes, no, eye, CATALOGUE.rates).eval()
    rows = np.array([2, 9, 17, 30])
    truth = truth_of(films[0], rows)
    codes = pictures.codes(films[0].frames[rows]).transpose(1, 0, 2)
    view = {"codes": codes, "before": truth.before, "after": truth.after, "paths": truth.paths, "happened": truth.happened}
    texts = (PRESS, "is the drawer opened by the gripper? answer yes or no.")
    asked = [[Question(text, True, Matter("progress")) for text in texts]]
    batch = pack(Scenes(np.array([[GRID, GRID]]), view, [truth]), asked, CATALOGUE, tokenizer)
    with torch.inference_mode():
        logits = learner.answer_logits(learner.look(batch, torch.device("cpu"))[1], batch, torch.device("cpu"))
    expected = (logits[:, yes] - logits[:, no]).sigmoid().numpy()
    save_folder(tmp_path / "model", learner.finish(), tokenizer, SHAPE, CATALOGUE.plain_questions(), "ogbench")
    scorer = HFScorer(str(tmp_path / "model"), scorer="hf:x", device="cpu")
    clip = Clip(1, 0, 0, np.arange(4), np.zeros((4, 1), np.uint8), np.zeros(4, np.float32), (), "length")
    request = ScoringRequest(clip, films[0].frames[rows], (0, 1, 2, 3))
    given = [scorer.score([request], Prompt("custom", 1, text))[0].probability for text in texts]
    assert given == pytest.approx(expected, abs=2e-3)  # codes are float16


def test_an_eye_takes_over_what_another_one_has_learnt(data) -> None:
    pictures = PatchPictures.load(data / "pictures.npy")
    first, second = (RobotEye(SHAPE.frames, SHAPE.vision_width, pictures) for _ in range(2))
    second.take_over(first.kernel())
    torch.testing.assert_close(second.weights, first.weights, atol=1e-3, rtol=1e-3)


@pytest.fixture
def few_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        suites.SUITES, "robots", replace(suites.SUITES["robots"], prepare=partial(prepare, episodes=EPISODES, agents=()))
    )


def test_training_films_first_and_resumes_after_an_interrupt(few_episodes, tmp_path) -> None:
    recipe = Recipe(clips=16, batch=4, questions=3, suite="robots", shape=SHAPE)

    def interrupt(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(recipe, tmp_path / "model", device="cpu", workers=0, report_data=interrupt)
    filmed = sorted((tmp_path / "model" / "training" / "data").glob("*.npz"))
    assert len(filmed) == 2
    when = filmed[0].stat().st_mtime_ns
    with pytest.raises(ConfigError, match="unfinished training"):
        pretrain(recipe, tmp_path / "model", device="cpu", workers=0)
    seen: list[PretrainProgress] = []

    def look(progress: PretrainProgress) -> None:
        seen.append(progress)
        assert filmed[0].stat().st_mtime_ns == when

    pretrain(recipe, tmp_path / "model", device="cpu", workers=0, resume=True, report=look, report_every=1)
    assert seen[-1].clips == 16
    assert not (tmp_path / "model" / "training").exists()


@pytest.mark.slow
def test_an_evaluation_has_every_figure_for_every_question(few_episodes, tmp_path) -> None:
    pretrain(Recipe(clips=4, batch=4, questions=3, suite="robots", shape=SHAPE), tmp_path / "model", device="cpu", workers=0)
    found = evaluate(tmp_path / "model", suite="robots", clips=5, device="cpu")
    assert {entry.n for entry in found.questions} == {5}
    assert found.visuals == {}


@pytest.mark.slow
def test_the_exam_is_the_same_for_the_same_seed_and_has_clips_as_a_run_would_score_them() -> None:
    exam = SceneExam(4)
    items, again = exam.held_out(20, seed=1), SceneExam(4).held_out(20, seed=1)
    assert [item.clip.events for item in items] == [item.clip.events for item in again]
    assert all((item.clip.snapshots == other.clip.snapshots).all() for item, other in zip(items, again, strict=True))
    assert {item.env for item in items} == {f"scene-singletask-task{number}-v0" for number in range(1, 6)}
    assert "placed_in_drawer" in {event.name for event in items[-1].truth.events}  # the twentieth is picked for it
    assert exam.request(items[0]).frames.shape == (4, 192, 192, 3)


@pytest.mark.parametrize("env_id", ["cube-double-v0", "puzzle-3x3-v0"])
def test_recorded_states_have_the_same_truth_as_the_episode_itself(env_id) -> None:
    stage = Stage(env_id)
    stage.begin(np.random.default_rng(4), {"play": 1.0})
    states = [stage.state()]

    def live():
        for _ in range(STEPS):
            happened = stage.step()
            states.append(stage.state())
            yield happened

    acted = make_footage(stage, live())
    stage.begin(np.random.default_rng(9))  # another layout, with other buttons pressed
    stage.begin_at(np.random.default_rng(4), states[0])
    shown = make_footage(stage, (stage.show(state) for state in states[1:]))
    stage.close()
    assert acted.things == shown.things
    assert acted.events == shown.events
    assert len({event.name for _, _, event in acted.events}) >= (1 if env_id.startswith("puzzle") else 2)
    assert (acted.looks == shown.looks).all()
    assert (acted.held == shown.held).all()
    np.testing.assert_allclose(acted.places, shown.places, atol=0.01)
    np.testing.assert_allclose(acted.gripper, shown.gripper, atol=0.005)
    np.testing.assert_allclose(acted.cubes, shown.cubes, atol=0.005)
    assert np.abs(acted.frames.astype(int) - shown.frames).mean() < 1.0


def test_agents_that_learn_are_filmed_too_and_only_once(tmp_path) -> None:
    few = (Pupils(plays=1, stages=(2,), films=1), Pupils(plays=1, stages=(2, 100), films=2))

    def interrupt(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, 0, 0, interrupt, 1, few)
    filmed = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    assert [path.name for path in filmed] == ["000001.npz"], "of the first agent, after the scripted one's"
    shares: list[float] = []
    prepare(tmp_path, 0, 0, shares.append, 1, few)
    assert shares == pytest.approx([0.75, 1.0])
    assert {path: path.stat().st_mtime_ns for path in filmed} == filmed
    films = [load_footage(tmp_path / f"{number:06d}.npz") for number in range(4)]
    assert {film.env for film in films[1:]} == {"scene-v0"}
    assert np.load(tmp_path / "codes.npy", mmap_mode="r").shape[:2] == (4, len(films[0].frames))
    assert np.abs(films[2].gripper - films[3].gripper).max() > 0.01, "policies at different stages move differently"


def test_a_run_is_filmed_from_the_states_that_it_recorded() -> None:
    run = Run(TrainedAgent("cube-single-singletask-task1-v0", 800, algo="td3", play_steps=800), 2)
    filmed = next(run.film(0))
    assert filmed.env == "cube-single-v0"
    assert len(filmed.frames) == STEPS // STRIDE
    assert np.ptp(filmed.gripper[:20], axis=0).max() > 0.05, "it moves"
    assert (filmed.gripper[-10:] == filmed.gripper[-1]).all(), "an episode of 100 steps is still at its end"


def test_no_agent_that_training_sees_is_one_of_the_exams() -> None:
    tasks = {agent.learner.env for agent in AGENTS if isinstance(agent, Run)}
    assert len(tasks) >= 6
    assert not tasks & {*_ENVS, *(learner.env for learner in _LEARNERS)}
    assert not any(task.startswith("scene") for task in tasks)
    learnt = sum(agent.films for agent in AGENTS)
    assert 0.15 <= learnt / (learnt + TRAINED_ON) <= 1 / 3
