"""Environments whose clips are text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.text_environments import env_id
from vlmrb.clips import ClipRecorder
from vlmrb.config import make_config
from vlmrb.envs import make_env, make_renderer, page_size, try_env
from vlmrb.errors import ConfigError, EnvironmentSetupError, ScorerSetupError, StoreCorruptError
from vlmrb.jobs.launching import check_all
from vlmrb.store import Store
from vlmrb.train import create_run
from vlmrb.transcripts import MAX_BYTES, pack


def config(env: str, transcript: str, **settings: object):
    return make_config(**{"env": env, "transcript": transcript, "replay": "uniform", **settings})


def first_texts(env: str, transcript: str, actions: list, **settings: object) -> list[str]:
    made = make_env(config(env, transcript, **settings))
    made.reset(seed=0)
    texts = []
    for action in actions:
        made.step(action)
        texts += make_renderer(made.render_spec).texts(made.snapshot()[None])
    made.close()
    return texts


def test_frozen_lake_shows_where_the_agent_is() -> None:
    made = make_env(config("FrozenLake-v1", "ansi"))
    made.reset(seed=0)
    assert made.render_spec == {"kind": "text"} and made.observation_spec.shape == (16,)
    seen = set()
    for _ in range(6):
        result = made.step(1)
        [text] = make_renderer(made.render_spec).texts(made.snapshot()[None])
        assert text.count("[") == 1 and "\x1b" not in text and text.splitlines()[0] == "  (Down)"
        cells = "".join(text.splitlines()[1:])
        assert cells.index("[") == int(result.observation.argmax()), "the bracket is before the agent's cell"
        seen.add(cells)
        if result.terminated:
            break
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("env", "transcript", "actions", "texts"),
    [
        (env_id("Screen"), "ansi", [0, 1], [".[1].....", "..[2]...."]),
        (env_id("File"), "ansi", [0], [".[1]....."]),
        (env_id("Empty"), "ansi", [0], [""]),
        (env_id("Screen"), "numbers", [0, 1], ["step 1: state 1, action 5, reward 0", "step 2: state 2, action 6, reward 0"]),
        (env_id("Screen"), "{obs} {action:.1f} {return}", [0], ["1 5.0 0"]),
    ],
)
def test_a_step_as_text(env: str, transcript: str, actions: list[int], texts: list[str]) -> None:
    assert first_texts(env, transcript, actions) == texts


def test_classic_control_has_names_and_others_are_numbered_or_have_their_own() -> None:
    [text] = first_texts("CartPole-v1", "numbers", [1])
    assert text.startswith("step 1: cart position 0.01324, cart velocity ") and text.endswith(", action 1, reward 1")
    for env, name in (("MountainCar-v0", "position"), ("Acrobot-v1", "cos angle 1")):
        assert f"step 1: {name} " in first_texts(env, "numbers", [0])[0]
    push = np.zeros(1, np.float32)
    for env, name in (("Pendulum-v1", "x"), ("MountainCarContinuous-v0", "position")):
        assert f"step 1: {name} " in first_texts(env, "numbers", [push], algo="sac")[0]
    assert first_texts("Blackjack-v1", "numbers", [0])[0].startswith("step 1: obs[0] ")
    [text] = first_texts(env_id("Numbers"), "numbers", [np.array([0.5, -1], np.float32)], algo="sac")
    assert text == "step 1: speed[0] 0.25, speed[1] -1, fuel 7, inner on 1, action 1 -2, reward 0"


def test_an_environment_that_cannot_draw_is_tried_with_numbers_and_one_of_images_with_what_is_none() -> None:
    assert try_env(config(env_id("Numbers"), "numbers", algo="sac")).render_spec == {"kind": "text"}
    for name in ("Picture", "Words"):
        texts = first_texts(env_id(name), "reward {reward}, push {action[1]}", [np.full(2, 0.5, np.float32)], algo="sac")
        assert texts == ["reward 0, push 1"]


def test_the_first_text_of_an_episode_needs_no_action() -> None:
    made = make_env(config("CartPole-v1", "{step} {action} {reward}"))
    made.reset(seed=0)
    assert bytes(made.snapshot()) == b"0 none 0"


@pytest.mark.parametrize(
    ("env", "transcript", "words"),
    [
        ("CartPole-v1", "ansi", r"CartPole-v1 has no text of its own \(its render modes: human, rgb_array\).*use 'numbers' or a"),
        ("CartPole-v1", "{obs[7]}", "outside the observation of CartPole-v1, which has 4 numbers"),
        ("FrozenLake-v1", "{obs[1]:.2f}", r"outside the observation of FrozenLake-v1, which has only \{obs\}"),
        ("FrozenLake-v1", "{action[1]}", "outside the action"),
        ("Humanoid-v5", "numbers", "348 observed numbers and 17 of the action, and 'numbers' writes up to 64; choose some"),
        (env_id("Words"), "numbers", r"observes Text\(.*which is no number"),
        (env_id("Picture"), "numbers", "observations of .*Picture-v0 are images, and 'numbers' has none"),
        (env_id("Picture"), "{obs[0]}", "cannot be written, because the observations of .* are images"),
        ("DoorKey-5x5", "ansi", "DoorKey-5x5 is shown by pictures alone"),
        ("MiniGrid-Empty-5x5-v0", "{step}", "is shown by pictures alone"),
        ("scene-singletask-task1-v0", "numbers", "is shown by pictures alone"),
    ],
)
def test_what_cannot_be_written_is_told_in_words_before_anything_is_stored(
    tmp_path: Path, env: str, transcript: str, words: str
) -> None:
    with Store(str(tmp_path / "store.db")) as store:
        with pytest.raises(ConfigError, match=f"transcript: .*{words}"):
            create_run(config(env, transcript), store=store)
        assert store.runs() == []


def test_an_environment_whose_text_is_none_is_told_in_words() -> None:
    with pytest.raises(EnvironmentSetupError, match=r"render\(\) returned bytes, and transcript 'ansi' needs text"):
        try_env(config(env_id("Bytes"), "ansi"))


def test_the_default_scorer_is_refused_text_before_anything_is_stored(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store.db")) as store:
        for make in (lambda each: create_run(each, store=store), lambda each: check_all([each])):
            with pytest.raises(
                ScorerSetupError, match=r"'embedded' knows pictures of its own world alone, and these clips are text"
            ):
                make(config("FrozenLake-v1", "ansi", replay="vlm"))
        assert store.runs() == []


def test_a_language_model_in_a_folder_is_refused_pictures_before_anything_is_stored(tmp_path: Path) -> None:
    folder = tmp_path / "llama"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    with Store(str(tmp_path / "store.db")) as store:
        with pytest.raises(ScorerSetupError, match=r"language model that reads text alone, and these clips are pictures"):
            create_run(make_config(env="CartPole-v1", scorer=f"hf:{folder}"), store=store)
        assert store.runs() == []
        assert create_run(config("FrozenLake-v1", "ansi", replay="vlm", scorer=f"hf:{folder}"), store=store) == 1


def test_a_text_that_is_too_long_is_cut_with_a_notice() -> None:
    made = make_env(config(env_id("Long"), "ansi"))
    made.reset(seed=0)
    made.step(0)
    assert made.notice == ""
    assert len(made.snapshot()) <= MAX_BYTES
    assert "of which clips keep the first 8,192" in made.notice


def test_texts_of_a_clip_are_filled_up_to_the_longest_and_survive_a_checkpoint() -> None:
    recorder = ClipRecorder(1, 3, run_id=1)

    def add(at: int, text: str) -> list:
        no = np.zeros(1, bool)
        return recorder.add(np.array([at]), [pack(text)], np.zeros(1), [()], no, no)

    assert add(0, "a longer one") == [] and add(1, "é") == []
    again = ClipRecorder(1, 3, run_id=1)
    again.load_state_dict(recorder.state_dict())
    recorder = again
    [clip] = add(2, "the longest of them")
    assert clip.snapshots.shape == (3, len("the longest of them"))
    assert make_renderer({"kind": "text"}).texts(clip.snapshots) == ["a longer one", "é", "the longest of them"]


def test_a_page_is_as_large_as_its_text_up_to_a_limit() -> None:
    texts = [pack(text) for text in ("ab\ncde", "x" * 200, "\n" * 500)]
    snapshots = np.stack([np.pad(text, (0, 500 - len(text))) for text in texts])
    assert page_size(snapshots[:1]) == (3, 2)
    assert page_size(snapshots[1:2]) == (24, 9)
    assert page_size(snapshots[:2]) == (80, 3)
    assert page_size(snapshots[2:]) == (1, 60)
    renderer = make_renderer({"kind": "text", "cell": 12})
    assert renderer.render(snapshots[:1]).shape == (1, 2 * 12 + 12, 3 * 6 + 12, 3)
    frames = renderer.render(snapshots)
    assert frames.dtype == np.uint8 and len({frame.tobytes() for frame in frames}) == 3


def test_a_line_of_numbers_becomes_a_page_that_is_the_same_for_a_part_of_the_clip() -> None:
    texts = [pack(f"step {10**at}: position -0.5, velocity {0.5 * 10**at:g}, reward -1") for at in range(6)]
    snapshots = np.stack([np.pad(text, (0, 80 - len(text))) for text in texts])
    columns, lines = page_size(snapshots)
    assert columns <= 20 and lines >= 3
    renderer = make_renderer({"kind": "text", "columns": columns, "lines": lines})
    apart = [renderer.render(snapshots[at : at + 1])[0] for at in range(6)]
    np.testing.assert_array_equal(apart, renderer.render(snapshots))


@pytest.mark.parametrize("shape", [(2, 4, 4, 3), (2, MAX_BYTES + 1)])
def test_data_that_is_no_text_is_refused(shape: tuple[int, ...]) -> None:
    renderer = make_renderer({"kind": "text"})
    for read in (renderer.texts, renderer.render):
        with pytest.raises(StoreCorruptError, match="is not the text of a clip's steps"):
            read(np.zeros(shape, np.uint8))
    with pytest.raises(EnvironmentSetupError, match=r"out of range; allowed: up to 80×60"):
        make_renderer({"kind": "text", "columns": 10**9})
