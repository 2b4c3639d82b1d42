"""What the suites have in common."""

from __future__ import annotations

import pytest

from vlmrb.errors import ConfigError
from vlmrb.pretrain.exam import ASKED_PROGRESS, equal_shares
from vlmrb.pretrain.suite import Suite
from vlmrb.pretrain.suites import SUITES, suite_of


@pytest.fixture(params=SUITES)
def suite(request) -> Suite:
    return SUITES[request.param]


def test_a_card_is_filled_in_and_names_the_command_that_made_the_model(suite) -> None:
    card = suite.card.text(clips=1_200, seed=7, parameters=5_000, frames=8, patch=16, words=99, questions=50)
    assert not set("{}") & set(card)
    assert "1,200 clips" in card
    assert "`python -m vlmrb pretrain" + ("" if suite.name == "grids" else f" --suite {suite.name}") + "`, seed 7" in card


def test_an_exam_asks_about_progress_first_and_about_nothing_that_the_catalogue_does_not_know(suite) -> None:
    exam = suite.make_exam()
    assert exam.questions[0] == ASKED_PROGRESS
    assert {asked.matter for asked in exam.questions} <= set(suite.catalogue.matters)


def test_equal_shares_add_up_and_differ_by_at_most_one() -> None:
    for count, parts in ((0, 3), (7, 10), (10, 4), (500, 10)):
        shares = equal_shares(count, parts)
        assert (len(shares), sum(shares)) == (parts, count)
        assert max(shares) - min(shares) <= 1


def test_an_unknown_suite_is_refused_with_the_names_of_the_others() -> None:
    with pytest.raises(ConfigError, match=r"'cars'.*grids, robots"):
        suite_of("cars")
