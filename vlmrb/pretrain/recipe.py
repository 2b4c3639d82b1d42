"""The whole recipe: from a seed to the folder of an embedded model, resumable and deterministic on a CPU.

Training has three stages: *see* (the vision tower alone: what happens to each patch), *read* (the text model alone: short
questions, about small worlds where there are any) and *answer* (everything together: questions as people ask them). From an
earlier model on it is the last one, after a while (*heads*) in which the tower's heads are learnt anew.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vlmrb.checkpoint import latest_step, load_checkpoint, save_checkpoint
from vlmrb.devices import pick_device
from vlmrb.errors import CheckpointError, ConfigError
from vlmrb.pretrain.batches import BatchMaker, BatchOrder, BatchStream, PackedBatch
from vlmrb.pretrain.model import EarlierModel, ModelShape, build_model, build_tokenizer, load_earlier, save_folder
from vlmrb.pretrain.suites import suite_of

SEE_UNTIL, READ_UNTIL = 0.35, 0.6
"""Shares of the training at which the next stage begins."""

RATE, FURTHER_RATE = 2e-3, 1e-3
"""Peak learning rates: from scratch, and from an earlier model."""

HEADS_UNTIL = 0.08
"""Share of a training from an earlier model in which only the vision tower's heads learn, which no model folder keeps."""

Stage = Literal["heads", "see", "read", "answer"]

CHECKPOINTS = "training"  # folder in the model's folder
_RECIPE = "recipe.json"  # in the same folder: the recipe of this training
_DATA = "data"  # in the same folder: what the suite needs
_WARM_UP = 0.02
_CHECKPOINT_EVERY_S = 120.0
_MAX_NORM = 1.0
_SEE_WEIGHT = 0.05  # of the first stage's loss in the last one: enough not to forget, while the answers count most


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that determines the model.

    Attributes:
        clips: total number to train on; None if `hours` is given.
        hours: of training, not counting interruptions; None if `clips` is given.
        seed: of the weights, the clips and the questions.
        batch: clips per step.
        questions: maximum per clip; twice as many in the stage with short ones.
        learning_rate: the peak; None for RATE, or for FURTHER_RATE from an earlier model.
        suite: name of the worlds to learn about.
        shape: sizes of the model; None for the suite's own.
        start: folder of an earlier model whose weights are trained further, in the last stage alone; '' for none.
    """

    clips: int | None = None
    hours: float | None = None
    seed: int = 0
    batch: int = 16
    questions: int = 6
    learning_rate: float | None = None
    suite: str = "grids"
    shape: ModelShape | None = None
    start: str = ""

    def __post_init__(self) -> None:
        suite_of(self.suite)
        if (self.clips is None) == (self.hours is None):
            raise ConfigError("pretrain: give exactly one of --clips and --hours")
        if self.clips is not None and self.clips < self.batch:
            raise ConfigError(f"pretrain: --clips {self.clips} must be at least {self.batch}, the size of a batch")
        if self.hours is not None and not 0 < self.hours <= 1000:
            raise ConfigError(f"pretrain: --hours {self.hours:g} must be above 0 and at most 1000")

    @property
    def peak(self) -> float:
        """The peak of the learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        return FURTHER_RATE if self.start else RATE

    @property
    def model_shape(self) -> ModelShape:
        """The sizes that the model gets."""
        return self.shape or suite_of(self.suite).shape


@dataclass(frozen=True, slots=True)
class PretrainProgress:
    """How far the training has come; losses and shares are means over the batches since the last report.

    Attributes:
        share: how much is done, in [0, 1].
        clips: trained on so far.
        see, read, answer: losses; NaN in stages without them.
        seen: share of the things recognised.
        right: share of correct answers; NaN in the first stage.
        clips_per_second: since the last report.
    """

    share: float
    clips: int
    see: float
    read: float
    answer: float
    seen: float
    right: float
    clips_per_second: float


def pretrain(
    recipe: Recipe,
    out: Path,
    *,
    device: str = "auto",
    workers: int = 1,
    resume: bool = False,
    report: Callable[[PretrainProgress], None] = lambda _: None,
    report_every: int = 10,
    report_data: Callable[[float], None] = lambda _: None,
) -> None:
    """Train a model from scratch and write its folder.

    Args:
        recipe: what to do; when resuming, the same as before.
        out: the model's folder; its subfolder 'training' holds the checkpoint until training is done.
        device: torch device, or 'auto': cuda, else cpu.
        workers: processes that make clips; with 0, the training process makes them itself.
        resume: continue from the checkpoint.
        report: gets the progress every `report_every` batches and at the end.
        report_data: gets the share of the data that exists, in [0, 1].

    Raises:
        ConfigError: `out` already holds a model or a training and `resume` is not set, or the device does not exist.
        CheckpointError: there is nothing to resume, or it belongs to another recipe.
    """
    import torch

    checkpoints = out / CHECKPOINTS
    picked = pick_device(device)
    if resume:
        _check_begun(recipe, checkpoints)
    begun = latest_step(checkpoints) is not None
    earlier = load_earlier(Path(recipe.start), recipe.model_shape) if recipe.start and not begun else None
    if not resume:
        _begin(recipe, out, checkpoints)
    data, suite = checkpoints / _DATA, suite_of(recipe.suite)
    suite.prepare(data, recipe.seed, workers, report_data)
    training = _Training(recipe, picked, data, earlier)
    if begun:
        training.load(checkpoints)
    torch.set_flush_denormal(True)  # CPUs are several times slower with denormal numbers
    try:
        _go_through(training, checkpoints, data, workers, report, report_every)
    finally:
        torch.set_flush_denormal(False)
    report(training.report())
    training.write_model(out)
    shutil.rmtree(checkpoints)


def _go_through(
    training: _Training,
    checkpoints: Path,
    data: Path,
    workers: int,
    report: Callable[[PretrainProgress], None],
    report_every: int,
) -> None:
    """Train on every remaining batch; save a checkpoint now and then, at the end, and on an interrupt."""
    saved_at = time.monotonic()
    try:
        with BatchStream(training.next_order, partial(_make_maker, training.recipe.suite, data), workers) as stream:
            for batch in stream:
                training.learn(batch)
                if training.batches % report_every == 0:
                    report(training.report())
                if time.monotonic() - saved_at > _CHECKPOINT_EVERY_S:
                    training.save(checkpoints)
                    saved_at = time.monotonic()
    except KeyboardInterrupt:
        training.save(checkpoints)
        raise
    training.save(checkpoints)


def _begin(recipe: Recipe, out: Path, checkpoints: Path) -> None:
    """Record the recipe in a folder that is free."""
    if (out / "config.json").exists() or (checkpoints / _RECIPE).exists():
        raise ConfigError(f"pretrain: {out} already holds a model or an unfinished training; choose another --out, or --resume")
    checkpoints.mkdir(parents=True, exist_ok=True)
    (checkpoints / _RECIPE).write_text(json.dumps(asdict(recipe)), encoding="utf-8")


def _check_begun(recipe: Recipe, checkpoints: Path) -> None:
    try:
        begun = json.loads((checkpoints / _RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise CheckpointError(f"{checkpoints} holds no checkpoint to resume; start without --resume") from None
    if begun != asdict(recipe):
        raise CheckpointError(f"{checkpoints} holds a training with another recipe: {begun}; resume it with the same options")


def _make_maker(suite: str, data: Path) -> BatchMaker:
    return BatchMaker(suite_of(suite).make_source(data), suite_of(suite).catalogue)


class _Training:
    """The state of a training and its steps."""

    def __init__(self, recipe: Recipe, device: Any, data: Path, earlier: EarlierModel | None) -> None:
        import torch

        from vlmrb.pretrain.learner import Learner

        self.recipe, self.device = recipe, device
        torch.manual_seed(recipe.seed)
        self._suite, self._shape = suite_of(recipe.suite), recipe.model_shape
        catalogue = self._suite.catalogue
        self._tokenizer = build_tokenizer(catalogue.vocabulary())
        yes, no = self._tokenizer.convert_tokens_to_ids(["yes", "no"])
        model = build_model(len(self._tokenizer), self._shape)
        eye = self._suite.make_eye(data, self._shape)
        if earlier is not None:
            eye.take_over(earlier.give_to(model, self._tokenizer, self._shape.frames))
        self.learner = Learner(model, self._shape, yes, no, eye, catalogue.rates).to(device)
        learnt = [weight for weight in self.learner.parameters() if weight.requires_grad]
        decayed, rest = [weight for weight in learnt if weight.ndim > 1], [weight for weight in learnt if weight.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.02}, {"params": rest, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(groups, lr=recipe.peak, betas=(0.9, 0.98))
        self.batches = self._ordered = 0
        self._seconds, self._since = 0.0, time.monotonic()
        self._recent: list[tuple[float, ...]] = []
        self._reported_at = self._since

    def share(self, batches: int) -> float:
        """The share of the training before this batch, in [0, 1]."""
        if self.recipe.clips is not None:
            return min(1.0, batches * self.recipe.batch / self.recipe.clips)
        return min(1.0, self._elapsed() / (3600 * (self.recipe.hours or 1.0)))

    def next_order(self) -> BatchOrder | None:
        """The next batch to make, or None at the end."""
        share = self.share(self._ordered)
        if share >= 1.0:
            return None
        order = order_at(self.recipe, self._ordered, share)
        self._ordered += 1
        return order

    def learn(self, batch: PackedBatch) -> None:
        """One gradient step on the losses of the current stage."""
        import torch

        share = self.share(self.batches)
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.peak * _rate(self.recipe, share)
        stage = stage_at(self.recipe, share)
        losses = self.learner.losses(batch, self.device, vision=stage in ("see", "answer"), heads=stage != "read")
        weight = {"heads": 1.0, "see": 1.0, "read": 0.0, "answer": _SEE_WEIGHT}[stage]
        total = losses.answer + losses.read + weight * losses.see
        if total.requires_grad:  # else there was nothing to ask about these clips, and only questions are learnt
            self._optimizer.zero_grad(set_to_none=True)
            total.backward()
            torch.nn.utils.clip_grad_norm_(self.learner.parameters(), _MAX_NORM)
            self._optimizer.step()
        self.batches += 1
        read, answer = (math.nan if math.isnan(losses.right) else float(loss.detach()) for loss in (losses.read, losses.answer))
        self._recent.append((float(losses.see.detach()), read, answer, losses.seen, losses.right))

    def report(self) -> PretrainProgress:
        """Means since the last report."""
        now = time.monotonic()
        figures = np.array(self._recent or [(math.nan,) * 5])
        known = ~np.isnan(figures)
        sums = np.where(known, figures, 0.0).sum(0)
        means = [float(total / count) if count else math.nan for total, count in zip(sums, known.sum(0), strict=True)]
        rate = len(self._recent) * self.recipe.batch / max(1e-9, now - self._reported_at)
        self._recent, self._reported_at = [], now
        clips = self.batches * self.recipe.batch
        see, read, answer, seen, right = means
        return PretrainProgress(self.share(self.batches), clips, see, read, answer, seen, right, rate)

    def write_model(self, folder: Path) -> None:
        """Write the model's folder with its card."""
        model = self.learner.to("cpu").finish()
        catalogue = self._suite.catalogue
        questions = catalogue.plain_questions()
        save_folder(folder, model.half(), self._tokenizer, self._shape, questions, self._suite.pictures)
        card = self._suite.card.text(
            clips=self.batches * self.recipe.batch,
            seed=self.recipe.seed,
            parameters=sum(weight.numel() for weight in model.parameters()),
            frames=self._shape.frames,
            patch=self._shape.patch,
            words=len(catalogue.vocabulary()),
            questions=len(questions),
            further=bool(self.recipe.start),
        )
        (folder / "README.md").write_text(card, encoding="utf-8")

    def save(self, folder: Path) -> None:
        """Write a checkpoint."""
        state = {"batches": self.batches, "seconds": self._elapsed()}
        tensors = {"learner": self.learner.state_dict(), "optimizer": self._optimizer.state_dict()}
        save_checkpoint(folder, self.batches, state, tensors, {})

    def load(self, folder: Path) -> None:
        """Restore the newest whole checkpoint, which must be of this recipe."""
        notes: list[str] = []
        loaded = load_checkpoint(folder, notes.append)
        if loaded is None:
            raise CheckpointError(f"no whole checkpoint is left: {'; '.join(notes)}. Start over with another --out")
        state, tensors, _ = loaded
        self.learner.load_state_dict(tensors["learner"])
        self._optimizer.load_state_dict(tensors["optimizer"])
        self.batches = self._ordered = int(state["batches"])
        self._seconds = float(state["seconds"])

    def _elapsed(self) -> float:
        return self._seconds + time.monotonic() - self._since


def stage_at(recipe: Recipe, share: float) -> Stage:
    """The stage after this share of the training."""
    if recipe.start:
        return "heads" if share < HEADS_UNTIL else "answer"
    return "see" if share < SEE_UNTIL else "read" if share < READ_UNTIL else "answer"


def order_at(recipe: Recipe, index: int, share: float) -> BatchOrder:
    """What the batch of this number contains; no questions before there is something to learn from them."""
    stage = stage_at(recipe, share)
    questions = {"heads": 0, "see": 0, "read": 2 * recipe.questions, "answer": recipe.questions}[stage]
    return BatchOrder(recipe.seed, index, recipe.batch, recipe.model_shape.frames, questions, plain=stage == "read")


def _rate(recipe: Recipe, share: float) -> float:
    """The learning rate as a share of its peak: a cosine, with linear warm-ups at the start and with the first questions."""
    asked = HEADS_UNTIL if recipe.start else SEE_UNTIL
    begun = min((share - begin for begin in (0.0, asked) if share >= begin), default=0.0)
    return max(0.01, min(1.0, begun / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * share)))
