"""Finds the tokens for 'yes' and 'no', and computes P(yes) from their logits or log-probabilities.

P(yes) = mass of the first answer token on all yes variants / mass on all yes and no variants (paper, section on
scoring). Variants differ only in case or leading space: 'Yes', 'yes', 'YES', ' Yes', …

An answer is unknown rather than guessed if its numbers are none, or if the model was about to say something else: a server's
answer counts only if yes and no together have MIN_MASS of the probability, a local model's only if it does not begin to think.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from vlmrb.errors import ScorerSetupError
from vlmrb.types import ClipScore, Prompt, ScoringRequest

_SPACES = " \t\r\n\u00a0\u0120\u010a\u2581"
"""Leading space as tokenizers spell it: byte-level BPE writes 'Ġ' (space) and 'Ċ' (newline), SentencePiece '▁'."""

_ABSENT_LOGPROB = -9000.0
"""Servers write −9999, the lowest float or −∞ for a token without probability; real values are far above this."""

MIN_MASS = 0.5
"""Least probability that yes and no must have together as a server's first token. Below it, the model most likely says something
else ('<think>', 'The', …), and what it would have answered cannot be read from the remainder."""

_ROUNDING = 0.01
"""How far above 0 a log-probability, and (five times) above 1 the sum of probabilities, can be by rounding."""

_THINKING = re.compile(r"[^\w/]+(seed:)?(start_)?(think|thinking|thought|reason|reasoning)[^\w/]+|<\|channel\|?>", re.IGNORECASE)
"""What opens a chain of thought: '<think>', '[THINK]', '◁think▷', '<|START_THINKING|>', …, and the '<|channel>' in front of
Gemma 4's 'thought'; not a bare word, not '</think>' or '<channel|>'."""


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


def decide(answers: Sequence[Answer], prompt: Prompt, threshold: float) -> Answer:
    """The answer that stands for a set of questions, by the set's rule.

    With 'any' it is the largest known one, since one yes is enough; with 'all' the smallest, which a single no decides; with
    'mean' the mean of the known ones by weight, which has no logits.

    Args:
        answers: one per question, at least one, and then those about other missions, which are left out.
        prompt: its rule and weights; a question of weight 0 is left out. Ignored if there is one answer.
        threshold: the label is yes if P(yes) ≥ threshold.

    Returns:
        that answer, with an error that says which questions have none; unknown if none has an answer, or if with 'all' those
        without one would decide.
    """
    if prompt.others is not None:
        answers = answers[: -len(prompt.others.missions)]
    weights = prompt.weights if len(prompt.weights) == len(answers) else (1.0,) * len(answers)
    asked = [(number, *pair) for number, pair in enumerate(zip(answers, weights, strict=True), 1) if pair[1] > 0.0]
    known = [(answer.probability, weight, answer) for _, answer, weight in asked if answer.probability is not None]
    failed = [number for number, answer, _ in asked if answer.probability is None]
    if not known:
        return asked[0][1] if asked else answers[0]
    if prompt.rule == "mean":
        whole = sum(weight for _, weight, _ in known)
        found = Answer(sum(probability * weight for probability, weight, _ in known) / whole, None, None)
    else:
        found = (min if prompt.rule == "all" else max)(known, key=lambda each: each[0])[2]
    if not failed:
        return found
    which = f"question {failed[0]} has" if len(failed) == 1 else f"questions {', '.join(map(str, failed))} have"
    error = f"{which} no usable answer: {answers[failed[0] - 1].error}"
    if prompt.rule == "all" and found.probability is not None and found.probability >= threshold:
        return unknown(error)
    return found._replace(error=error)


def score_of(
    request: ScoringRequest,
    answers: Sequence[Answer],
    prompt: Prompt,
    *,
    threshold: float,
    scorer: str,
    model: str,
    revision: str,
) -> ClipScore:
    """A clip's score from a model's answers to the prompt's questions; the strings are those of `ClipScore`."""
    answer = decide(answers, prompt, threshold)
    return ClipScore(
        clip_id=request.clip.clip_id,
        probability=answer.probability,
        yes_logit=answer.yes_logit,
        no_logit=answer.no_logit,
        threshold=threshold,
        scorer=scorer,
        model=model,
        revision=revision,
        prompt_id=prompt.prompt_id,
        frame_indices=request.frame_indices,
        error=answer.error,
        answers=tuple(each.probability for each in answers),
        logits=logits_of(answers),
    )


def logits_of(answers: Sequence[Answer]) -> tuple[tuple[float | None, float | None], ...]:
    """The logits of several answers; of a single one, they are those of the score."""
    return tuple((answer.yes_logit, answer.no_logit) for answer in answers) if len(answers) > 1 else ()


def spelled_answer(token: str) -> Literal["yes", "no"] | None:
    """The answer that a token's text spells, ignoring case and surrounding space; None for other tokens."""
    word = token.strip(_SPACES).lower()
    if word == "yes":
        return "yes"
    return "no" if word == "no" else None


def opens_thinking(token: str) -> bool:
    """Whether a token's text opens a chain of thought."""
    return _THINKING.fullmatch(token.strip(_SPACES)) is not None


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


def find_thinking_tokens(tokenizer: Any, vocabulary_size: int | None = None) -> tuple[int, ...]:
    """Ids of the tokens that open a chain of thought, ascending; most tokenizers have none."""
    limit = math.inf if vocabulary_size is None else vocabulary_size
    return tuple(sorted(number for piece, number in tokenizer.get_vocab().items() if number < limit and opens_thinking(piece)))


def answer_from_logits(yes: np.ndarray, no: np.ndarray, *, total: float | None = None, thinking: float = 0.0) -> Answer:
    """P(yes) from raw logits.

    Args:
        yes: float32 [Y], logits of the yes variants.
        no: float32 [N], logits of the no variants.
        total: log-sum-exp of the logits of all tokens: NaN or ∞ if one of them is. None if unknown.
        thinking: probability, among all tokens, of those that open a chain of thought.

    Returns:
        the answer; unknown if a logit is NaN or +∞, if all those of yes and no are −∞, or if the model most likely thinks first.
    """
    logits = np.concatenate([yes, no]).astype(np.float64)
    others = np.array([0.0 if total is None else total])
    if not np.isfinite(others).all() or np.isnan(logits).any() or np.isposinf(logits).any() or np.isneginf(logits).all():
        return unknown("the model's logits are not finite; try another dtype (bfloat16 or float32)")
    if thinking > MIN_MASS:
        return unknown(f"the model thinks before it answers (probability {thinking:.2g}); use a model that answers at once")
    return _answer(_log_sum_exp(yes), _log_sum_exp(no))


def answer_from_top_logprobs(top: Iterable[tuple[str, float]], threshold: float) -> Answer:
    """P(yes) from the most likely first tokens that a server reports, each with its log-probability.

    If only one of the two answers is among them, the other has at most the remaining mass, 1 − Σ p, so P(yes) is between
    a bound and 1 (or 0). If that whole range is on one side of the threshold, the bound is returned, the value nearest
    the other answer: the label is certain and the probability errs towards doubt. Otherwise the answer is unknown. The
    logit of the missing answer is None.

    Args:
        top: pairs of token text and log-probability (natural logarithm, ≤ 0; −∞ or about −9999 for none at all).
        threshold: the label is yes if P(yes) ≥ threshold.

    Returns:
        the answer, with log-sum-exp of the log-probabilities in place of logits; unknown if a number is NaN, above 0 or +∞, the
        probabilities add up to more than 1, the list has neither answer or one that does not settle the label, or yes and no
        have less than MIN_MASS.
    """
    entries = list(top)
    if strange := [pair for pair in entries if not pair[1] <= _ROUNDING]:  # NaN fails too
        token, logprob = strange[0]
        return unknown(f"the server's log-probabilities are not numbers ≤ 0: {logprob:g} for {token[:20]!r}")
    entries = [(token, logprob) for token, logprob in entries if logprob > _ABSENT_LOGPROB]
    total = sum(math.exp(logprob) for _, logprob in entries)
    if total > 1.0 + 5 * _ROUNDING:
        return unknown(f"the server's log-probabilities are none: as probabilities, they add up to {total:.3g}")
    leader, highest = max(entries, key=lambda pair: pair[1], default=("", -math.inf))
    if opens_thinking(leader) and math.exp(highest) > MIN_MASS:
        return unknown(
            f"the model thinks before it answers: its first token is {leader[:20]!r} (probability {math.exp(highest):.2g}); "
            "switch thinking off at the server, or use a model that answers at once"
        )
    sides = {
        answer: np.array([logprob for token, logprob in entries if spelled_answer(token) == answer]) for answer in ("yes", "no")
    }
    instead = (
        f"; the most likely is {leader[:20]!r} ({math.exp(highest):.2g}): ask for the single word yes or no, or use another model"
        if entries
        else ""
    )
    has_yes, has_no = bool(sides["yes"].size), bool(sides["no"].size)
    if not has_yes and not has_no:
        return unknown(f"neither yes nor no is among the {len(entries)} most likely first tokens{instead}")
    mass = sum(float(np.exp(side).sum()) for side in sides.values())
    if has_yes and has_no:
        found = _answer(_log_sum_exp(sides["yes"]), _log_sum_exp(sides["no"]))
    else:
        found = _one_sided(sides["yes"] if has_yes else sides["no"], has_yes, max(0.0, 1.0 - total), threshold, len(entries))
    if found.probability is not None and mass < MIN_MASS - 1e-6:
        return unknown(
            f"yes and no together have probability {mass:.2g} as the first token, and less than {MIN_MASS:g} tells nothing"
            f"{instead}"
        )
    return found


def _one_sided(present: np.ndarray, is_yes: bool, left_over: float, threshold: float, tokens: int) -> Answer:
    """The answer if only yes (or only no) is among the most likely tokens."""
    logprob = _log_sum_exp(present)
    share = math.exp(logprob) / (math.exp(logprob) + left_over)
    bound = share if is_yes else 1.0 - share
    if (bound >= threshold) != is_yes:
        here, absent = ("yes", "no") if is_yes else ("no", "yes")
        return unknown(
            f"'{here}' is among the {tokens} most likely first tokens and '{absent}' is not, and the "
            f"remaining probability ({left_over:.2g}) could decide either way"
        )
    return Answer(bound, logprob if is_yes else None, None if is_yes else logprob)


def _answer(yes: float, no: float) -> Answer:
    """P(yes) = e^yes / (e^yes + e^no), without overflow."""
    difference = no - yes
    probability = 1.0 / (1.0 + math.exp(difference)) if difference < 700.0 else 0.0
    return Answer(probability, yes, no)


def _log_sum_exp(values: np.ndarray) -> float:
    return float(np.logaddexp.reduce(values.astype(np.float64)))
