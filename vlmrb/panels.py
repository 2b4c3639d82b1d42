"""Panels: scorers made of other scorers. What their names mean, and what their members' answers come to.

    vote:A|B|…              every member answers, and the majority decides
    vote:mean:A|B|…         P(yes) is the mean of the members'
    cascade:SMALL|LARGE     SMALL answers, and LARGE is asked about the clips where SMALL is in doubt
    cascade:SMALL|LARGE@δ   in doubt means: any of SMALL's answers has |P(yes) − threshold| < δ, for δ in (0, 0.5]; 0.2 without @δ

A vote has 2 to 9 members. A member is a scorer that is no panel, such as 'embedded' or 'openai:http://127.0.0.1:8000/v1#m',
and may have settings of its own: `@frames=N` shows it N frames of each clip, `@prompt=NAME` or `@prompt=NAME@VERSION` asks it
a preset in place of the run's prompt. Settings come in any order, δ last. A scorer whose own name contains `|` or `@word=`
cannot be a member.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from vlmrb.errors import ScorerSetupError, shown

PanelRule = Literal["majority", "mean", "cascade"]

CONTROLS = ("oracle", "reward", "random")
"""Kinds of scorers that read neither prompt nor frames."""

MODELS = ("embedded", "hf", "openai", "shared")
"""Kinds of scorers that read both."""

MAX_MEMBERS = 9
DOUBT = 0.2
"""Default of δ."""

MAX_MEMBER_FRAMES = 256

_VOTES = ("majority", "mean")
_FORMS = "vote:A|B|…, vote:mean:A|B|…, or cascade:SMALL|LARGE@0.2"
_PRESET = re.compile(r"[A-Za-z][\w-]*(@\d{1,9})?")
_DOUBT = re.compile(r"(.*)@([-+]?(?:[\d.][^@|=/]*|nan|inf|infinity)?)", re.DOTALL | re.IGNORECASE)
_OPEN_PROMPT = re.compile(r"@prompt=[^@|]*\Z")  # a whole number after it is a version


@dataclass(frozen=True, slots=True)
class Member:
    """A scorer in a panel, or a scorer alone, which has no settings of its own.

    Attributes:
        scorer: the string that selects the back end.
        frames: frames per clip shown to it; None for as many as anybody.
        prompt: the preset that it is asked, 'games' or 'games@1'; '' for the run's prompt.
    """

    scorer: str
    frames: int | None = None
    prompt: str = ""

    def __str__(self) -> str:
        frames = "" if self.frames is None else f"@frames={self.frames}"
        return f"{self.scorer}{frames}" + (f"@prompt={self.prompt}" if self.prompt else "")

    @property
    def is_control(self) -> bool:
        """Whether it reads neither prompt nor frames."""
        return _kind(self.scorer) in CONTROLS


@dataclass(frozen=True, slots=True)
class Panel:
    """Several scorers and the rule by which they answer together; `str` of it is its canonical name.

    Attributes:
        rule: see `combine`.
        members: of a vote, 2 to 9; of a cascade the small and the large one.
        doubt: δ of a cascade.
    """

    rule: PanelRule
    members: tuple[Member, ...]
    doubt: float = DOUBT

    def __str__(self) -> str:
        names = "|".join(map(str, self.members))
        if self.rule == "cascade":
            return f"cascade:{names}@{self.doubt!r}"
        return f"vote:{names}" if self.rule == "majority" else f"vote:{self.rule}:{names}"


def parse_panel(scorer: str) -> Panel | None:
    """The panel that a scorer's name stands for; None if it is a scorer alone.

    Raises:
        ScorerSetupError: it begins like a panel and is none; the message says what is allowed.
    """
    kind, _, body = scorer.partition(":")
    if kind not in ("vote", "cascade"):
        return None

    def refuse(reason: str) -> ScorerSetupError:
        return ScorerSetupError(f"scorer: got {shown(scorer, 200)}; {reason}")

    rule: PanelRule = "cascade"
    doubt = DOUBT
    if kind == "cascade":
        body, doubt = _split_doubt(body, refuse)
    else:
        rule, body = _split_rule(body, refuse)
    names = [name.strip() for name in body.split("|")]
    for number, name in enumerate(names, 1):
        if _kind(name) in ("vote", "cascade") and ":" in name:
            raise refuse(f"a member cannot be a vote or a cascade itself, and {shown(name)} is; name its members instead")
        if not name and len(names) > 1:
            raise refuse(f"member {number} of {len(names)} is empty; write {_FORMS}")
    if kind == "cascade" and len(names) != 2:
        count = 0 if names == [""] else len(names)
        raise refuse(
            f"a cascade has 2 members, a small scorer and a large one, and this has {count}; write cascade:SMALL|LARGE@0.2"
        )
    if not 2 <= len(names) <= MAX_MEMBERS:
        count = 0 if names == [""] else len(names)
        raise refuse(f"a vote has 2 to {MAX_MEMBERS} members, and this has {count}; write vote:A|B|…, or a scorer alone")
    panel = Panel(rule, tuple(_member(name, refuse) for name in names), doubt)
    _check_different(panel, refuse)
    return panel


_Refuse = Callable[[str], ScorerSetupError]


def _split_rule(body: str, refuse: _Refuse) -> tuple[PanelRule, str]:
    """The rule of a vote, and the rest."""
    word, colon, rest = body.partition(":")
    word = word.strip()
    if colon and word in _VOTES:
        return cast(PanelRule, word), rest
    if colon and "|" not in word and "@" not in word and word not in (*MODELS, *CONTROLS, "vote", "cascade"):
        raise refuse(
            f"{shown(word)} is neither a rule (majority, which is the default, or mean) nor a scorer "
            f"({', '.join((*MODELS, *CONTROLS))}); write vote:A|B|… or vote:mean:A|B|…"
        )
    return "majority", body


def _split_doubt(body: str, refuse: _Refuse) -> tuple[str, float]:
    """A cascade without its δ, and that."""
    found = _DOUBT.fullmatch(body)
    if found is None or (found[2].isdecimal() and _OPEN_PROMPT.search(found[1])):
        return body, DOUBT
    try:
        doubt = float(found[2])
    except ValueError:
        doubt = -1.0
    if not 0.0 < doubt <= 0.5:
        raise refuse(
            f"δ, the number after the last @, is {shown(found[2])}; allowed: above 0 and at most 0.5, such as 0.2. If it is part "
            "of the large scorer's name, add a δ after it"
        )
    return found[1], doubt


def parse_member(name: str) -> Member:
    """A member from its name, such as 'embedded@frames=4'.

    Raises:
        ScorerSetupError: it names none.
    """
    return _member(name, lambda reason: ScorerSetupError(f"scorer: got {shown(name, 200)}; {reason}"))


def _member(name: str, refuse: _Refuse) -> Member:
    scorer, *settings = re.split(r"@(?=\w+=)", name)
    member = Member(scorer.strip())
    if not member.scorer:
        raise refuse(f"the member {shown(name)} has settings and no scorer; write it before them, as in embedded@frames=4")
    if "@" in scorer and _kind(scorer) not in ("hf", "openai"):
        raise refuse(
            f"after the @ of {shown(name)} comes no setting; allowed: @frames=N and @prompt=NAME, and δ at the end of a cascade"
        )
    seen: set[str] = set()
    for setting in settings:
        key, _, value = setting.partition("=")
        value = value.strip()
        if key not in ("frames", "prompt"):
            raise refuse(f"the member {shown(name)} has a setting {shown(key)}; allowed: @frames=N and @prompt=NAME")
        if key in seen:
            raise refuse(f"the member {shown(name)} has the setting {key} twice; leave one of them out")
        if member.is_control:
            read = "frames" if key == "frames" else "prompt"
            raise refuse(f"the control scorer {shown(member.scorer)} reads no {read}; leave @{setting} out")
        seen.add(key)
        if key == "frames":
            if not (value.isascii() and value.isdecimal() and len(value) < 9 and 1 <= int(value) <= MAX_MEMBER_FRAMES):
                raise refuse(f"frames of {shown(name)} is {shown(value)}; allowed: a whole number from 1 to {MAX_MEMBER_FRAMES}")
            member = replace(member, frames=int(value))
        else:
            if not _PRESET.fullmatch(value):
                raise refuse(
                    f"prompt of {shown(name)} is {shown(value)}; allowed: a preset's name, or name@version, such as games@1"
                )
            member = replace(member, prompt=value)
    return member


def _check_different(panel: Panel, refuse: _Refuse) -> None:
    for at, member in enumerate(panel.members):
        if member in panel.members[:at]:
            is_small = "is small and large member in one" if panel.rule == "cascade" else "is a member twice"
            raise refuse(
                f"{shown(str(member))} {is_small}, and would only give the same answer again; name another scorer, or let one of "
                "them differ by @frames=N or @prompt=NAME"
            )


def _kind(scorer: str) -> str:
    return scorer.strip().partition(":")[0]


# -- scorers of both kinds, by name


def members_of(scorer: str) -> tuple[Member, ...]:
    """The members of a panel, or the scorer alone. What begins like a panel and is none counts as a scorer alone."""
    panel = _panel_of(scorer)
    return (Member(scorer),) if panel is None else panel.members


@functools.lru_cache(maxsize=1_000)
def _panel_of(scorer: str) -> Panel | None:
    try:
        return parse_panel(scorer)
    except ScorerSetupError:  # such as in a store from somebody else; whoever creates the scorer says what is wrong
        return None


def rule_of(scorer: str) -> PanelRule | None:
    """The rule of a panel; None for a scorer alone."""
    panel = _panel_of(scorer)
    return None if panel is None else panel.rule


def with_members(scorer: str, change: Callable[[Member], Member]) -> str:
    """The scorer with each of its members changed; a scorer alone is its own only member.

    Raises:
        ScorerSetupError: as for `parse_panel`, also if two members are the same afterwards.
    """
    panel = parse_panel(scorer)
    if panel is None:
        return str(change(Member(scorer)))
    changed = str(replace(panel, members=tuple(change(member) for member in panel.members)))
    parse_panel(changed)
    return changed


def is_control(scorer: str | None) -> bool:
    """Whether a scorer is a control, which reads neither prompt nor frames, or a panel of controls alone."""
    return scorer is not None and all(member.is_control for member in members_of(scorer))


def reads_prompt(scorer: str | None) -> bool:
    """Whether the run's prompt makes a difference: not to controls, and not to members with a prompt of their own."""
    return scorer is not None and any(not member.is_control and not member.prompt for member in members_of(scorer))


def short_scorer(scorer: str) -> str:
    """Shorten a scorer to what identifies it: 'hf:/models/plm-1b' → 'hf:plm-1b', and so for each member of a panel."""
    panel = _panel_of(scorer)
    if panel is None:
        return _short(scorer)
    return str(replace(panel, members=tuple(replace(member, scorer=_short(member.scorer)) for member in panel.members)))


def listed_scorer(scorer: str) -> str:
    """A scorer in a list, where a panel has little room: a scorer alone by its whole name, members by their short ones."""
    return scorer if len(members_of(scorer)) == 1 else short_scorer(scorer)


def _short(scorer: str) -> str:
    kind, separator, rest = scorer.partition(":")
    return f"{kind}:{rest.rstrip('/').rsplit('/', 1)[-1]}" if separator and kind in ("hf", "openai") else scorer


# -- the rules


def combine(panel: Panel, answers: Sequence[float | None], threshold: float) -> float | None:
    """P(yes) of a panel, from its members' P(yes) to one question; None if none of them has an answer.

    Members without an answer have no say. Let t be the threshold.

    - majority: a member says yes if its P(yes) ≥ t. P(yes) is the share s of yes among those that answered; in a tie (s = ½) it
      is the mean of their P(yes), so that the mean decides. The label of every score is yes where P(yes) ≥ t, and should be what
      the majority says. So for t other than ½, the share is stretched until half of the votes lies on the threshold: it is 2·s·t
      below half, and t + (2·s − 1)·(1 − t) above.
    - mean: the mean of their P(yes).
    - cascade: P(yes) of the large one if it was asked and answered, else that of the small one.

    Args:
        panel: its rule.
        answers: P(yes) of each member, in order.
        threshold: t in [0, 1]: the label is yes if P(yes) ≥ t.
    """
    known = [answer for answer in answers if answer is not None]
    if not known:
        return None
    if panel.rule == "cascade":
        return known[-1]
    mean = sum(known) / len(known)
    yes = sum(answer >= threshold for answer in known)
    if panel.rule == "mean" or 2 * yes == len(known):
        return min(max(mean, min(known)), max(known))  # rounding must not carry it out of their range
    if threshold == 0.5:
        return yes / len(known)
    lead = 2 * yes / len(known)
    return lead * threshold if lead < 1 else threshold + (lead - 1) * (1 - threshold)


def in_doubt(answers: Sequence[float | None], doubt: float, threshold: float) -> bool:
    """Whether a cascade asks its large member about a clip: any answer of the small one is unknown or near the threshold.

    Near is less than δ from it: |P(yes) − t| < δ. At a threshold of ½ that is |P(yes) − ½| < δ.
    """
    return any(answer is None or abs(answer - threshold) < doubt for answer in answers)
