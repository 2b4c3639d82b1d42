"""Why labels help a run to learn, or cannot: sentences for known causes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.reasons import reasons_of
from vlmrb.analysis.why import Curve, Labels, why
from vlmrb.config import make_config
from vlmrb.store import Store
from vlmrb.train import train
from vlmrb.types import DRAWN_AGES

STEPS = np.arange(1_000, 21_000, 1_000)
GOOD = Labels(0.97, 600)
LEARNT = (5_000, 8_000)


def curves(**values: object) -> dict[str, Curve]:
    names = {"yes": "scoring/yes_rate", "share": "replay/vlm_share", "drawn": "replay/drawn_yes", "held": "replay/held_yes"}
    usual = {"yes": 0.3, "share": 0.5, "drawn": 0.6, "held": 0.2}
    return {names[key]: Curve(STEPS, np.full(20, 1.0) * value) for key, value in (usual | values).items()}


def test_labels_that_steer_replay_are_told_with_how_much() -> None:
    assert why(20_000, curves(), GOOD, LEARNT, "uniform") == [
        "Labels steer replay: what got a yes is drawn 3.0 times as often as its share of the buffer. "
        "The labels agree with the simulator's events: AUC 0.97."
    ]
    blind = Labels(None, 600)  # the simulator reports no events
    assert why(20_000, curves(), blind, LEARNT, "uniform")[0].endswith("its share of the buffer.")


def test_saturated_labels_are_told_with_the_step_from_which_on() -> None:
    rates = np.where(STEPS < 12_000, 0.5, 0.97)
    assert why(20_000, curves(yes=rates, drawn=0.99, held=0.97), GOOD, LEARNT, "per") == [
        "From step 12,000 on, 97 % of clips are yes: replay draws like its base, per (enrichment 1.02)."
    ]
    early = why(20_000, curves(yes=rates, drawn=0.6, held=0.4), GOOD, LEARNT, "per")  # the buffer is full of earlier clips
    assert early[0].endswith("though what got a yes is still drawn 1.5 times as often as its share of the buffer.")
    two = np.where(STEPS < 19_000, 0.5, 1.0)  # two points are no trend
    assert "Labels steer" in why(20_000, curves(yes=two), GOOD, LEARNT, "per")[0]
    unknown = np.where(STEPS == 15_000, np.nan, 0.97)
    assert why(20_000, curves(yes=unknown), GOOD, LEARNT, "per")[0].startswith("From step 16,000 on")


def test_random_labels_a_small_lambda_and_no_discovery_are_told_causes_first() -> None:
    [random] = why(20_000, curves(), Labels(0.52, 600), LEARNT, "uniform")
    assert "AUC against the simulator's events is 0.52 on the newest 600 clips" in random
    [small] = why(20_000, curves(share=0.04), GOOD, LEARNT, "uniform")
    assert small == "Labels decide 4 % of each batch, too little to change much: the rest is drawn by uniform."
    found = why(20_000, curves(share=0.04), Labels(0.52, 600), (), "uniform")
    assert [words.split()[0] for words in found] == ["No", "The", "Labels"]
    assert why(20_000, curves(), GOOD, (7_000,), "uniform")[0].startswith("Fewer than five training episodes")


def test_how_old_the_drawn_items_are_is_told_last() -> None:
    def ages(*shares: float) -> dict[str, Curve]:
        return curves() | {name: Curve(STEPS, np.full(20, share)) for name, share in zip(DRAWN_AGES, shares, strict=True)}

    labels, new = why(20_000, ages(0.45, 0.25, 0.2, 0.1), GOOD, LEARNT, "uniform")
    assert labels.startswith("Labels steer replay") and new == (
        "Replay prefers new items: 45 % of what is drawn is from the newest quarter of the buffer, 10 % from the oldest; "
        "uniform replay would draw 25 % from each."
    )
    assert why(20_000, ages(0.1, 0.2, 0.25, 0.45), GOOD, LEARNT, "uniform")[-1].startswith("Replay prefers old items: 10 %")
    even = why(20_000, ages(0.26, 0.25, 0.25, 0.24), GOOD, LEARNT, "uniform")[-1]
    assert even == "Replay prefers no age: 26 % of what is drawn is from the newest quarter of the buffer, 24 % from the oldest."
    two = {name: Curve(STEPS[:2], np.full(2, 0.25)) for name in DRAWN_AGES}  # two points are no trend
    assert "quarter" not in " ".join(why(20_000, curves() | two, GOOD, LEARNT, "uniform"))


def test_a_run_of_an_earlier_version_is_not_said_to_have_no_labels() -> None:
    [words] = why(20_000, {}, GOOD, LEARNT, "uniform")
    assert words == (
        "How much labels change what is drawn is not known: an earlier version made this run, or nothing was drawn yet. "
        "The labels agree with the simulator's events: AUC 0.97."
    )


def test_a_run_without_labels_yet_says_so() -> None:
    assert why(100, {}, Labels(None, 0), (), "relo") == ["No clip has a label yet, so that replay is that of its base, relo."]


@pytest.mark.parametrize(
    ("settings", "said", "not_said"),
    [
        ({"scorer": "random:1"}, "100 % of clips are yes", "Labels decide"),
        ({"scorer": "random:0.5"}, "The labels say little", "of clips are yes"),
        ({"scorer": "oracle", "lambda_max": 0.02}, "Labels decide 2 % of each batch", "The labels say little"),
        ({"scorer": "oracle"}, "No training episode has succeeded in 1,600 steps", "Labels"),
    ],
)
def test_runs_with_a_known_cause_say_it(settings: dict, said: str, not_said: str, tmp_path: Path) -> None:
    small = {"env": "DoorKey-8x8", "total_steps": 1_600, "learning_starts": 200, "batch_size": 32, "hidden_size": 16}
    quiet = {"eval_interval": 1_600, "eval_episodes": 1, "log_interval": 160, "clip_length": 8, "sync_scoring": True}
    with Store(str(tmp_path / "runs.db")) as store:
        run = train(make_config(**{**small, **quiet, "lambda_warmup": 0.0, **settings}), store=store)
        words = " ".join(reasons_of(store, run.run_id))
        assert said in words and not_said not in words
        plain = train(make_config(**{**small, **quiet, "replay": "per", "total_steps": 400}), store=store)
        assert reasons_of(store, plain.run_id) == []
