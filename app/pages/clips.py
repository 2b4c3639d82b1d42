"""The clips page: browse clips, watch one, judge its label, watch several side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

from app.checks import a_choice, a_count, a_flag, a_number, a_text, an_id, ids
from app.clip_views import ClipCard, ClipView, Verdict, clip_card, clip_cards, events_at, replay_view, score_view
from app.studio import Studio
from app.widgets import widget
from vlmrb.analysis import people
from vlmrb.analysis.comparison import method_of
from vlmrb.errors import NotFoundError, StoreCorruptError
from vlmrb.store import Store
from vlmrb.types import ClipFilter, ClipOrder, ClipSummary, Prompt, RunSummary

PAGE_SIZE = 48
MAX_TOGETHER = 4
MAX_NOTE = 500
MAX_ANNOTATOR = 60
QUEUE_AHEAD = 24
"""Clips of the queue that are sent at a time."""

QUEUE_ORDERS = ("disagreement", "threshold", "spread", "prompts", "newest")
MAX_EVENT = 200
MAX_STEP = 10**12
LABELS = ("yes", "no", "unknown", "unscored")
AGREEMENTS = ("agrees", "disagrees")
HUMANS = ("agreed", "disagreed", "any", "none")


@dataclass(frozen=True, slots=True)
class FoundClips:
    """Page `page` (from 1) of the matching clips, and the total number of matches."""

    total: int
    page: int
    cards: list[ClipCard]


@dataclass(frozen=True, slots=True)
class QueuedClip:
    """A clip to label, with what its label answers."""

    card: ClipCard
    question: str
    mission: str


@dataclass(frozen=True, slots=True)
class Queue:
    """The next clips to label.

    Attributes:
        total: number of matching clips that this person has not labelled.
        labelled: number of clips of these runs that this person has labelled.
        clips: the first of them, in order.
        agreement: how far people agree on clips of these runs, in words.
    """

    total: int
    labelled: int
    clips: list[QueuedClip]
    agreement: list[str]


@dataclass(frozen=True, slots=True)
class RunChoice:
    """A run in the filter's menu."""

    run_id: int
    name: str
    env: str
    method: str
    status: str
    clips: int


@dataclass(frozen=True, slots=True)
class Menus:
    """The filters' options. Events and prompts are those of the chosen runs' clips."""

    runs: list[RunChoice]
    events: list[str]
    prompts: list[Prompt]


def build(studio: Studio) -> None:
    """Add the page's components to the open Blocks."""
    functions = browser_functions(studio.store)
    widget(
        "clip_browser", *functions, page_size=PAGE_SIZE, max_together=MAX_TOGETHER, max_note=MAX_NOTE, max_annotator=MAX_ANNOTATOR
    )


def browser_functions(store: Store) -> list[Callable[[dict[str, Any]], Any]]:
    """The functions that the page's script may call."""

    def menus(request: dict[str, Any]) -> Menus:
        return read_menus(store, tuple(ids(request, "runs")))

    def find(request: dict[str, Any]) -> FoundClips:
        return find_page(store, clip_filter(request), clip_order(request), a_count(request, "page", 10**7, default=1))

    def count(request: dict[str, Any]) -> int:
        return store.count_clips_found(clip_filter(request))

    def look(request: dict[str, Any]) -> ClipView:
        return look_at(store, an_id(request, "clip_id"))

    def together(request: dict[str, Any]) -> list[ClipCard]:
        return cards_of(store, ids(request, "clip_ids")[:MAX_TOGETHER])

    def judge(request: dict[str, Any]) -> ClipView:
        clip_id, agrees = an_id(request, "clip_id"), a_flag(request, "agrees")
        seen = a_choice(request, "label", ("yes", "no"))
        note = a_text(request, "note", MAX_NOTE).strip()
        label = None if seen is None else seen == "yes"
        store.label_clip(clip_id, agrees, note, label=label, annotator=annotator_of(request))
        return look_at(store, clip_id)

    def queue(request: dict[str, Any]) -> Queue:
        return read_queue(store, request)

    def unjudge(request: dict[str, Any]) -> None:
        store.unlabel_clip(an_id(request, "clip_id"), annotator_of(request))

    return [menus, find, count, look, together, judge, queue, unjudge]


# -- requests


def clip_filter(request: dict[str, Any]) -> ClipFilter:
    """The filter given by a request or URL.

    Raises:
        ConfigError: a value is not allowed.
    """

    def step(name: str) -> int | None:
        return a_count(request, name, MAX_STEP, default=0) if request.get(name) not in (None, "") else None

    return ClipFilter(
        run_ids=tuple(ids(request, "runs")),
        min_step=step("min_step"),
        max_step=step("max_step"),
        label=cast(Any, a_choice(request, "label", LABELS)),
        min_probability=a_number(request, "min_p", 0, 1),
        max_probability=a_number(request, "max_p", 0, 1),
        min_spread=a_number(request, "min_spread", 0, 1),
        event=a_text(request, "event", MAX_EVENT) or None,
        prompt_id=an_id(request, "prompt") if request.get("prompt") else None,
        agreement=cast(Any, a_choice(request, "agreement", AGREEMENTS)),
        human=cast(Any, a_choice(request, "human", HUMANS)),
        superseded=a_flag(request, "superseded"),
    )


def clip_order(request: dict[str, Any]) -> ClipOrder:
    """The requested order, by default newest first. Raises like `clip_filter`."""
    return cast(ClipOrder, a_choice(request, "order", get_args(ClipOrder)) or "newest")


def annotator_of(request: dict[str, Any]) -> str:
    """The name of the person at the keyboard; '' if they gave none. Raises like `clip_filter`."""
    return " ".join(a_text(request, "annotator", MAX_ANNOTATOR).split())


# -- answers


def read_queue(store: Store, request: dict[str, Any]) -> Queue:
    """The clips that somebody should label next: those of the filter that have a label and none by this person.

    With `second`, only those that somebody else has labelled; clips in `passed` were skipped.

    Raises:
        ConfigError: a value is not allowed.
    """
    annotator, passed = annotator_of(request), set(ids(request, "passed"))
    order = cast(ClipOrder, a_choice(request, "order", QUEUE_ORDERS) or "disagreement")
    wanted = replace(clip_filter(request), not_labelled_by=annotator)
    wanted = replace(
        wanted, min_probability=wanted.min_probability or 0.0, human="any" if a_flag(request, "second") else wanted.human
    )
    found = store.find_clips(wanted, order, limit=QUEUE_AHEAD + len(passed))
    chosen = [clip for clip in found if clip.clip_id not in passed][:QUEUE_AHEAD]
    labels = store.labels_by_people(wanted.run_ids)
    asked = {clip.score.prompt_id for clip in chosen if clip.score is not None and clip.score.prompt_id is not None}
    prompts = {prompt_id: store.prompt(prompt_id) for prompt_id in asked}
    cards = clip_cards(chosen, _runs(store, {clip.run_id for clip in chosen}))
    return Queue(
        total=store.count_clips_found(wanted),
        labelled=sum(label.annotator == annotator for label in labels),
        clips=[
            QueuedClip(card, _question(clip, prompts), clip.mission)
            for clip in chosen
            for card in cards
            if card.clip_id == clip.clip_id
        ],
        agreement=people.report(labels),
    )


def _question(clip: ClipSummary, prompts: dict[int, Prompt]) -> str:
    """What a clip's label answers, in words."""
    score = clip.score
    prompt = None if score is None or score.prompt_id is None else prompts[score.prompt_id]
    if score is None or prompt is None:
        return "Does the clip show progress?"
    asked = replace(prompt, text=score.asked or prompt.text)
    if len(asked.questions) == 1:
        return asked.text
    rule = {"any": "Is any of these true?", "all": "Are all of these true?", "mean": "Are most of these true, by weight?"}[
        asked.rule
    ]
    return "\n".join([rule, *(f"– {question}" for question in asked.questions)])


def find_page(store: Store, wanted: ClipFilter, order: ClipOrder, page: int) -> FoundClips:
    """Page `page` (from 1) of the matching clips; the last one if there are fewer pages.

    Raises:
        NotFoundError: one of the runs does not exist.
    """
    found = _runs(store, wanted.run_ids)
    if missing := [run_id for run_id in wanted.run_ids if run_id not in found]:
        raise NotFoundError(f"there is no run {missing[0]}; it may have been deleted")
    total = store.count_clips_found(wanted)
    page = min(max(page, 1), max(1, -(-total // PAGE_SIZE)))
    before = PAGE_SIZE * (page - 1)
    clips = store.find_clips(wanted, order, limit=min(PAGE_SIZE, total - before), offset=before)  # it stops at the last match
    return FoundClips(total, page, clip_cards(clips, _runs(store, {clip.run_id for clip in clips})))


def read_menus(store: Store, run_ids: tuple[int, ...]) -> Menus:
    """The filters' options."""
    runs = [
        RunChoice(run.run_id, run.name, run.env, method_of(run).label, run.status, run.counters.clips) for run in store.runs()
    ]
    return Menus(runs, store.event_names_of(run_ids), store.prompts_used(run_ids))


def cards_of(store: Store, clip_ids: list[int]) -> list[ClipCard]:
    """Cards of these clips.

    Raises:
        NotFoundError: one of them does not exist.
    """
    clips = store.clip_summaries(clip_ids)
    return clip_cards(clips, _runs(store, {clip.run_id for clip in clips}))


def look_at(store: Store, clip_id: int) -> ClipView:
    """Everything known about a clip.

    Raises:
        NotFoundError: there is no such clip.
    """
    clip = store.clip(clip_id)
    run = store.run(clip.run_id)
    scores = store.scores(clip_id)[::-1]
    prompts = {score.prompt_id: store.prompt(score.prompt_id) for score in scores if score.prompt_id is not None}
    replay = store.clip_replay(clip_id)
    rewards, problem = _rewards(store, clip_id)
    return ClipView(
        card=clip_card(clip, run),
        env=run.env,
        method=method_of(run).label,
        env_index=clip.env_index,
        episode=clip.episode,
        closed_by=clip.closed_by,
        mission=clip.mission,
        episodic_reward=clip.episodic_reward,
        rewards=rewards,
        events=events_at(clip),
        scores=tuple(score_view(score, prompts) for score in scores),
        replay=None if replay is None else replay_view(replay, run, clip.length),
        verdicts=tuple(
            Verdict(said.agrees, said.note, said.created_at, said.annotator) for said in store.human_labels(clip_id)[::-1]
        ),
        problem=problem,
    )


def _rewards(store: Store, clip_id: int) -> tuple[tuple[float, ...], str]:
    """Rewards by frame, and '' or why they cannot be read: the rest of a damaged clip is still worth showing."""
    try:
        return tuple(float(reward) for reward in store.load_clip(clip_id).rewards), ""
    except StoreCorruptError as error:
        return (), str(error)


def _runs(store: Store, run_ids: Iterable[int]) -> dict[int, RunSummary]:
    return {run.run_id: run for run in store.runs(run_ids=run_ids)}
