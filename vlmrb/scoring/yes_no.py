"""Finds the tokens for 'yes' and 'no', and computes P(yes) from their logits or log-probabilities.

P(yes) = mass of the first answer token on all yes variants / mass on all yes and no variants (paper, section on
scoring). Variants differ only in case or leading space: 'Yes', 'yes', 'YES', ' Yes', …
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from vlmrb.errors import ScorerSetupError

_SPACES = " \t\r\n\u00a0\u0120\u010a\u2581"
"""Leading space as tokenizers spell it: byte-level BPE writes 'Ġ' (space) and 'Ċ' (newline), SentencePiece '▁'."""

_ABSENT_LOGPROB = -9000.0
"""Servers write −9999 for a token of unknown probability; real values are far above this."""


class Answer(NamedTuple):
    """What a model answered: P(yes) with the logits it came from, or the reason why it is unknown."""

    probability: float | None
    yes_logit: float | None
    no_logit: float | None
    error: str = ""


class YesNoTokens(NamedTuple):
    """Ids of the single tokens that spell yes and no, ascending; neither is empty."""

    yes: tuple[int, ...]
    no: tuple[int, ...]


def unknown(reason: str) -> Answer:
    """No usable answer."""
    return Answer(None, None, None, reason)


def decide(answers: Sequence[Answer]) -> Answer:
    """The answer that stands for a set of questions: the largest known one, since one yes is enough (rule 'any').

    Args:
        answers: one per question, at least one.

    Returns:
        that answer, with an error that says which questions have none; unknown only if none has an answer.
    """
    known = [answer for answer in answers if answer.probability is not None]
    failed = [number for number, answer in enumerate(answers, 1) if answer.probability is None]
    if not known:
        return answers[0]
    largest = max(known, key=lambda answer: answer.probability or 0.0)
    if not failed:
        return largest
    which = f"question {failed[0]} has" if len(failed) == 1 else f"questions {', '.join(map(str, failed))} have"
    return largest._replace(error=f"{which} no usable answer: {answers[failed[0] - 1].error}")


def spelled_answer(token: str) -> Literal["yes", "no"] | None:
    """The answer that a token's text spells, ignoring case and surrounding space; None for other tokens."""
    word = token.strip(_SPACES).lower()
    if word == "yes":
        return "yes"
    return "no" if word == "no" else None


def find_yes_no_tokens(tokenizer: Any, vocabulary_size: int | None = None) -> YesNoTokens:
    """Search the vocabulary of a `transformers` tokenizer for every single-token yes and no.

    Encoding each variant instead would miss some: a SentencePiece tokenizer puts a space before what it encodes, so it
    never yields the variant that follows a line break.

    Args:
        tokenizer: the tokenizer.
        vocabulary_size: the model's number of logits; ids beyond it have none and are left out.

    Raises:
        ScorerSetupError: there is no single-token yes or no single-token no.
    """
    found: dict[str, list[int]] = {"yes": [], "no": []}
    special = set(tokenizer.all_special_ids)
    for piece, token_id in tokenizer.get_vocab().items():
        answer = spelled_answer(piece)
        if answer is None or token_id in special or (vocabulary_size is not None and token_id >= vocabulary_size):
            continue
        if spelled_answer(tokenizer.decode([token_id])) == answer:
            found[answer].append(token_id)
    for word, token_ids in found.items():
        if not token_ids:
            raise ScorerSetupError(
                f"the tokenizer ({type(tokenizer).__name__}, {len(tokenizer)} tokens) has no single token for "
                f"'{word}' in any case, with or without a leading space, so P(yes) cannot be read from the first "
                "answer token; use a model whose tokenizer has one"
            )
    return YesNoTokens(tuple(sorted(found["yes"])), tuple(sorted(found["no"])))


def answer_from_logits(yes: np.ndarray, no: np.ndarray) -> Answer:
    """P(yes) from raw logits.

    Args:
        yes: float32 [Y], logits of the yes variants.
        no: float32 [N], logits of the no variants.

    Returns:
        the answer; unknown if a logit is NaN or +∞, or all of them are −∞.
    """
    logits = np.concatenate([yes, no]).astype(np.float64)
    if np.isnan(logits).any() or np.isposinf(logits).any() or np.isneginf(logits).all():
        return unknown("the model's logits for yes and no are not finite; try another dtype (bfloat16 or float32)")
    return _answer(_log_sum_exp(yes), _log_sum_exp(no))


def answer_from_top_logprobs(top: Iterable[tuple[str, float]], threshold: float) -> Answer:
    """P(yes) from the most likely first tokens that a server reports, each with its log-probability.

    If only one of the two answers is among them, the other has at most the remaining mass, 1 − Σ p, so P(yes) is between
    a bound and 1 (or 0). If that whole range is on one side of the threshold, the bound is returned, the value nearest
    the other answer: the label is certain and the probability errs towards doubt. Otherwise the answer is unknown. The
    logit of the missing answer is None.

    Args:
        top: pairs of token text and log-probability (natural logarithm, ≤ 0).
        threshold: the label is yes if P(yes) ≥ threshold.

    Returns:
        the answer, with log-sum-exp of the log-probabilities in place of logits; unknown if the list is empty, has
        neither answer, or has one that does not settle the label.
    """
    entries = [(token, logprob) for token, logprob in top if logprob > _ABSENT_LOGPROB]
    if any(not logprob <= 0.01 for _, logprob in entries):  # slightly above 0 is rounding; NaN fails too
        return unknown("the server's log-probabilities are not numbers ≤ 0")
    sides = {
        answer: np.array([logprob for token, logprob in entries if spelled_answer(token) == answer]) for answer in ("yes", "no")
    }
    has_yes, has_no = bool(sides["yes"].size), bool(sides["no"].size)
    if has_yes and has_no:
        return _answer(_log_sum_exp(sides["yes"]), _log_sum_exp(sides["no"]))
    if not has_yes and not has_no:
        return unknown(f"neither yes nor no is among the {len(entries)} most likely first tokens")
    left_over = max(0.0, 1.0 - sum(math.exp(logprob) for _, logprob in entries))
    present = _log_sum_exp(sides["yes"] if has_yes else sides["no"])
    share = math.exp(present) / (math.exp(present) + left_over)
    bound = share if has_yes else 1.0 - share
    if (bound >= threshold) != has_yes:
        here, absent = ("yes", "no") if has_yes else ("no", "yes")
        return unknown(
            f"'{here}' is among the {len(entries)} most likely first tokens and '{absent}' is not, and the "
            f"remaining probability ({left_over:.2g}) could decide either way"
        )
    return Answer(bound, present if has_yes else None, None if has_yes else present)


def _answer(yes: float, no: float) -> Answer:
    """P(yes) = e^yes / (e^yes + e^no), without overflow."""
    difference = no - yes
    probability = 1.0 / (1.0 + math.exp(difference)) if difference < 700.0 else 0.0
    return Answer(probability, yes, no)


def _log_sum_exp(values: np.ndarray) -> float:
    return float(np.logaddexp.reduce(values.astype(np.float64)))
