"""The losses of one training step.

Three losses share one forward pass. *see*: from the vision tower, what the eye is taught about each patch, and whether each
matter is true, from the patches with evidence of it; its linear heads are dropped after training. *read*: from the first layer of
the text model, what each question is about and whether it asks for the opposite; without it, the answers would take too long to
learn. *answer*: the token after ANSWER, for all questions of a clip in one pass over its frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from vlmrb.pretrain.batches import PackedBatch
from vlmrb.pretrain.model import BEGIN, SPECIAL_TOKENS, ModelShape

_CLIPS_AT_ONCE = 32  # clips of similar size go through the text model together, with little padding


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses of one batch (scalars, with gradient), and its accuracy."""

    see: torch.Tensor
    read: torch.Tensor  # 0 without questions
    answer: torch.Tensor  # 0 without questions
    seen: float  # share of the things in the last frame that are recognised
    right: float  # share of correct answers; NaN without questions


class _Asked(NamedTuple):
    """Hidden states at the ANSWER tokens of A questions, float [A, text width]: after the first layer and after the last."""

    read: torch.Tensor
    states: torch.Tensor


class Eye(Protocol):
    """How patches are embedded during training, instead of from their pixels; an nn.Module."""

    def patches(self, batch: PackedBatch, device: torch.device) -> torch.Tensor:
        """The vision tower's input, float [N, vision width]."""
        ...

    def loss(self, cells: torch.Tensor, batch: PackedBatch, device: torch.device) -> tuple[torch.Tensor, float]:
        """The loss of the heads on the vision tower's output [N, vision width], and the share of the things recognised."""
        ...

    def kernel(self) -> np.ndarray:
        """The equivalent patch embedding over pixels in [−1, 1], float32 [width, 3, F, side, side]."""
        ...

    def take_over(self, kernel: np.ndarray) -> None:
        """Embed patches as this patch embedding does, as near as possible."""
        ...


class Learner(nn.Module):
    """The model with the heads that it is trained with.

    Args:
        model: from `build_model`.
        shape: its sizes.
        yes, no: ids of these tokens.
        eye: for the worlds that it learns about, an nn.Module.
        rates: float32 [matters], in what share of clips as they come each matter of the catalogue is true.
    """

    def __init__(self, model: Any, shape: ModelShape, yes: int, no: int, eye: Eye, rates: np.ndarray) -> None:
        super().__init__()
        self.model, self.eye = model, eye
        self._visual, self._language = model.model.visual, model.model.language_model
        self._patch_embed, self._visual.patch_embed = self._visual.patch_embed, nn.Identity()
        self._patch_embed.requires_grad_(False)
        self.register_buffer("_rates", torch.from_numpy(rates), persistent=False)
        self.known = nn.Linear(shape.text_width, len(rates))
        self.asked_bias = nn.Parameter(torch.zeros(len(rates)))
        self.reversed = nn.Linear(shape.text_width, 1)
        nn.init.constant_(self.known.bias, -6.0)
        self._answer_ids = (no, yes)

    def losses(self, batch: PackedBatch, device: torch.device, *, vision: bool = True, heads: bool = True) -> Losses:
        """Losses of a batch; without `vision`, no gradient reaches the vision tower, and without `heads`, none its heads."""
        with torch.set_grad_enabled(vision):
            cells, tokens = self.look(batch, device)
        with torch.set_grad_enabled(vision or heads):
            see, seen = self._see(cells, tokens, batch, device)
        there = batch.answers >= 0
        if not there.any():
            return Losses(see, see.new_zeros(()), see.new_zeros(()), seen, float("nan"))
        asked = self._ask(tokens, batch, device)
        matters, wanted = (torch.from_numpy(array[there]).to(device) for array in (batch.matters, batch.answers))
        truths = torch.from_numpy(batch.known).to(device)[torch.from_numpy(there.nonzero()[0]).to(device), matters]
        # with the weights that find a matter in cells, so that a question resembles the cells that it is about
        named = functional.linear(asked.read, self.known.weight.detach(), self.asked_bias)  # [A, matters]
        read = functional.cross_entropy(named, matters) + functional.binary_cross_entropy_with_logits(
            self.reversed(asked.read)[:, 0], (truths != wanted).float()
        )
        logits = self.model.lm_head(asked.states)  # [A, V]
        no_yes = torch.tensor(self._answer_ids, device=device)
        # half of the clips asked about are true; weighted so, P(yes) is right for clips as they come, and 0.5 the threshold
        rates = self.get_buffer("_rates")[matters]
        weights = 2 * torch.where(truths > 0, rates, 1 - rates)
        answer = (functional.cross_entropy(logits, no_yes[wanted], reduction="none") * weights).mean()
        right = (logits[:, no_yes].argmax(-1) == wanted).float().mean()
        return Losses(see, read, answer, seen, float(right.detach()))

    def look(self, batch: PackedBatch, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """The vision tower's output for each patch [N, vision width], and the text model's input from it [N, text width]."""
        patches = self.eye.patches(batch, device)
        grids = torch.from_numpy(np.insert(batch.grids, 0, 1, axis=1)).to(device)
        outcome = self._visual(patches, grid_thw=grids)
        return outcome.last_hidden_state, outcome.pooler_output

    def finish(self) -> Any:
        """The model to be saved, with a patch embedding over pixels. It cannot be trained any further."""
        with torch.no_grad():
            self._patch_embed.proj.weight.copy_(torch.from_numpy(self.eye.kernel()))
        self._visual.patch_embed = self._patch_embed
        return self.model

    def _see(
        self, cells: torch.Tensor, tokens: torch.Tensor, batch: PackedBatch, device: torch.device
    ) -> tuple[torch.Tensor, float]:
        loss, seen = self.eye.loss(cells, batch, device)
        known = torch.from_numpy(batch.known).to(device)
        evidence = self.known(tokens).split(batch.grids.prod(1).tolist())
        told = functional.binary_cross_entropy_with_logits(  # one patch with evidence is enough
            torch.stack([patches.logsumexp(0) for patches in evidence]), known.clamp(min=0).float(), reduction="none"
        )
        return loss + (told * (known >= 0)).sum() / len(batch.grids), seen

    def answer_logits(self, tokens: torch.Tensor, batch: PackedBatch, device: torch.device) -> torch.Tensor:
        """Logits [A, V] of the token after each ANSWER, question by question, clip by clip."""
        return self.model.lm_head(self._ask(tokens, batch, device).states)

    def _ask(self, tokens: torch.Tensor, batch: PackedBatch, device: torch.device) -> _Asked:
        """The text model's states for each question, clip by clip."""
        sizes = batch.grids.prod(1)
        by_clip = tokens.split(sizes.tolist())
        order = np.argsort(sizes, kind="stable")
        found: list[torch.Tensor] = [tokens] * len(sizes)  # replaced by [2, K, W] for each clip
        for start in range(0, len(order), _CLIPS_AT_ONCE):
            rows = order[start : start + _CLIPS_AT_ONCE]
            states = self._read([by_clip[row] for row in rows], batch, rows, device)
            for place, row in enumerate(rows):
                found[row] = states[:, place, : int((batch.answers[row] >= 0).sum())]
        return _Asked(*torch.cat(found, dim=1))

    def _read(self, clips: list[torch.Tensor], batch: PackedBatch, rows: np.ndarray, device: torch.device) -> torch.Tensor:
        """Hidden states [2, b, K, W] at the ANSWER tokens of b clips: after the first layer and after the last."""
        used = max(1, int((batch.question_of[rows] >= 0).sum(1).max()))  # tokens of the longest row

        def of(array: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(array[rows]).to(device)

        visual = pad_sequence(clips, batch_first=True)  # [b, N', W]
        lengths = torch.tensor([len(clip) for clip in clips], device=device)
        present = torch.arange(visual.shape[1], device=device) < lengths[:, None]
        embed = self.model.get_input_embeddings()
        begin = embed(torch.tensor([[SPECIAL_TOKENS.index(BEGIN)]], device=device)).expand(len(clips), -1, -1)
        inputs = torch.cat([begin, visual, embed(of(batch.tokens)[:, :used])], dim=1)
        mask, positions = attention_layout(present, of(batch.grids), of(batch.question_of)[:, :used], of(batch.offsets)[:, :used])
        outcome = self._language(
            inputs_embeds=inputs, attention_mask=mask, position_ids=positions, use_cache=False, output_hidden_states=True
        )
        at = (1 + visual.shape[1] + of(batch.answer_at))[..., None]  # [b, K, 1]
        return torch.stack(
            [torch.take_along_dim(states, at, dim=1) for states in (outcome.hidden_states[1], outcome.last_hidden_state)]
        )


def attention_layout(
    present: torch.Tensor, grids: torch.Tensor, question_of: torch.Tensor, offsets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention mask and positions that let the model read each question as if it alone followed the clip.

    Args:
        present: bool [b, N], True for visual tokens, False for the padding after them.
        grids: int64 [b, 2], height and width of each clip's grid.
        question_of: int64 [b, Q], -1 for padding.
        offsets: int64 [b, Q], position of a token within its question.

    Returns:
        bool [b, 1, T, T], True where a row may attend to a column, and int64 [3, b, T]: time, row and column as Qwen2-VL
        counts them.
    """
    clips, cells = present.shape
    prefix = torch.cat([present.new_ones(clips, 1), present], dim=1)
    valid = torch.cat([prefix, question_of >= 0], dim=1)
    owner = torch.cat([torch.full_like(prefix, -1, dtype=torch.long), question_of], dim=1)
    index = torch.arange(valid.shape[1], device=present.device)
    shared = (index <= cells)[None, None, :] | (owner[:, :, None] == owner[:, None, :])
    mask = (index[None, :] <= index[:, None])[None] & shared & valid[:, None, :]
    mask |= torch.eye(len(index), dtype=torch.bool, device=present.device)  # padding attends to itself, since no row may be empty
    cell = torch.arange(cells, device=present.device)
    zero = cell.new_zeros(clips, 1)
    width = grids[:, 1:]
    visual = [torch.ones_like(present, dtype=torch.long), 1 + cell // width, 1 + cell % width]
    text = 1 + grids.max(1, keepdim=True).values + offsets
    return mask[:, None], torch.stack([torch.cat([zero, part, text], dim=1) for part in visual])
