"""From labels to priorities: which clips count, which of them share in another's yes, and in which strata."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from vlmrb.config import make_config
from vlmrb.labels import LabelRule, Labels

E, L = 2, 4


def rule(**options) -> LabelRule:
    return LabelRule(E, L, **options)


def items(place: int, env: int = 0, start: int = 0, length: int = L) -> np.ndarray:
    """Item ids of the clip at this place of an episode that starts at step `start` of its environment."""
    return (start + place * L + np.arange(length)) * E + env


def told(rule: LabelRule, place: int, labels: Labels, episode: int = 7, env: int = 0) -> list[tuple[int, list[float]]]:
    """Places and priorities that an answer changes."""
    given = rule.apply(env, episode, items(place, env), labels)
    return [(int(ids[0]) // E // L, priorities.tolist()) for ids, priorities in given]


def after(rule: LabelRule, answers: list[tuple[int, Labels]]) -> dict[int, list[float]]:
    """Priorities by place, once all of these answers have come."""
    return dict(itertools.chain(*(told(rule, place, labels) for place, labels in answers)))


def test_by_default_any_yes_makes_a_clip_a_yes() -> None:
    assert told(rule(), 0, (True,)) == [(0, [1.0])]
    assert told(rule(), 0, (False,)) == [(0, [0.0])]
    assert told(rule(), 0, (False, None, True)) == [(0, [1.0])]
    assert told(rule(), 0, (False, None)) == [(0, [0.0])]


@pytest.mark.parametrize("options", [{}, {"strata": True}, {"credit": 0.5}, {"first_in_episode": True}])
def test_a_clip_without_any_answer_has_no_priorities(options) -> None:
    assert told(rule(**options), 0, (None,)) == [] and told(rule(**options), 0, (None, None)) == []


def test_strata_keep_labels_apart() -> None:
    assert told(rule(strata=True), 0, (False, True, None)) == [(0, [0.0, 1.0, 0.0])]


def test_only_the_first_yes_of_an_episode_counts_for_each_question() -> None:
    answers = [(0, (False, True)), (1, (True, True)), (2, (True, False)), (3, (False, False))]
    apart = after(rule(strata=True, first_in_episode=True), answers)
    assert apart == {0: [0, 1], 1: [1, 0], 2: [0, 0], 3: [0, 0]}
    assert after(rule(first_in_episode=True), answers) == {0: [1], 1: [1], 2: [0], 3: [0]}


def test_another_episode_and_another_environment_start_anew() -> None:
    first = rule(first_in_episode=True)
    assert told(first, 0, (True,), episode=1, env=0) == [(0, [1.0])]
    assert told(first, 0, (True,), episode=2, env=1) == [(0, [1.0])]
    assert told(first, 1, (True,), episode=1, env=0) == [(1, [0.0])]
    assert told(first, 2, (True,), episode=3, env=0) == [(2, [1.0])]


def test_credit_decays_by_place_down_to_a_hundredth() -> None:
    credited = rule(credit=0.2)
    for place in range(4):
        assert told(credited, place, (False,)) == [(place, [0.0])]
    (own, value), *earlier = told(credited, 4, (True,))
    assert (own, value) == (4, [1.0])
    assert dict(earlier) == {3: [0.2], 2: [pytest.approx(0.04)]}  # 0.008 is cut
    assert told(credited, 5, (False,)) == [(5, [0.0])]


def test_credit_leaves_a_larger_priority_as_it_is_and_stays_in_its_stratum() -> None:
    answers = [(0, (False, False)), (1, (True, False)), (2, (False, False)), (3, (False, True))]
    found = after(rule(strata=True, credit=0.5), answers)
    assert found == {0: [0.5, 0.125], 1: [1.0, 0.25], 2: [0.0, 0.5], 3: [0.0, 1.0]}


def test_a_yes_that_does_not_count_gives_no_credit() -> None:
    answers = [(0, (False,)), (1, (True,)), (2, (False,)), (3, (True,))]
    assert after(rule(first_in_episode=True, credit=0.5), answers) == {0: [0.5], 1: [1.0], 2: [0.0], 3: [0.0]}


def test_a_clip_that_was_never_scored_still_counts_as_a_place() -> None:
    assert after(rule(credit=0.5), [(0, (False,)), (2, (True,))]) == {0: [0.25], 2: [1.0]}


def test_the_last_clip_of_an_episode_may_be_short() -> None:
    credited = rule(credit=0.5)
    credited.apply(1, 3, items(0, env=1), (False,))
    given = credited.apply(1, 3, items(1, env=1, length=1), (True,))
    np.testing.assert_array_equal(given[0][0], [9])
    np.testing.assert_array_equal(given[1][0], [1, 3, 5, 7])
    assert [priorities.tolist() for _, priorities in given] == [[1.0], [0.5]]


@pytest.mark.parametrize(
    "options",
    [
        {"credit": 0.5},
        {"first_in_episode": True},
        {"strata": True, "first_in_episode": True, "credit": 0.3},
    ],
)
def test_the_order_in_which_answers_come_does_not_matter_in_the_end(options) -> None:
    answers = [(0, (True, False)), (1, (None, None)), (2, (True, True)), (3, (False, True))]

    def padded(found: dict[int, list[float]]) -> dict[int, list[float]]:
        return {place: priorities for place, priorities in sorted(found.items()) if any(priorities)}

    results = [padded(after(rule(**options), list(order))) for order in itertools.permutations(answers)]
    assert all(result == results[0] for result in results)


def test_a_rule_restored_from_json_goes_on_as_if_nothing_had_happened() -> None:
    options = {"strata": True, "first_in_episode": True, "credit": 0.5}
    before, after_resume = rule(**options), rule(**options)
    for place, labels in enumerate([(False, None), (True, False)]):
        told(before, place, labels)
        told(before, place, labels, episode=8, env=1)
    after_resume.load_state_dict(json.loads(json.dumps(before.state_dict())))
    for env, episode in ((0, 7), (1, 8)):
        assert told(after_resume, 2, (True, True), episode, env) == told(before, 2, (True, True), episode, env)
    assert after_resume.state_dict() == before.state_dict()


def test_it_remembers_only_what_its_options_need() -> None:
    plain, credited = rule(strata=True), rule(credit=0.5)
    for episode in range(50):
        for each in (plain, credited):
            told(each, 0, (True,), episode=episode)
    assert plain.state_dict() == {} and len(credited.state_dict()["0"]) <= 3


def test_a_run_s_rule_follows_its_settings() -> None:
    config = make_config(strata=True, first_in_episode=True, credit=0.25, n_envs=3, clip_length=5)
    assert LabelRule.of(config) == LabelRule(3, 5, strata=True, first_in_episode=True, credit=0.25)


def windows(overlap: str, stride: int = 2, **options) -> LabelRule:
    return LabelRule(1, stride, overlap=overlap, **options)


def by_item(rule: LabelRule, answers: list[tuple[int, Labels]], stride: int = 2, length: int = 4) -> dict[int, list[float]]:
    """Priorities of the items, once these answers about the clips at these places have come."""
    found: dict[int, list[float]] = {}
    for place, labels in answers:
        for item_ids, priorities in rule.apply(0, 7, place * stride + np.arange(length), labels):
            found |= {int(item): priorities.tolist() for item in item_ids}
    return found


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_step_in_several_clips_has_the_largest_or_the_mean_of_their_priorities(order: tuple[int, ...]) -> None:
    labels = [(False,), (True,), (False,)]  # of items 0 to 3, 2 to 5, 4 to 7
    answers = [(place, labels[place]) for place in order]
    assert by_item(windows("max"), answers) == {0: [0], 1: [0], 2: [1], 3: [1], 4: [1], 5: [1], 6: [0], 7: [0]}
    assert by_item(windows("mean"), answers) == {0: [0], 1: [0], 2: [0.5], 3: [0.5], 4: [0.5], 5: [0.5], 6: [0], 7: [0]}


def test_clips_without_an_answer_do_not_count_among_overlapping_ones() -> None:
    assert by_item(windows("mean"), [(0, (True,)), (1, (None,))]) == {0: [1], 1: [1], 2: [1], 3: [1]}
    apart = by_item(windows("max", strata=True), [(0, (True, False)), (1, (False, True))])
    assert apart == {0: [1, 0], 1: [1, 0], 2: [1, 1], 3: [1, 1], 4: [0, 1], 5: [0, 1]}


@pytest.mark.parametrize("overlap", ["max", "mean"])
def test_overlapping_clips_are_remembered_across_a_checkpoint(overlap: str) -> None:
    whole, first, second = (windows(overlap, first_in_episode=True, credit=0.5) for _ in range(3))
    answers: list[tuple[int, Labels]] = [(0, (False,)), (1, (True,)), (2, (True,)), (3, (False,))]
    expected = by_item(whole, answers)
    found = by_item(first, answers[:2])
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert found | by_item(second, answers[2:]) == expected
