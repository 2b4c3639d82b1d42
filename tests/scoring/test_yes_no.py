"""Yes/no tokens of several tokenizer types, and P(yes) from logits and from top log-probabilities."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmrb.errors import ScorerSetupError
from vlmrb.scoring.yes_no import (
    MIN_MASS,
    Answer,
    answer_from_logits,
    answer_from_top_logprobs,
    decide,
    find_yes_no_tokens,
    opens_thinking,
    spelled_answer,
    unknown,
)
from vlmrb.types import OtherMissions, Prompt

LOGITS = st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=8)


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("token", "answer"),
    [
        ("Yes", "yes"),
        ("yes", "yes"),
        ("YES", "yes"),
        (" Yes", "yes"),
        ("ĠYes", "yes"),
        ("▁yes", "yes"),
        ("\nYes", "yes"),
        ("ĊĠyes", "yes"),
        ("No", "no"),
        ("no", "no"),
        ("NO", "no"),
        ("▁No", "no"),
        ("Ġno", "no"),
        ("", None),
        (" ", None),
        ("Y", None),
        ("Yesterday", None),
        ("not", None),
        ("None", None),
        ("##no", None),
        ("Yes.", None),
        ("eyes", None),
    ],
)
def test_a_token_spells_an_answer_whatever_its_case_and_leading_space(token: str, answer: str | None) -> None:
    assert spelled_answer(token) == answer


def test_a_byte_level_tokenizer_yields_all_its_variants(tiny) -> None:
    tokenizer = tiny.tokenizer([])
    found = find_yes_no_tokens(tokenizer)
    texts = {tokenizer.decode([token_id]) for token_id in found.yes + found.no}
    assert texts == {space + word for space in ("", " ") for word in ("Yes", "yes", "YES", "No", "no", "NO")}
    assert not set(found.yes) & set(found.no)


def word_tokenizer(words: list[str], decoder: Any = None) -> Any:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(["<unk>", *words])}, unk_token="<unk>"))
    if decoder is not None:
        made.decoder = decoder
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>")


def test_the_sentencepiece_variant_without_a_leading_space_is_found_too() -> None:
    from tokenizers import decoders

    tokenizer = word_tokenizer(["▁Yes", "Yes", "▁No", "maybe", "no"], decoders.Metaspace())
    assert find_yes_no_tokens(tokenizer) == ((1, 2), (3, 5))


def test_wordpiece_continuations_and_ids_without_a_logit_are_left_out() -> None:
    tokenizer = word_tokenizer(["yes", "##yes", "no", "##no", "No"])
    assert find_yes_no_tokens(tokenizer) == ((1,), (3, 5))
    assert find_yes_no_tokens(tokenizer, vocabulary_size=5) == ((1,), (3,))


@pytest.mark.parametrize(("words", "missing"), [(["Yes", "maybe"], "no"), (["No", "Y", "es"], "yes")])
def test_a_tokenizer_without_a_single_token_answer_is_refused(words: list[str], missing: str) -> None:
    with pytest.raises(ScorerSetupError, match=f"no single token for '{missing}'.*use a model whose tokenizer has one"):
        find_yes_no_tokens(word_tokenizer(words))


# -- from logits


@given(LOGITS, LOGITS)
def test_probability_is_the_fraction_of_mass_on_yes(yes: list[float], no: list[float]) -> None:
    answer = answer_from_logits(f32(*yes), f32(*no))
    logits = np.array([*yes, *no], np.float32).astype(np.float64)
    mass = np.exp(logits - logits.max())
    assert answer.probability == pytest.approx(mass[: len(yes)].sum() / mass.sum(), abs=1e-9)
    assert answer.yes_logit >= max(np.float32(value) for value in yes) - 1e-9
    assert answer.error == ""


@given(LOGITS, LOGITS, st.floats(-100, 100))
@settings(max_examples=50)
def test_probability_ignores_a_common_shift_and_mirrors_when_sides_swap(yes: list[float], no: list[float], shift: float) -> None:
    yes_array, no_array = np.array(yes, np.float64), np.array(no, np.float64)
    there = answer_from_logits(yes_array, no_array).probability
    assert answer_from_logits(yes_array + shift, no_array + shift).probability == pytest.approx(there, abs=1e-6)
    assert answer_from_logits(no_array, yes_array).probability == pytest.approx(1 - there, abs=1e-12)


def test_far_apart_logits_do_not_overflow() -> None:
    assert answer_from_logits(f32(3e38), f32(-3e38)).probability == 1.0
    assert answer_from_logits(f32(-3e38), f32(3e38)).probability == 0.0
    assert answer_from_logits(f32(-np.inf, 1.0), f32(1.0, -np.inf)).probability == 0.5


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_a_logit_that_is_not_finite_makes_the_answer_unknown(bad: float, side: int) -> None:
    sides = [f32(1.0, 2.0), f32(0.0, 1.0)]
    sides[side][1] = bad
    answer = answer_from_logits(*sides)
    assert (answer.probability, answer.yes_logit, answer.no_logit) == (None, None, None)
    assert "not finite" in answer.error
    assert answer_from_logits(f32(-np.inf), f32(-np.inf)).probability is None


@pytest.mark.parametrize("total", [math.nan, math.inf, -math.inf])
def test_logits_of_other_tokens_that_are_not_finite_make_the_answer_unknown(total: float) -> None:
    assert "not finite" in answer_from_logits(f32(1.0), f32(2.0), total=total).error


def test_a_chain_of_thought_that_is_most_likely_makes_the_answer_unknown() -> None:
    assert answer_from_logits(f32(1.0), f32(2.0), total=9.0, thinking=0.4).probability is not None
    answer = answer_from_logits(f32(1.0), f32(2.0), total=9.0, thinking=0.6)
    assert (answer.probability, answer.yes_logit) == (None, None)
    assert "thinks before it answers (probability 0.6)" in answer.error


@pytest.mark.parametrize(
    ("token", "opens"),
    [
        ("<think>", True), ("<thinking>", True), ("[THINK]", True), ("◁think▷", True), ("<|START_THINKING|>", True),
        ("<seed:think>", True), ("<reasoning>", True), ("Ġ<think>", True), ("<|channel>", True), ("<|channel|>", True),
        ("</think>", False), ("think", False), ("Reason", False), ("<image>", False), ("<|END_THINKING|>", False), ("", False),
        ("<channel|>", False), ("<|message|>", False), ("channel", False),
    ],
)  # fmt: skip
def test_tokens_that_open_a_chain_of_thought_are_known(token: str, opens: bool) -> None:
    assert opens_thinking(token) == opens


# -- from top log-probabilities


def top(**probabilities: float) -> list[tuple[str, float]]:
    return [(token.replace("_", " "), math.log(probability)) for token, probability in probabilities.items()]


def test_variants_among_the_top_tokens_are_summed() -> None:
    answer = answer_from_top_logprobs(top(Yes=0.4, _yes=0.2, No=0.1, no=0.1, Maybe=0.1), 0.5)
    assert answer.probability == pytest.approx(0.75)
    assert answer.yes_logit == pytest.approx(math.log(0.6))
    assert answer.no_logit == pytest.approx(math.log(0.2))


def test_a_missing_answer_gives_the_bound_nearest_to_it_when_the_label_is_certain() -> None:
    certain_yes = answer_from_top_logprobs(top(Yes=0.9, Well=0.06), 0.5)
    assert certain_yes.probability == pytest.approx(0.9 / 0.94)
    assert certain_yes.no_logit is None
    certain_no = answer_from_top_logprobs(top(No=0.6, Well=0.2), 0.5)
    assert certain_no.probability == pytest.approx(0.2 / 0.8)
    assert certain_no.yes_logit is None


@pytest.mark.parametrize(
    ("entries", "threshold"),
    [
        (top(Yes=0.01, Well=0.9), 0.5),  # the remaining 0.09 is more than yes has
        (top(Yes=0.9, Well=0.06), 0.97),
        (top(No=0.01, Well=0.9), 0.5),
        (top(No=0.6, Well=0.2), 0.2),
    ],
)
def test_a_missing_answer_that_could_decide_makes_it_unknown(entries: list[tuple[str, float]], threshold: float) -> None:
    answer = answer_from_top_logprobs(entries, threshold)
    assert answer.probability is None
    assert "could decide either way" in answer.error


@given(st.floats(0.001, 0.999), st.floats(0, 1), st.floats(0, 1), st.sampled_from(["Yes", "No"]), st.floats(0.01, 0.99))
def test_a_label_from_one_answer_is_right_whatever_the_missing_one_has(
    present: float, other: float, absent: float, word: str, threshold: float
) -> None:
    other *= 1 - present
    answer = answer_from_top_logprobs([(word, math.log(present)), ("x", math.log(other + 1e-300))], threshold)
    absent *= max(0.0, 1 - present - other)  # the other answer's possible true probability
    truth = (present if word == "Yes" else absent) / (present + absent)
    if answer.probability is not None and abs(truth - threshold) > 1e-9:
        assert (answer.probability >= threshold) == (truth >= threshold)


@pytest.mark.parametrize("entries", [[], top(Maybe=0.5, Yesterday=0.5), [("Yes", -9999.0), ("No", -9999.0), ("Hm", 0.0)]])
def test_no_answer_among_the_top_tokens_is_unknown_and_not_zero(entries: list[tuple[str, float]]) -> None:
    answer = answer_from_top_logprobs(entries, 0.5)
    assert (answer.probability, answer.yes_logit, answer.no_logit) == (None, None, None)
    assert "neither yes nor no" in answer.error


@pytest.mark.parametrize("logprob", [1.0, math.inf, math.nan, 1e308])
@pytest.mark.parametrize("token", ["Yes", "No", "Maybe"])
@pytest.mark.parametrize("others", [{}, {"Yes": -0.1}, {"No": -0.1}, {"Yes": -0.7, "No": -0.7}])
def test_log_probabilities_that_are_none_are_unusable(others: dict[str, float], token: str, logprob: float) -> None:
    answer = answer_from_top_logprobs([*others.items(), (token, logprob)], 0.5)
    assert (answer.probability, answer.yes_logit, answer.no_logit) == (None, None, None)
    assert "are not numbers ≤ 0" in answer.error


def test_probabilities_that_add_up_to_more_than_one_are_unusable() -> None:
    assert "add up to 1.8" in answer_from_top_logprobs(top(Yes=0.9, No=0.9), 0.5).error
    assert answer_from_top_logprobs([("Yes", 0.004), ("No", -8.0)], 0.5).probability > 0.99  # rounding


@pytest.mark.parametrize("absent", [-math.inf, -9999.0, -3.4e38])
def test_a_token_without_probability_is_absent(absent: float) -> None:
    assert answer_from_top_logprobs([("Yes", math.log(0.9)), ("No", absent)], 0.5).probability == pytest.approx(0.9)


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999), st.floats(0, 1), st.sampled_from(["<think>", "The", " ", "<|im_end|>"]))
def test_an_answer_counts_only_if_yes_and_no_have_most_of_the_probability(
    yes: float, part: float, rest: float, other: str
) -> None:
    no = (1 - yes) * part
    scale = (1 - rest) / (yes + no)
    entries = [("Yes", math.log(yes * scale + 1e-300)), ("No", math.log(no * scale + 1e-300)), (other, math.log(rest + 1e-300))]
    known = answer_from_top_logprobs(entries, 0.5).probability is not None
    if abs(rest - 0.5) > 1e-3:
        assert known == (rest < MIN_MASS)


def answers(*probabilities: float | None) -> list[Answer]:
    return [unknown("mumbled") if p is None else Answer(p, p, -p) for p in probabilities]


def a_set(rule: str, *weights: float) -> Prompt:
    return Prompt("custom", 1, f"{rule} of\n" + "\n".join(f"- [{weight:g}] Is it?" for weight in weights))


@pytest.mark.parametrize(
    ("rule", "given_answers", "probability", "logit"),
    [
        ("any", (0.2, 0.7, 0.1), 0.7, 0.7),
        ("all", (0.2, 0.7, 0.1), 0.1, 0.1),
        ("mean", (0.2, 0.7, 0.1), (2 * 0.2 + 0.7 + 0.5 * 0.1) / 3.5, None),
        ("any", (0.2, None, 0.1), 0.2, 0.2),
        ("all", (0.2, None, 0.9), 0.2, 0.2),  # a single no decides
        ("all", (0.6, None, 0.9), None, None),  # the missing answer would decide
        ("mean", (0.2, None, 0.1), (2 * 0.2 + 0.5 * 0.1) / 2.5, None),
    ],
)
def test_the_rule_of_a_set_makes_one_answer_of_all(rule: str, given_answers: tuple, probability: float | None, logit) -> None:
    found = decide(answers(*given_answers), a_set(rule, 2, 1, 0.5), 0.5)
    assert found.probability == (None if probability is None else pytest.approx(probability)) and found.yes_logit == logit
    assert found.error == ("" if None not in given_answers else "question 2 has no usable answer: mumbled")


@given(st.lists(st.floats(0, 1) | st.none(), min_size=1, max_size=16), st.sampled_from(["any", "all", "mean"]), st.floats(0, 1))
def test_one_answer_lies_among_those_it_is_made_of(given_answers: list[float | None], rule: str, threshold: float) -> None:
    found = decide(answers(*given_answers), a_set(rule, *[1.0] * len(given_answers)), threshold).probability
    known = [each for each in given_answers if each is not None]
    if not known:
        assert found is None
    elif found is not None:
        assert min(known) - 1e-12 <= found <= max(known) + 1e-12
    else:
        assert rule == "all" and min(known) >= threshold and None in given_answers


@pytest.mark.parametrize("rule", ["any", "all", "mean"])
def test_answers_about_other_missions_have_no_say_in_what_a_prompts_rule_makes_of_its_own(rule: str) -> None:
    own = [Answer(0.2, -1.0, 1.0), Answer(0.6, 1.0, -1.0)]
    prompt = Prompt("custom", 1, f"{rule} of\n- [3] Is it a key?\n- Is it a door?")
    others = OtherMissions(Prompt("hindsight", 1, "Done: {mission}?"), ("eat", "sleep"))
    for about_others in ([Answer(1.0, 1.0, -1.0), Answer(0.0, -1.0, 1.0)], [unknown("no idea")] * 2):
        assert decide(own + about_others, replace(prompt, others=others), 0.5) == decide(own, prompt, 0.5)
    assert replace(prompt, others=others).questions == ("Is it a key?", "Is it a door?", "Done: eat?", "Done: sleep?")
