"""What replay drew, in words and beside chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.store.samples import draws
from vlmrb.analysis.drawn import by_chance, most_by_chance, percent, words_of
from vlmrb.types import Kinds

RECORD = draws(12_000, [7], by_labels=480)  # 1,000 draws of 60 clips in 8 batches; 400 items held, in 90 clips


def test_the_sentence_says_who_chose_and_how_it_differs_from_chance() -> None:
    assert words_of(RECORD, "PER") == (
        "8 batches before step 12,000 drew 1,000 items of 60 clips. Labels chose 48 % of them, the base (PER) 52 %. "
        "60 % are of clips labelled yes; by chance it would be 50 %. 30 % are of clips with progress; by chance it would be "
        "10 %. 10 % are of clips that are not stored, or were still open."
    )


def test_a_method_without_labels_chose_all_and_what_nobody_knows_is_not_said() -> None:
    bare = replace(RECORD, by_labels=None, batches=1, of_drawn=Kinds(1_000, 0, 0, 0), of_held=Kinds(400, 0, 0, 0))
    assert words_of(bare, "PER") == "1 batch before step 12,000 drew 1,000 items of 60 clips. All were chosen by PER."
    never = replace(bare, of_held=Kinds(400, 400, 4, 0))
    assert "0 % are of clips labelled yes; by chance it would be 1 %." in words_of(never, "PER")


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0, "0 %"),
        (1e-4, "under 0.1 %"),
        (0.004, "0.4 %"),
        (0.123, "12 %"),
        (0.996, "99.6 %"),
        (0.9999, "over 99.9 %"),
        (1, "100 %"),
    ],
)
def test_a_share_is_rounded_but_never_to_all_or_nothing_that_it_is_not(share: float, words: str) -> None:
    assert percent(share) == words


def test_chance_draws_a_clip_by_its_share_of_the_buffer() -> None:
    assert by_chance(RECORD, RECORD.sample[0]) == pytest.approx(1_000 * 4 / 400)


@pytest.mark.parametrize(("drawn", "clips"), [(200, 90), (1_000, 90), (20_000, 5_000), (65_000, 20_000), (200_000, 200)])
def test_the_most_that_chance_draws_one_clip_is_what_uniform_replay_shows(drawn: int, clips: int) -> None:
    rng = np.random.default_rng(0)
    largest = [np.bincount(rng.integers(clips, size=drawn), minlength=clips).max() for _ in range(30)]
    expected = most_by_chance(replace(RECORD, drawn=drawn, held=4 * clips, held_clips=clips, of_held=Kinds(4 * clips, 0, 0, 0)))
    assert expected == pytest.approx(np.median(largest), rel=0.05, abs=1)
    assert most_by_chance(replace(RECORD, held_clips=0)) is None
