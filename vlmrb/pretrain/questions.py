"""Yes/no questions about clips, with answers from the simulator: drawn at random, balanced, in many phrasings.

A `Catalogue` holds what can be asked about one kind of world; each suite has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vlmrb.pretrain import phrases
from vlmrb.pretrain.phrases import Family
from vlmrb.scoring import load_presets
from vlmrb.scoring.embedded import split_words

Split = Literal["train", "held_out"]

PRESETS = ("games", "manipulation", "progress")
PROGRESS = "progress"  # the family that the presets ask about
ANY_OBJECT = "object"  # stands for each of a family's objects
RATE = 0.15
"""How often an event is true of clips as they come, about, unless a catalogue says otherwise."""
_PRESET_SHARE = 0.25  # of the batches that ask them, and of the progress questions in such a batch
_OPPOSITE_SHARE = 0.3
_PER_FAMILY = 3  # maximum number of questions of one family per clip


@dataclass(frozen=True, slots=True)
class Matter:
    """What a question is about: a family, and the object it names.

    Attributes:
        family: name of the family.
        object: type of object, 'object' for any of the family's, or '' where the family names none.
        color: of the object, or '' for any.
    """

    family: str
    object: str = ""
    color: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.family, self.color, self.object) if part)


@dataclass(frozen=True, slots=True)
class Question:
    """A question in words and its true answer for one clip."""

    text: str
    answer: bool
    matter: Matter


class Catalogue:
    """Everything that can be asked about one kind of world, and the words for it.

    Args:
        families: of questions; one of them is 'progress'.
        colors: of objects.
        answer: (matter, truth of a clip) the true answer, or None where the frames cannot tell.
        subjects: names for whoever acts.
        actor, world: who acts and where, as introductions say it: 'an agent', 'an agent in a grid world'.
        weights: how often to ask about a family, relative to 1 for those not listed.
        rates: in what share of clips as they come a family's matters are true, about; RATE for those not listed.

    Attributes:
        matters: everything that can be asked about.
        rates: float32 [matters], that share for each.
        families, answer: as given.
    """

    def __init__(
        self,
        families: Sequence[Family],
        colors: Sequence[str],
        answer: Callable[[Matter, Any], bool | None],
        *,
        subjects: Sequence[str],
        actor: str,
        world: str,
        weights: Mapping[str, float],
        rates: Mapping[str, float],
    ) -> None:
        self.families, self.answer = tuple(families), answer
        self._subjects, self._weights = tuple(subjects), dict(weights)
        self._before = tuple(sentence.format(actor=actor, world=world) for sentence in phrases.BEFORE)
        self._family = {family.name: family for family in families}
        self.matters = tuple(matter for family in families for matter in _matters(family, colors))
        self.rates = np.array([rates.get(matter.family, RATE) for matter in self.matters], np.float32)
        self._cores = {
            (family.name, split, opposite): _make_cores(family, split, opposite)
            for family in families
            for split in ("train", "held_out")
            for opposite in (False, True)
        }

    def ask_balanced(
        self, truths: Sequence[Any], per_clip: int, rng: np.random.Generator, *, plain: bool = False
    ) -> list[list[Question]]:
        """Up to `per_clip` training questions for each clip; in every family, yes and no are equally frequent.

        Questions come in pairs of one clip where the matter is true and one where it is not, so that no kind of question favours
        an answer. `plain` ones are one short sentence each.
        """
        answers = {matter: [self.answer(matter, truth) for truth in truths] for matter in self.matters}
        pairs = {matter: given for matter, given in answers.items() if True in given and False in given}
        by_family: dict[str, list[Matter]] = {}
        for matter in pairs:
            by_family.setdefault(matter.family, []).append(matter)
        families = sorted(by_family)
        weights = np.array([self._weights.get(name, 1.0) for name in families])
        asked: list[list[Question]] = [[] for _ in truths]
        presets = preset_texts() if not plain and rng.random() < _PRESET_SHARE else ()  # each is as long as six others
        for _ in range(3 * per_clip * len(truths) // 2):  # some draws yield no pair
            if not families or sum(len(questions) < per_clip for questions in asked) < 2:
                break
            family = families[int(rng.choice(len(families), p=weights / weights.sum()))]
            matter = by_family[family][int(rng.integers(len(by_family[family])))]
            chosen = [_choose_clip(asked, pairs[matter], wanted, matter, per_clip, rng) for wanted in (True, False)]
            if None not in chosen:
                for index, wanted in zip(chosen, (True, False), strict=True):
                    assert index is not None
                    long = not any(question.text in presets for question in asked[index])
                    asked[index].append(self.phrase(matter, wanted, rng, presets=presets if long else (), plain=plain))
        return asked

    def phrase(
        self,
        matter: Matter,
        truth: bool,
        rng: np.random.Generator,
        split: Split = "train",
        *,
        opposite: bool | None = None,
        presets: Sequence[str] = (),
        plain: bool = False,
    ) -> Question:
        """Put a question into words.

        Args:
            matter: what it asks about.
            truth: whether that is true.
            rng: draws the words.
            split: phrasings for training, or those that training never sees.
            opposite: ask for the opposite, which also flips the answer; None to leave it to chance.
            presets: texts about progress, to use verbatim now and then.
            plain: add nothing before or after the question itself.
        """
        if opposite is None:
            opposite = bool(rng.random() < _OPPOSITE_SHARE)
        if presets and matter.family == PROGRESS and not opposite and rng.random() < _PRESET_SHARE:
            return Question(_pick(presets, rng), truth, matter)
        cores = self.cores(matter.family, split, opposite)
        core = cores[int(rng.integers(len(cores)))]
        text = core.format(
            s=_pick(self._subjects, rng), c=_pick(phrases.CLIPS, rng), f=_pick(phrases.FRAMES, rng), **self._thing(matter, rng)
        )
        words = (text,) if plain else (_pick(self._before, rng), text, _pick(phrases.AFTER, rng))
        return Question(" ".join(word for word in words if word), truth != opposite, matter)

    def plain_questions(self) -> tuple[str, ...]:
        """The simplest phrasing of everything that can be asked, to show users what the model understands."""
        return tuple(dict.fromkeys(text for matter in self.matters for text in self.plain_wordings(matter)[:1]))

    def plain_wordings(self, matter: Matter) -> tuple[str, ...]:
        """A matter in one short sentence for each verb and thing, the simplest first; nothing for a family that has none."""
        family = self._family[matter.family]
        if not (family.verbs or matter.family == PROGRESS or family.objects):
            return ()
        cores = [phrases.FORMS[0].replace("{base}", verb.base) for verb in family.verbs] or family.questions[:1]
        thing = " ".join(part for part in (matter.color, matter.object) if part)
        things = [_with_article(thing)] if thing else dict.fromkeys(family.things or ("",))
        texts = [core.format(s=self._subjects[0], c="this clip", f="these frames", t=t) for core in cores for t in things]
        return tuple(text[0].upper() + text[1:] for text in texts)

    def vocabulary(self) -> tuple[str, ...]:
        """Every word and punctuation mark of the training phrasings and the presets, sorted."""
        words = {"yes", "no"}
        for text in self._all_texts():
            words |= set(split_words(text))
        return tuple(sorted(words))

    def cores(self, name: str, split: Split, opposite: bool) -> tuple[str, ...]:
        """Sentences of a family with places for the subject, the clip and the thing only."""
        return self._cores[name, split, opposite]

    def _all_texts(self) -> Iterator[str]:
        for context in (self._before, phrases.AFTER, self._subjects, phrases.CLIPS, phrases.FRAMES):
            yield from context
        for matter in self.matters:
            family = self._family[matter.family]
            things = _things(matter, family) if family.objects else [{"t": thing, "n": ""} for thing in family.things or ("",)]
            for opposite in (False, True):
                for core in self.cores(matter.family, "train", opposite):
                    for thing in things:
                        yield core.format(s="", c="", f="", **thing)
        yield from preset_texts()

    def _thing(self, matter: Matter, rng: np.random.Generator) -> dict[str, str]:
        family = self._family[matter.family]
        if matter.object:
            things = _things(matter, family)
            return things[int(rng.integers(len(things)))]
        return {"t": _pick(family.things, rng) if family.things else "", "n": ""}


def preset_texts() -> tuple[str, ...]:
    """The newest version of each shipped prompt, in the order of PRESETS."""
    presets = load_presets()
    return tuple(presets[name][-1].text for name in PRESETS)


def _matters(family: Family, colors: Sequence[str]) -> Iterator[Matter]:
    kinds = family.objects + ((ANY_OBJECT,) if family.any_object else ())
    for kind in kinds or ("",):
        for color in ("", *colors) if kind and family.colored else ("",):
            yield Matter(family.name, kind, color)


def _choose_clip(
    asked: list[list[Question]], given: list[bool | None], wanted: bool, matter: Matter, limit: int, rng: np.random.Generator
) -> int | None:
    """A clip with this answer that can take another question of this family; None if there is none."""
    able = [
        index
        for index, is_yes in enumerate(given)
        if is_yes is wanted
        and len(asked[index]) < limit
        and sum(question.matter.family == matter.family for question in asked[index]) < _PER_FAMILY
    ]
    return able[int(rng.integers(len(able)))] if able else None


def _make_cores(family: Family, split: str, opposite: bool) -> tuple[str, ...]:
    active, passive, whole = {
        ("train", False): (phrases.FORMS, phrases.PASSIVE_FORMS, family.questions),
        ("train", True): (phrases.NEGATED_FORMS, (), family.opposites),
        ("held_out", False): (phrases.HELD_OUT_FORMS, phrases.HELD_OUT_PASSIVE_FORMS, family.held_out),
        ("held_out", True): (phrases.HELD_OUT_NEGATED_FORMS, (), family.held_out_opposites or family.opposites),
    }[split, opposite]
    made = list(whole)
    for verb in family.verbs:
        for form in active + (passive if verb.participle else ()):
            for part in verb._fields:
                form = form.replace("{" + part + "}", getattr(verb, part))
            made.append(form)
    return tuple(made)


def _things(matter: Matter, family: Family) -> list[dict[str, str]]:
    """The ways to name the object, with an article ('t') and without ('n')."""
    *adjectives, noun = matter.object.split()
    kinds = [f"{adjective} " for adjective in adjectives] or [""]
    kinds += [f"{adjective} " for adjective in family.adjectives]
    names = [" ".join(f"{kind}{matter.color} {noun}".split()) for kind in kinds]
    if family.is_view:
        return [{"t": _with_article(name), "n": name} for name in names]
    return [{"t": article, "n": name} for name in names for article in (_with_article(name), f"the {name}")]


def _with_article(name: str) -> str:
    return ("an " if name[0] in "aeiou" else "a ") + name


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
