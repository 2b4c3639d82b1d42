"""A threshold per question, kept with a model as an offset of its logit, so that P(yes) ≥ 0.5 is the best label.

A prompt gets the offset of the trained question that it is recognised as, the other way round if it negates it, and otherwise
none. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from vlmrb.errors import ScorerSetupError, shown
from vlmrb.scoring.embedded import QUESTIONS_FILE, names, negations, read_json

OFFSETS_FILE = "offsets.json"
"""Beside the weights: {"clips": how many the offsets were found on, "offsets": {question: offset}}."""

LARGEST_OFFSET = 10.0
"""In logits; P(yes) is then 0.00005 where it would have been 0.5."""


class Offsets:
    """The offsets of a model's questions, in logits.

    Args:
        by_question: offset of each question that has one.
        others: the other questions that the model was trained on, which have none.
    """

    def __init__(self, by_question: Mapping[str, float], others: Iterable[str] = ()) -> None:
        self._by_question = dict(by_question)
        self._named = {question: names(question) for question in (*by_question, *others)}

    def of(self, question: str) -> float:
        """What to add to the logit of yes for a question of a prompt; 0 if it is not recognised as one that has an offset.

        It is recognised as the question whose words it has, in whatever form and order; if it has those of several, as the one
        that says most, and as none if that does not say what the others do.
        """
        if not self._by_question:
            return 0.0
        asked = names(question)
        found = {each: named for each, named in self._named.items() if named and named <= asked}
        known = max(found, key=lambda each: len(found[each]), default="")
        if not all(named <= found[known] for named in found.values()):
            return 0.0
        offset = self._by_question.get(known, 0.0)
        return -offset if len(negations(question)) % 2 else offset


def load_offsets(folder: Path) -> Offsets:
    """The offsets beside a model's weights; a folder of an earlier version has none.

    Raises:
        ScorerSetupError: the file is damaged, or an offset is out of range.
    """
    path = folder / OFFSETS_FILE
    if not path.exists():
        return Offsets({})
    try:
        by_question = dict(read_json(path)["offsets"].items())
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise ScorerSetupError(
            f'{path} cannot be read ({type(error).__name__}); it must hold {{"clips": N, "offsets": {{question: number}}}}. Make '
            "it anew with `python -m vlmrb pretrain --evaluate FOLDER --record`, or delete it"
        ) from None
    for question, offset in by_question.items():
        if not isinstance(offset, int | float) or isinstance(offset, bool) or not abs(offset) <= LARGEST_OFFSET:  # NaN fails too
            raise ScorerSetupError(
                f"{path}: the offset of {shown(question)} is {shown(offset)}; it must be a number from {-LARGEST_OFFSET:g} to "
                f"{LARGEST_OFFSET:g}. Make the file anew with `python -m vlmrb pretrain --evaluate FOLDER --record`, or delete it"
            )
    try:
        trained = read_json(folder / QUESTIONS_FILE)["questions"]
    except (OSError, ValueError, RuntimeError, KeyError, TypeError):
        trained = []
    return Offsets(by_question, [question for question in trained if isinstance(question, str)])
