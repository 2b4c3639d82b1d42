"""The start of a branch: it takes over what its parent had learned, and its replay method gets what it wants to know.

What is taken over as it is, from most to least:

    same method and settings      everything: the branch is the parent that is resumed, bit for bit (continuation seed 0)
    same method, or same base     the sampler's state, or its base's; labels, if scorer, question and rule are the same
    another method                the items, added again in order; what the method wants from the agent is computed once

Labels that are still missing come from the store (`vlmrb score` and other branches leave their answers there), and what no
scorer has answered yet is scored before training starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from vlmrb.config import TrainConfig, feedback_for, make_config
from vlmrb.errors import CheckpointError, ConfigError, NotFoundError, ScorerError
from vlmrb.panels import Member, parse_member, reads_prompt
from vlmrb.replay import replay_method
from vlmrb.rescoring import score_clips
from vlmrb.scoring import ScorerOptions, frames_at
from vlmrb.store import Store
from vlmrb.train.resuming import Learned
from vlmrb.types import ClipScore, ClipSummary, Lineage, Prompt

BATCH = 512
"""Items that the agent is asked about at a time: what its networks make of them should fit into the processor's cache."""

LABELS = (
    "scorer",
    "prompt",
    "threshold",
    "scorer_frames",
    "strata",
    "curriculum",
    "first_in_episode",
    "net_progress",
    "credit",
    "clip_stride",
    "overlap",
)
"""Settings that decide labels and what they lead to."""

ACCOMPLISHED = ("scorer", "threshold", "scorer_frames", "her_question")
"""Settings that decide which missions were accomplished, as far as the scorer says."""

_LAMBDA = ("lambda_max", "lambda_warmup", "lambda_from", "lambda_falls")


def parts_in_common(parent: TrainConfig, branch: TrainConfig) -> tuple[bool, bool, bool]:
    """Whether two runs' samplers can share their whole state, that of their bases, and their labels."""
    theirs, ours = replay_method(parent.replay), replay_method(branch.replay)
    labels = theirs.labels and ours.labels and _alike(parent, branch, LABELS)
    base = _base(parent) == _base(branch) and _alike(parent, branch, _stored(_base(branch)))
    whole = theirs.key == ours.key and _alike(parent, branch, _stored(ours.key)) and base and (labels or not ours.labels)
    return whole, base, labels


def _base(config: TrainConfig) -> str:
    return config.base if replay_method(config.replay).mixes else config.replay


def _stored(key: str) -> tuple[str, ...]:
    method = replay_method(key)
    return method.settings if method.stored is None else method.stored


def _alike(one: TrainConfig, other: TrainConfig, names: tuple[str, ...]) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in names)


class TakeOver:
    """Makes a branch's parts what its parent's checkpoint says, as far as its settings leave them the same.

    Args:
        lineage: where the branch comes from.
        learned: the branch's parts, as they were made.
        store: has the clips of the parent, and of the run that this one branched off from, and so on.
        losses: gets what could not be taken over, in words.
        tick: called now and then while clips are scored.
    """

    def __init__(self, lineage: Lineage, learned: Learned, store: Store, losses: list[str], tick: Callable[[], None]) -> None:
        self._lineage, self._learned, self._store = lineage, learned, store
        self._losses, self._tick = losses, tick

    def take(self, state: dict[str, Any], tensors: dict[str, Any], arrays: dict[str, np.ndarray]) -> Prompt:
        """Take over the parent's checkpoint; returns the prompt to ask from now on.

        Raises:
            CheckpointError: it lacks something that this version needs.
            ScorerError: clips could not be scored, and `on_scorer_failure` is 'stop'.
        """
        learned = self._learned
        try:
            parent = make_config(**state["settings"])
            whole, base, labels = parts_in_common(parent, learned.config)
            pending = [int(clip_id) for clip_id in state["pending"]]
            learned.take(state, self._seeded(tensors), arrays, sampler=whole)
            own_clips = int(state["recorder"]["next_number"])
        except (LookupError, TypeError, ValueError, AttributeError, ConfigError) as error:
            raise CheckpointError(
                f"the checkpoint of run {self._lineage.parent_id} at step {self._lineage.parent_step} cannot be continued by "
                f"this version ({type(error).__name__}: {error})"
            ) from error
        if learned.buffer.in_words is not None and not _alike(parent, learned.config, ACCOMPLISHED):
            learned.buffer.in_words.forget()
        learned.sources.append((self._lineage.parent_id, own_clips))
        self._reseed()
        prompt = self._prompt(parent, state["prompt_id"])
        self._keep_pace(parent)
        sampler_state = _prefixed({**state["numbers"], **arrays}, "buffer.sampler.")
        if whole:
            self._follow_schedule(parent)
        else:
            self._rebuild_sampler(parent, sampler_state, base)
        if learned.first_success is not None and hasattr(learned.buffer.sampler, "succeeded"):
            learned.buffer.sampler.succeeded(learned.first_success)
        if replay_method(learned.config.replay).labels:
            if labels and not whole and hasattr(learned.buffer.sampler, "take_labels"):
                learned.buffer.sampler.take_labels(sampler_state)
            self._label(prompt, only=set(pending) if labels else None)
        return prompt

    # -- generators and schedules

    def _seeded(self, tensors: dict[str, Any]) -> dict[str, Any]:
        """The agent's state, with its own generator as the continuation seed says."""
        if self._lineage.continuation_seed == 0 or "generator" not in tensors:
            return tensors
        import torch

        seed = int(self._seeds()[2].generate_state(1, np.uint64)[0] >> 1)
        return {**tensors, "generator": torch.Generator(self._learned.config.device).manual_seed(seed).get_state()}

    def _reseed(self) -> None:
        """Exploration and sampling; the episodes to come, evaluation and play stay as they are in every branch."""
        if self._lineage.continuation_seed == 0:
            return
        for name, seed in zip(("agent", "replay"), self._seeds(), strict=False):
            self._learned.rngs[name].bit_generator.state = np.random.default_rng(seed).bit_generator.state

    def _seeds(self) -> list[np.random.SeedSequence]:
        """Of exploration, of sampling, and of the agent's own draws: the same for all siblings with this seed."""
        lineage = self._lineage
        entropy = (self._learned.config.seed, lineage.parent_step, lineage.continuation_seed)
        return np.random.SeedSequence(entropy).spawn(3)

    def _keep_pace(self, parent: TrainConfig) -> None:
        """With another number of steps per update, the updates begin at this pace now, without catching up."""
        learned, config = self._learned, self._learned.config
        if parent.train_freq != config.train_freq:
            learned.updates = max(0, (learned.buffer.next_item_id - config.learning_starts) // config.train_freq)

    def _follow_schedule(self, parent: TrainConfig) -> None:
        """A λ that a person held in the parent gives way to one that was chosen for the branch."""
        method = replay_method(self._learned.config.replay)
        if "lambda" in method.live and not _alike(parent, self._learned.config, _LAMBDA):
            self._learned.buffer.sampler.change("lambda", "schedule")  # type: ignore[attr-defined]

    def _prompt(self, parent: TrainConfig, prompt_id: int) -> Prompt:
        """The prompt that the parent asked at the end, unless the branch has another."""
        ours = self._learned.labelling.prompt
        if parent.prompt != self._learned.config.prompt:
            return ours
        try:
            return self._store.prompt(prompt_id)
        except NotFoundError:
            return ours

    # -- the sampler

    def _rebuild_sampler(self, parent: TrainConfig, state: dict[str, Any], same_base: bool) -> None:
        """Give the new sampler the items, what it wants from the agent, and the parent's base if it is the same."""
        learned = self._learned
        buffer, sampler = learned.buffer, learned.buffer.sampler
        ours = getattr(sampler, "base", sampler)
        if self._wants_feedback(same_base):
            for first in range(buffer.next_item_id - len(buffer), buffer.next_item_id, BATCH):
                item_ids = np.arange(first, min(first + BATCH, buffer.next_item_id))
                buffer.update_priorities(item_ids, learned.agent.feedback(buffer.look_up(item_ids)[0]))
                self._tick()
        if same_base and hasattr(ours, "load_state_dict"):
            ours.load_state_dict(_prefixed(state, "base.") if replay_method(parent.replay).mixes else state)

    def _wants_feedback(self, has_base: bool) -> bool:
        """Whether the new sampler replays by something that only the agent can tell it."""
        config = self._learned.config
        boost = "td_boost" in replay_method(config.replay).settings and config.td_boost
        return boost or (bool(feedback_for(config)) and not has_base)

    # -- labels

    def _label(self, prompt: Prompt, only: set[int] | None) -> None:
        """Apply the labels of all clips that hold items of the buffer, or of some of them."""
        clips = self._clips()
        if only is not None and not only:
            return
        if only is None:
            self._learned.labelling.rule.load_state_dict({})  # it hears of every clip again
            self._count_missing(clips)
        else:
            clips = [clip for clip in clips if clip.clip_id in only]
        known = self._known_scores(clips, prompt)
        unscored = [clip for clip in clips if clip.clip_id not in known]
        known |= {score.clip_id: score for score in self._score(unscored, prompt)}
        for clip in clips:
            if clip.clip_id in known:
                self._apply(clip, known[clip.clip_id])

    def _apply(self, clip: ClipSummary, score: ClipScore) -> None:
        """Give the items of a clip what the scorer's answer leads to."""
        learned = self._learned
        labelling = learned.labelling
        labels = labelling.labels_of(labelling.standing(replace(score, threshold=learned.config.threshold)))
        for item_ids, priorities in learned.labelling.rule.apply(clip.env_index, clip.episode, self._item_ids(clip), labels):
            learned.buffer.apply_label(item_ids, priorities)

    def _item_ids(self, clip: ClipSummary) -> np.ndarray:
        return np.arange(clip.start_step, clip.end_step + 1, self._learned.config.n_envs)

    def _clips(self) -> list[ClipSummary]:
        """The stored clips that hold items of the buffer, in the order in which they were recorded."""
        oldest = self._learned.buffer.next_item_id - len(self._learned.buffer)
        found: list[ClipSummary] = []
        for run_id, count in self._learned.sources:
            page, last = self._store.clips(run_id, order="oldest", limit=1_000), None
            while page:
                found += [clip for clip in page if clip.number < count and clip.end_step >= oldest]
                last = page[-1]
                page = self._store.clips(run_id, order="oldest", limit=1_000, after=last.clip_id) if last.number < count else []
        return found

    def _count_missing(self, clips: list[ClipSummary]) -> None:
        """Say how many items no stored clip holds."""
        buffer = self._learned.buffer
        open_items = sum(len(clip["item_ids"]) for clip in self._learned.recorder.state_dict()["open"])
        held = sum(int(buffer.holds(self._item_ids(clip)).sum()) for clip in clips)
        if (missing := len(buffer) - held - open_items) > 0:
            self._losses.append(
                f"{missing:,} of the {len(buffer):,} transitions taken over have no label: their clips are not in the store "
                f"(the run was told not to keep clips, or has been deleted)"
            )

    def _known_scores(self, clips: list[ClipSummary], prompt: Prompt) -> dict[int, ClipScore]:
        """The newest answer to the branch's question in the store, by clip."""
        config = self._learned.config
        prompt_id = prompt.prompt_id if reads_prompt(config.scorer) else None
        length = {clip.clip_id: clip.length for clip in clips}
        return {
            score.clip_id: score
            for run_id in sorted({clip.run_id for clip in clips})
            for score in self._store.scores_of_run(run_id, config.scorer, prompt_id)
            if score.clip_id in length
            and not score.error
            and score.prompt_id == prompt_id  # controls have none, apart from their answers about other missions
            and _fits(score, config, length[score.clip_id])
        }

    def _score(self, clips: list[ClipSummary], prompt: Prompt) -> list[ClipScore]:
        """Score clips and keep the answers for siblings."""
        config = self._learned.config
        if not clips or config.scorer is None:
            return []
        try:
            return score_clips(
                self._store,
                clips,
                config.scorer,
                prompt,
                ScorerOptions.of(config),
                batch_size=config.scoring_batch_size,
                on_scores=self._store.add_scores,
                progress=lambda _: self._tick(),
            )
        except (ScorerError, NotFoundError) as error:
            if isinstance(error, ScorerError) and config.on_scorer_failure == "stop":
                raise
            self._losses.append(f"{len(clips):,} clips of before the branch could not be scored: {error}")
            return []


def _fits(score: ClipScore, config: TrainConfig, length: int) -> bool:
    """Whether a score was given as the settings say: for as many frames and, by a panel, with the same threshold."""
    if score.votes and score.threshold != config.threshold:
        return False  # it decides what a majority is, and where a cascade is in doubt
    if config.scorer_frames is None or not score.frame_indices:
        return True
    members = [parse_member(vote.member) for vote in score.votes] or [Member(score.scorer)]
    shown = {at for member in members if not member.is_control for at in frames_at(length, member.frames or config.scorer_frames)}
    return len(score.frame_indices) == len(shown)


def _prefixed(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
