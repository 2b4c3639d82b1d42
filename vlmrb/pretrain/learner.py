"""One step of learning: what each patch shows, what has changed since the frame before, and the answers.

Three losses share one pass. The first two have linear heads of their own that are dropped afterwards:

1. *see*: from the vision tower, what stands at each point of a frame;
2. *compare*: from the text model's lower layers, what has appeared and vanished at each token since the frame before, and,
   at the mark that ends a frame, what has happened since then;
3. *answer*: the token after ANSWER, for all questions of a clip on one pass over its frames, and the words of a caption that
   names what stands in the first and the last frame and what has happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from vlmrb.pretrain.batches import PackedBatch
from vlmrb.pretrain.model import BEGIN, GLOBAL, MARK, SPECIAL_TOKENS, ModelShape
from vlmrb.pretrain.truth import CONTENTS, HAPPENINGS, MAP_SIDE

_POSES = 5
_COMMON = 2  # the first contents, empty and wall, are everywhere
_COMMON_WEIGHT = 0.1
_CAPTION_WEIGHT = 0.5
_CHANGES_FROM, _HAPPENED_FROM = 2, 3  # the layers after which these can be read


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses of one batch (scalars, with gradient), and how much of it was right."""

    see: torch.Tensor
    compare: torch.Tensor
    answer: torch.Tensor
    seen: float  # share of the points with an object at which the right one was named
    right: float  # share of right answers; NaN without questions


class Learner(nn.Module):
    """The model with the heads that it is taught by.

    Args:
        model: an Idefics3 as `build_model` makes it.
        shape: its sizes.
        yes, no: ids of these tokens.
    """

    def __init__(self, model: Any, shape: ModelShape, yes: int, no: int) -> None:
        super().__init__()
        self.model, self._shape = model, shape
        points = (MAP_SIDE // shape.patches) ** 2
        self.contents = nn.Linear(shape.vision_width, points * len(CONTENTS))
        self.agents = nn.Linear(shape.vision_width, points * _POSES)
        self.changes = nn.Linear(shape.text_width, 2 * len(CONTENTS))
        self.happened = nn.Linear(shape.text_width, len(HAPPENINGS))
        nn.init.constant_(self.changes.bias, -5.0)  # hardly anything changes from one frame to the next
        nn.init.constant_(self.happened.bias, -4.0)
        self._answer_ids = (no, yes)

    def losses(self, batch: PackedBatch, device: torch.device, *, compare: bool = True) -> Losses:
        """Losses of a batch; without `compare` only the vision tower is used, and the other two losses are 0."""
        present = torch.from_numpy(batch.present).to(device)  # [B, F]
        frames = torch.from_numpy(batch.frames).to(device)[present]  # [N, S, S, 3]
        contents = torch.from_numpy(batch.contents).to(device).long()  # [B, F, M, M]
        agents = torch.from_numpy(batch.agents).to(device).long()
        pixels = frames.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        patches = self.model.model.vision_model(pixel_values=pixels).last_hidden_state  # [N, P, W]
        see, seen = self._see(patches, contents[present], agents[present])
        if not compare:
            return Losses(see, see.new_zeros(()), see.new_zeros(()), seen, float("nan"))
        hidden, prefix = self._read(patches, present, batch, device)
        change = self._compare(hidden, present, contents, torch.from_numpy(batch.happened).to(device).float())
        answer, right = self._answer(hidden[-1][:, prefix:], batch, device)
        return Losses(see, change, answer, seen, right)

    def _see(self, patches: torch.Tensor, contents: torch.Tensor, agents: torch.Tensor) -> tuple[torch.Tensor, float]:
        content_logits = self._by_point(self.contents(patches), len(CONTENTS))  # [N, M, M, C]
        agent_logits = self._by_point(self.agents(patches), _POSES)
        content_weights = torch.where(contents < _COMMON, _COMMON_WEIGHT, 1.0)
        agent_weights = torch.where(agents == 0, _COMMON_WEIGHT, 1.0)
        loss = _weighted(content_logits, contents, content_weights) + _weighted(agent_logits, agents, agent_weights)
        things = contents >= _COMMON
        seen = (content_logits.argmax(-1) == contents)[things].float().mean()
        return loss, float(seen.detach())

    def _by_point(self, values: torch.Tensor, classes: int) -> torch.Tensor:
        """[N, P, points·C] → [N, M, M, C]: each patch tells of several points."""
        side = self._shape.patches
        inner = MAP_SIDE // side
        return (
            values.view(-1, side, side, inner, inner, classes).permute(0, 1, 3, 2, 4, 5).reshape(-1, MAP_SIDE, MAP_SIDE, classes)
        )

    def _read(
        self, patches: torch.Tensor, present: torch.Tensor, batch: PackedBatch, device: torch.device
    ) -> tuple[tuple[torch.Tensor, ...], int]:
        """Hidden states [B, T, W] after each layer of the text model, and the length of what precedes the questions."""
        embed = self.model.get_input_embeddings()
        rows, frames = present.shape
        step = self._shape.tokens_per_frame
        ids = torch.tensor([SPECIAL_TOKENS.index(token) for token in (MARK, GLOBAL, MARK, BEGIN)], device=device)
        mark, tag, _, begin = embed(ids)
        visual = mark.new_zeros(rows, frames, step, self._shape.text_width)
        visual[:, :, 0] = visual[:, :, -1] = mark
        visual[:, :, 1] = tag
        shown = torch.zeros_like(visual[:, :, 2:-1])
        shown[present] = self.model.model.connector(patches).to(shown.dtype)
        visual = torch.cat([visual[:, :, :2], shown, visual[:, :, -1:]], dim=2)
        prefix = 1 + frames * step
        tokens = torch.from_numpy(batch.tokens).to(device)
        inputs = torch.cat([begin.expand(rows, 1, -1), visual.flatten(1, 2), embed(tokens)], dim=1)  # [B, T, W]
        mask, positions = attention_layout(
            present, torch.from_numpy(batch.question_of).to(device), torch.from_numpy(batch.offsets).to(device), step
        )
        outputs = self.model.model.text_model(
            inputs_embeds=inputs, attention_mask=mask, position_ids=positions, output_hidden_states=True, use_cache=False
        )
        return outputs.hidden_states, prefix

    def _compare(
        self, hidden: tuple[torch.Tensor, ...], present: torch.Tensor, contents: torch.Tensor, happened: torch.Tensor
    ) -> torch.Tensor:
        frames = present.shape[1]
        step = self._shape.tokens_per_frame
        layers = len(hidden) - 1

        def by_frame(layer: int) -> torch.Tensor:
            return hidden[min(layer, layers)][:, 1 : 1 + frames * step].unflatten(1, (frames, step))

        there = self._contents_of_tokens(contents)  # [B, F, tokens, C]
        changed = torch.cat([there[:, 1:] & ~there[:, :-1], there[:, :-1] & ~there[:, 1:]], dim=-1).float()
        both = present[:, 1:] & present[:, :-1]
        at_tokens = self.changes(by_frame(_CHANGES_FROM)[:, 1:, 2:-1])  # [B, F-1, tokens, 2C]
        changes = functional.binary_cross_entropy_with_logits(at_tokens, changed, reduction="none").sum((-1, -2))
        at_marks = self.happened(by_frame(_HAPPENED_FROM)[:, :, -1])  # [B, F, E]
        events = functional.binary_cross_entropy_with_logits(at_marks, happened, reduction="none").sum(-1)
        change = (changes * both).sum() / both.sum().clamp(min=1)
        return change + (events * present).sum() / present.sum().clamp(min=1)

    def _contents_of_tokens(self, contents: torch.Tensor) -> torch.Tensor:
        """bool [B, F, tokens, C]: what stands anywhere within each token's square."""
        side = self._shape.patches // self._shape.shuffle
        inner = MAP_SIDE // side
        one_hot = functional.one_hot(contents, len(CONTENTS)).bool()  # [B, F, M, M, C]
        squares = one_hot.unflatten(3, (side, inner)).unflatten(2, (side, inner))  # [B, F, side, inner, side, inner, C]
        return squares.any(5).any(3).flatten(2, 3)

    def _answer(self, hidden: torch.Tensor, batch: PackedBatch, device: torch.device) -> tuple[torch.Tensor, float]:
        answers = torch.from_numpy(batch.answers).to(device)  # [B, K]
        asked = answers >= 0
        if not bool(asked.any()):
            return hidden.sum() * 0.0, float("nan")
        at = torch.from_numpy(batch.answer_at).to(device)
        states = torch.take_along_dim(hidden, at[..., None], dim=1)[asked]  # [A, W]
        logits = self.model.lm_head(states).float()
        wanted = answers[asked]
        no_yes = torch.tensor(self._answer_ids, device=device)
        loss = functional.cross_entropy(logits, no_yes[wanted])
        told = torch.from_numpy(batch.told).to(device)  # [B, Q]
        if bool((told >= 0).any()):
            spoken = self.model.lm_head(hidden[told >= 0]).float()
            loss = loss + _CAPTION_WEIGHT * functional.cross_entropy(spoken, told[told >= 0])
        right = (logits[:, no_yes].argmax(-1) == wanted).float().mean()
        return loss, float(right.detach())


def attention_layout(
    present: torch.Tensor, question_of: torch.Tensor, offsets: torch.Tensor, tokens_per_frame: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Who may look at whom, and the positions, so that each question is read as if it stood alone behind the frames.

    Args:
        present: bool [B, F].
        question_of: int64 [B, Q], -1 for padding.
        offsets: int64 [B, Q].
        tokens_per_frame: from one frame to the next.

    Returns:
        bool [B, 1, T, T], True where a row may look at a column, and int64 [B, T].
    """
    rows = len(present)
    visual = present.repeat_interleave(tokens_per_frame, dim=1)
    prefix_valid = torch.cat([visual.new_ones(rows, 1), visual], dim=1)  # [B, prefix]
    valid = torch.cat([prefix_valid, question_of >= 0], dim=1)
    owner = torch.cat([torch.full_like(prefix_valid, -1, dtype=torch.long), question_of], dim=1)
    index = torch.arange(valid.shape[1], device=present.device)
    in_prefix = index < prefix_valid.shape[1]
    shared = in_prefix[None, None, :] | (owner[:, :, None] == owner[:, None, :])
    mask = (index[None, :] <= index[:, None])[None] & shared & valid[:, None, :]
    mask |= torch.eye(len(index), dtype=torch.bool, device=present.device)  # padding looks at itself, for want of others
    prefix_positions = (prefix_valid.long().cumsum(1) - 1).clamp(min=0)
    starts = prefix_valid.long().sum(1, keepdim=True)
    return mask[:, None], torch.cat([prefix_positions, starts + offsets], dim=1)


def _weighted(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    losses = functional.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum()
