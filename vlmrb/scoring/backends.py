"""Selects a back end from a string."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from vlmrb.config import DEFAULT_FRAMES, TrainConfig
from vlmrb.errors import ScorerSetupError, shown
from vlmrb.panels import Member, parse_panel, with_members
from vlmrb.scoring.control_scorers import (
    ControlScorer,
    at_random,
    done_at_random,
    holds_progress,
    holds_reward,
    keeps_progress,
    truly_done,
)
from vlmrb.scoring.embedded import ROBOTS, embedded_folder, fit_to_pictures
from vlmrb.scoring.panel import PanelScorer
from vlmrb.scoring.prompts import find_preset, known_presets
from vlmrb.scoring.transcripts import ALL_STEPS
from vlmrb.types import ClipScorer

KINDS = (
    "embedded, hf:<hub id or folder>, openai:<base-url>#<model>, shared:<base-url>, the control scorers oracle, reward, "
    "random:<positive rate>, or several of these as vote:A|B|C or cascade:SMALL|LARGE@0.2"
)


@dataclass(frozen=True, slots=True)
class ScorerOptions:
    """Settings of a back end.

    Attributes:
        frames: frames per clip shown to a model; None for the model's own number.
        threshold: the label is yes if P(yes) ≥ threshold.
        device: torch device of a local model, or 'auto'.
        dtype: dtype of a local model's weights, or 'auto'.
        seed: seed of the control scorer 'random'.
        net_progress: for the control scorer 'oracle', what is undone within a clip does not count.
        text: whether the clips are text (a run's setting `transcript`).
    """

    frames: int | None = None
    threshold: float = 0.5
    device: str = "auto"
    dtype: str = "auto"
    seed: int = 0
    net_progress: bool = False
    text: bool = False

    @classmethod
    def of(cls, config: TrainConfig) -> ScorerOptions:
        """The options in a run's configuration."""
        return cls(
            config.scorer_frames,
            config.threshold,
            config.scorer_device,
            config.scorer_dtype,
            config.seed,
            config.net_progress,
            config.transcript is not None,
        )


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose clips a back end is for, which a server may want to know.

    Attributes:
        run: number of the run; None if it is none.
        name: of that run.
        pictures: their kind, as in the run's `render_spec`; '' if nobody knows.
    """

    run: int | None = None
    name: str = ""
    pictures: str = ""


def check_scorer(scorer: str) -> None:
    """Check that a scorer string names a back end, without loading anything.

    Raises:
        ScorerSetupError: it does not; the message says what is allowed.
    """
    if panel := parse_panel(scorer):
        for member in panel.members:
            if member.prompt and find_preset(member.prompt) is None:
                raise ScorerSetupError(
                    f"scorer: got {shown(scorer, 200)}; there is no preset {shown(member.prompt)}; choose from {known_presets()}"
                )
            check_scorer(member.scorer)
        return
    kind, _, rest = scorer.partition(":")
    if kind == "embedded" and rest in ("", ROBOTS):
        if embedded_folder(rest) is None:
            raise ScorerSetupError(
                f"scorer: the model of {scorer!r} is not installed; reinstall VLM-RB, train it with `python -m vlmrb pretrain` "
                "and give its folder, or choose another scorer: " + KINDS.removeprefix("embedded, ")
            )
        return
    if kind not in ("hf", "openai", "shared", "oracle", "reward", "random"):
        raise ScorerSetupError(f"scorer: {scorer!r} is unknown; use {KINDS}")
    if kind in ("oracle", "reward") and rest:
        raise ScorerSetupError(f"scorer: {scorer!r} takes nothing after {kind!r}")
    if kind == "random":
        _positive_rate(rest)
    if kind == "hf" and not rest:
        raise ScorerSetupError("scorer: hf: needs a hub id or a folder, such as hf:facebook/Perception-LM-1B")
    if kind == "openai" and not (rest.startswith(("http://", "https://")) and all(rest.rpartition("#")[::2])):
        raise ScorerSetupError(
            f"scorer: {scorer!r} must have the form openai:<base-url>#<model>, such as openai:http://127.0.0.1:8000/v1#plm-1b"
        )
    if kind == "shared" and not rest.startswith(("http://", "https://")):
        raise ScorerSetupError(f"scorer: {scorer!r} must have the form shared:<base-url>, such as shared:http://127.0.0.1:7870")


def settle_scorer(scorer: str, render_spec: Mapping[str, Any]) -> str:
    """What a scorer's name means for a run: which embedded model (`fit_to_pictures`), and which versions of presets.

    A panel gets its canonical name. So what the run has stored means the same when there are newer versions.

    Raises:
        ScorerSetupError: it begins like a panel and is none, or two members would be the same.
    """

    def settle(member: Member) -> Member:
        preset = find_preset(member.prompt) if member.prompt else None
        return member if preset is None else replace(member, prompt=f"{preset.name}@{preset.version}")

    return with_members(fit_to_pictures(scorer, render_spec), settle)


def make_scorer(scorer: str, options: ScorerOptions, asker: Asker = Asker()) -> ClipScorer:
    """Create the back end that `scorer` names. Loads its model, or those of its members, if it has any.

    Raises:
        ScorerSetupError: unknown name, missing model or missing optional dependency.
    """
    check_scorer(scorer)
    frames = options.frames or (ALL_STEPS if options.text else None)
    if panel := parse_panel(scorer):
        make = partial(make_scorer, options=options, asker=asker)
        return PanelScorer(scorer, panel, options.threshold, make, frames or DEFAULT_FRAMES)
    kind, _, rest = scorer.partition(":")
    if kind == "oracle":
        return ControlScorer("oracle", keeps_progress if options.net_progress else holds_progress, options.threshold, truly_done)
    if kind == "reward":
        return ControlScorer("reward", holds_reward, options.threshold)
    if kind == "random":
        rate = _positive_rate(rest)
        chance = at_random(rate, options.seed), options.threshold, done_at_random(rate, options.seed)
        return ControlScorer(f"random:{rate:g}", *chance)
    if kind in ("hf", "embedded"):
        from vlmrb.scoring.hf import HFScorer

        return HFScorer(
            str(embedded_folder(rest)) if kind == "embedded" else rest,
            scorer=scorer,
            frames_per_clip=frames,
            threshold=options.threshold,
            device=options.device,
            dtype=options.dtype,
            input="text" if options.text else "auto",
        )
    if kind == "shared":
        from vlmrb.scoring.shared import SharedScorer

        return SharedScorer(
            rest,
            scorer=scorer,
            frames_per_clip=frames,
            threshold=options.threshold,
            text=options.text,
            run=asker.run,
            name=asker.name,
            pictures=asker.pictures,
        )
    from vlmrb.scoring.openai import OpenAIScorer

    base_url, _, model = rest.rpartition("#")
    return OpenAIScorer(base_url, model, scorer=scorer, frames_per_clip=frames or DEFAULT_FRAMES, threshold=options.threshold)


def _positive_rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0.0 <= rate <= 1.0:
        raise ScorerSetupError(f"scorer: random needs a positive rate from 0 to 1, such as random:0.25; got {text!r}")
    return rate
