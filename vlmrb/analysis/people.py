"""How well people agree who labelled the same clips, with Cohen's κ, and that in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from vlmrb.analysis.agreement import Flips, flips
from vlmrb.types import HumanLabel

FEW = 20
"""With fewer clips in common, κ is only a hint."""

_STRENGTHS = ((0.0, "no better than chance"), (0.2, "slight"), (0.4, "fair"), (0.6, "moderate"), (0.8, "substantial"))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two people who labelled some of the same clips.

    Attributes:
        people: their names, in order of the alphabet; '' is whoever gave none.
        labels: from the labels of the first to those of the second.
    """

    people: tuple[str, str]
    labels: Flips

    @property
    def agreed(self) -> float:
        """Share of the clips that they labelled alike."""
        return 1 - self.labels.flipped / self.labels.n


def pairs(labels: Iterable[HumanLabel]) -> list[Pair]:
    """All pairs of people with clips in common, those with most of them first.

    Args:
        labels: each person's newest label of each clip; unknown ones are ignored.
    """
    by_person: dict[str, dict[int, bool]] = {}
    for each in labels:
        if each.label is not None:
            by_person.setdefault(each.annotator, {})[each.clip_id] = each.label
    found = []
    for one, other in combinations(sorted(by_person), 2):
        if common := sorted(by_person[one].keys() & by_person[other].keys()):
            found.append(Pair((one, other), flips([by_person[one][i] for i in common], [by_person[other][i] for i in common])))
    return sorted(found, key=lambda pair: -pair.labels.n)


def in_words(pair: Pair) -> str:
    """'Ada and Bo labelled 24 of the same clips and agreed on 22 (92 %): Cohen's κ is 0.81, almost perfect.'"""
    one, other = (name or "somebody unnamed" for name in pair.people)
    n, kappa = pair.labels.n, pair.labels.kappa
    said = (
        f"{one} and {other} labelled {n} of the same clips and agreed on {n - pair.labels.flipped} ({100 * pair.agreed:.0f} %): "
    )
    if kappa is None:
        return said + f"Cohen's κ is undefined, as both said {'yes' if pair.labels.stayed_yes else 'no'} every time."
    strength = next((words for most, words in _STRENGTHS if kappa <= most), "almost perfect")
    few = f"; with fewer than {FEW} clips that is only a hint" if n < FEW else ""
    return said + f"Cohen's κ is {kappa:.2f}, {strength}{few}."


def report(labels: Iterable[HumanLabel]) -> list[str]:
    """One sentence per pair of people, or what is missing for there to be one."""
    labels = list(labels)
    people = sorted({each.annotator for each in labels})
    if not people:
        return []
    if found := [in_words(pair) for pair in pairs(labels)]:
        return found
    if len(people) == 1:
        return [f"Only {people[0] or 'somebody unnamed'} has labelled clips here; agreement needs a second person."]
    return [f"{len(people)} people have labelled clips here, but none of the same ones."]
