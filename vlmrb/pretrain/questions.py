"""Yes/no questions about scenes, with answers from the simulator: drawn at random, balanced, in many words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vlmrb.events import is_progress
from vlmrb.pretrain import phrases
from vlmrb.pretrain.phrases import FAMILIES, Family
from vlmrb.pretrain.truth import COLORS, Truth
from vlmrb.scoring import load_presets
from vlmrb.scoring.embedded import split_words

Split = Literal["train", "held_out"]

PRESETS = ("games", "manipulation", "progress")
_CARRIED = "object"  # stands for any thing that can be carried
_WEIGHTS = {"progress": 4.0, "picked_up": 2.0, "opened": 2.0, "goal_reached": 1.5, "unlocked": 1.5}
_PRESET_SHARE = 0.25  # of the batches that ask them, and of the questions after progress in these
_OPPOSITE_SHARE = 0.3
_PER_KIND = 3  # questions of one family that one clip is asked at most


@dataclass(frozen=True, slots=True)
class Matter:
    """What a question is about: a family, and the object it names.

    Attributes:
        family: name of the family.
        object: type of object, 'object' for any that can be carried, or '' where the family names none.
        color: or '' for any.
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


def all_matters() -> tuple[Matter, ...]:
    """Everything that can be asked after."""
    matters = []
    for family in FAMILIES:
        kinds = family.objects + ((_CARRIED,) if family.name in ("picked_up", "dropped") else ())
        for kind in kinds or ("",):
            colors = ("", *COLORS) if kind else ("",)
            matters += [Matter(family.name, kind, color) for color in colors]
    return tuple(matters)


def answer(matter: Matter, truth: Truth) -> bool | None:
    """The true answer, or None where the frames cannot tell.

    A box that is opened vanishes like one that is picked up; a mission fulfilled where the mission is not in the picture
    is a success that nobody can see. Neither is asked after.
    """
    if matter.family == "stayed":
        return truth.stayed
    if matter.family in ("shows first", "shows last"):
        return any(_shows(matter, content) for content in (truth.first if matter.family == "shows first" else truth.last))
    events = [event for _, event in truth.events]
    if matter.family == "progress":
        if any(is_progress(event) and event.name != "success" for event in events):
            return True
        return None if any(event.name == "success" for event in events) else False
    if matter.family == "picked_up" and matter.object in ("box", _CARRIED) and ("opened", "box") in _names(truth):
        return None
    objects = phrases.FAMILIES[0].objects if matter.object == _CARRIED else (matter.object,)
    for event in events:
        named = event.name == matter.family and (not matter.object or event.object in objects)
        if named and (not matter.color or event.color == matter.color):
            return True
    return False


def _names(truth: Truth) -> set[tuple[str, str]]:
    return {(event.name, event.object) for _, event in truth.events}


def _shows(matter: Matter, content: str) -> bool:
    wanted, words = [*matter.object.split(), *([matter.color] if matter.color else [])], content.split()
    return words[-1] == matter.object.split()[-1] and set(wanted) <= set(words)


def ask_balanced(
    truths: Sequence[Truth], per_clip: int, rng: np.random.Generator, *, plain: bool = False
) -> list[list[Question]]:
    """Up to `per_clip` training questions for each clip, as many with yes as with no for every kind of question.

    Questions come in pairs, one clip where the answer is yes and one where it is no, so that no kind has a lean. `plain`
    ones are one short sentence each.
    """
    answers = {matter: [answer(matter, truth) for truth in truths] for matter in all_matters()}
    pairs = {matter: given for matter, given in answers.items() if True in given and False in given}
    by_family: dict[str, list[Matter]] = {}
    for matter in pairs:
        by_family.setdefault(matter.family, []).append(matter)
    families = sorted(by_family)
    weights = np.array([_WEIGHTS.get(name, 1.0) for name in families])
    asked: list[list[Question]] = [[] for _ in truths]
    presets = preset_texts() if not plain and rng.random() < _PRESET_SHARE else ()  # one of them is as long as six others
    for _ in range(3 * per_clip * len(truths) // 2):  # some draws find no pair
        if not families or sum(len(questions) < per_clip for questions in asked) < 2:
            break
        family = families[int(rng.choice(len(families), p=weights / weights.sum()))]
        matter = by_family[family][int(rng.integers(len(by_family[family])))]
        chosen = [_choose_clip(asked, pairs[matter], wanted, matter, per_clip, rng) for wanted in (True, False)]
        if None not in chosen:
            for index, wanted in zip(chosen, (True, False), strict=True):
                assert index is not None
                long = not any(question.text in presets for question in asked[index])
                asked[index].append(phrase(matter, wanted, rng, presets=presets if long else (), plain=plain))
    return asked


def _choose_clip(
    asked: list[list[Question]], given: list[bool | None], wanted: bool, matter: Matter, limit: int, rng: np.random.Generator
) -> int | None:
    """A clip with this answer that has not been asked enough yet; None where there is none."""
    able = [
        index
        for index, is_yes in enumerate(given)
        if is_yes is wanted
        and len(asked[index]) < limit
        and sum(question.matter.family == matter.family for question in asked[index]) < _PER_KIND
    ]
    return able[int(rng.integers(len(able)))] if able else None


def phrase(
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
        matter: what it asks after.
        truth: the true answer to it.
        rng: draws the words.
        split: phrasings that are trained on, or those that are not.
        opposite: ask the other way round, so that the answer is the other one; None to leave it to chance.
        presets: texts that ask after progress, to be taken now and then as they are.
        plain: nothing before or after the question itself.
    """
    if opposite is None:
        opposite = bool(rng.random() < _OPPOSITE_SHARE)
    if presets and matter.family == "progress" and not opposite and rng.random() < _PRESET_SHARE:
        return Question(_pick(presets, rng), truth, matter)
    cores = _cores(matter.family, split, opposite)
    core = cores[int(rng.integers(len(cores)))]
    text = core.format(
        s=_pick(phrases.SUBJECTS, rng), c=_pick(phrases.CLIPS, rng), f=_pick(phrases.FRAMES, rng), **_thing(matter, rng)
    )
    words = (text,) if plain else (_pick(phrases.BEFORE, rng), text, _pick(phrases.AFTER, rng))
    return Question(" ".join(word for word in words if word), truth != opposite, matter)


def preset_texts() -> tuple[str, ...]:
    """The shipped prompts, in the order of PRESETS: the newest version of each."""
    presets = load_presets()
    return tuple(presets[name][-1].text for name in PRESETS)


def plain_questions() -> tuple[str, ...]:
    """The simplest phrasing of everything that can be asked, for a hint at what the model understands."""
    found = []
    for matter in all_matters():
        family = _FAMILY[matter.family]
        if not (family.verbs or matter.family == "progress" or family.objects):
            continue
        core = family.questions[0] if not family.verbs else phrases.FORMS[0].replace("{base}", family.verbs[0].base)
        thing = " ".join(part for part in (matter.color, matter.object) if part)
        t = _with_article(thing) if thing else (family.things or ("",))[0]
        text = core.format(s="the agent", c="this clip", f="these frames", t=t)
        found.append(text[0].upper() + text[1:])
    return tuple(dict.fromkeys(found))


def vocabulary() -> tuple[str, ...]:
    """Every word and mark of the training phrasings and the presets, sorted."""
    words = {"yes", "no"}
    for text in _all_texts("train"):
        words |= set(split_words(text))
    return tuple(sorted(words))


def _all_texts(split: Split) -> Iterator[str]:
    yield from phrases.BEFORE
    yield from phrases.AFTER
    for context in (phrases.SUBJECTS, phrases.CLIPS, phrases.FRAMES):
        yield from context
    for matter in all_matters():
        family = _FAMILY[matter.family]
        things = _things(matter) if family.objects else [{"t": thing, "n": ""} for thing in family.things or ("",)]
        for opposite in (False, True):
            for core in _cores(matter.family, split, opposite):
                for thing in things:
                    yield core.format(s="", c="", f="", **thing)
    if split == "train":
        yield from preset_texts()


def _cores(name: str, split: Split, opposite: bool) -> tuple[str, ...]:
    """Sentences of a family in which only the subject, the clip and the thing are open."""
    return _CORES[name, split, opposite]


def _make_cores(family: Family, split: Split, opposite: bool) -> tuple[str, ...]:
    active, passive, whole = {
        ("train", False): (phrases.FORMS, phrases.PASSIVE_FORMS, family.questions),
        ("train", True): (phrases.NEGATED_FORMS, (), family.opposites),
        ("held_out", False): (phrases.HELD_OUT_FORMS, phrases.HELD_OUT_PASSIVE_FORMS, family.held_out),
        ("held_out", True): (phrases.HELD_OUT_NEGATED_FORMS, (), family.opposites),
    }[split, opposite]
    made = list(whole)
    for verb in family.verbs:
        for form in active + (passive if verb.participle else ()):
            for part in verb._fields:
                form = form.replace("{" + part + "}", getattr(verb, part))
            made.append(form)
    return tuple(made)


def _thing(matter: Matter, rng: np.random.Generator) -> dict[str, str]:
    if matter.object:
        things = _things(matter)
        return things[int(rng.integers(len(things)))]
    options = _FAMILY[matter.family].things
    return {"t": _pick(options, rng) if options else "", "n": ""}


def _things(matter: Matter) -> list[dict[str, str]]:
    """The ways to name the object: with an article ('t') and without ('n')."""
    *adjectives, noun = matter.object.split()
    kinds = [f"{adjective} " for adjective in adjectives] or [""]
    if matter.family == "unlocked":
        kinds.append("locked ")
    names = [" ".join(f"{kind}{matter.color} {noun}".split()) for kind in kinds]
    if matter.family in ("shows first", "shows last"):
        return [{"t": _with_article(name), "n": name} for name in names]
    return [{"t": article, "n": name} for name in names for article in (_with_article(name), f"the {name}")]


def _with_article(name: str) -> str:
    return ("an " if name[0] in "aeiou" else "a ") + name


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


_FAMILY = {family.name: family for family in FAMILIES}
_CORES = {
    (family.name, split, opposite): _make_cores(family, split, opposite)
    for family in FAMILIES
    for split in ("train", "held_out")
    for opposite in (False, True)
}
