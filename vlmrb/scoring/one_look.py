"""Several questions about the same frames, which are prepared, go through the vision tower, and are read only once.

The models of `transformers` have methods that compute visual features, whose results are kept for the next question. The text
model reads what comes before a question once, and its keys and values serve all questions (`SharedReading`). A model without such
methods, or such a cache, does the work again for each question, and its answers are the same.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_PREPARE = "preprocess"  # of image and video processors
_SEE = ("get_image_features", "get_video_features")  # of models


@contextmanager
def one_look(processor: Any, network: Any) -> Iterator[Callable[[], None]]:
    """Within this context, only the first pass over the frames prepares and sees them; later passes get the same results.

    Args:
        processor: of the model; its image or video processor prepares the frames.
        network: the model.

    Yields:
        A function to call before each pass. All passes must show the same frames.
    """
    kept: list[tuple[Any, str, _Remembered]] = []
    parts = [getattr(processor, name, None) for name in ("image_processor", "video_processor")]
    for owner, name in [*((part, _PREPARE) for part in parts), *((part, name) for part in network.modules() for name in _SEE)]:
        if hasattr(type(owner), name) and callable(call := getattr(owner, name)):  # a module takes long to say that it has none
            kept.append((owner, name, _Remembered(call)))

    def rewind() -> None:
        for _, _, remembered in kept:
            remembered.rewind()

    try:
        for owner, name, remembered in kept:
            setattr(owner, name, remembered)
        yield rewind
    finally:
        for owner, name, _ in kept:
            delattr(owner, name)


class _Remembered:
    """A function whose nth call of a pass returns the result of the nth call of the first pass."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self._results: list[Any] = []
        self._next = 0

    def rewind(self) -> None:
        """Start the next pass."""
        self._next = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._next == len(self._results):
            self._results.append(self._call(*args, **kwargs))
        self._next += 1
        return copy.copy(self._results[self._next - 1])  # callers take entries out


class SharedReading:
    """Reads the tokens that several prompts begin with once, and then what follows in each of them.

    Only a cache that keeps every token's keys and values can go back to where the prompts part, so others are not used. That the
    logits are those of reading each prompt from its start is checked on the first batch, since models may count positions in ways
    of their own.

    Args:
        network: the model; it is not kept.

    Attributes:
        is_tried: the first batch has been read.
        works: prompts can share their beginnings, as far as is known.
    """

    def __init__(self, network: Any) -> None:
        names = inspect.signature(network.forward).parameters
        self._cache = next((name for name in ("cache", "past_key_values") if name in names), "")
        self._options = {"logits_to_keep": 1} if "logits_to_keep" in names else {}
        self.is_tried = False
        self.works = bool(self._cache)

    def logits(self, network: Any, prompts: Sequence[Mapping[str, Any]]) -> list[Tensor] | None:
        """Logits [B, V] after each prompt, or None if they cannot share their beginnings.

        Args:
            network: the model.
            prompts: its inputs for each, of the same B clips; only the first needs more than tokens and their mask.
        """
        shared = _shared_tokens(prompts)
        if not shared:
            return None
        first = network(**prompts[0], **self._options, use_cache=True)
        cache: Any = getattr(first, self._cache, None)
        if not _keeps_all(cache):
            self.works = False
            return None
        found = [first.logits[:, -1]]
        for prompt in prompts[1:]:
            cache.crop(shared - cache.get_seq_length())  # a negative number: how many tokens to forget
            rest = network(input_ids=prompt["input_ids"][:, shared:], **{self._cache: cache}, **self._options, use_cache=True)
            found.append(rest.logits[:, -1])
        return found

    def compare(self, shared: Sequence[Tensor], apart: Sequence[Tensor]) -> None:
        """Decide by the first batch whether prompts may share their beginnings: logits must agree as far as numbers are exact."""
        import torch

        tolerance = max(1e-4, 4 * torch.finfo(shared[0].dtype).eps)  # relative
        self.works = all(
            bool((one - other).abs().max() <= tolerance * other.abs().max()) for one, other in zip(shared, apart, strict=True)
        )
        self.is_tried = True


def _shared_tokens(prompts: Sequence[Mapping[str, Any]]) -> int:
    """How many tokens all prompts begin with, at least one fewer than the shortest has; 0 if a row is padded."""
    if any(not bool(prompt["attention_mask"].all()) for prompt in prompts):
        return 0
    tokens = [prompt["input_ids"] for prompt in prompts]
    shortest = min(each.shape[1] for each in tokens) - 1
    agree = tokens[0].new_ones(shortest, dtype=bool)
    for each in tokens[1:]:
        agree &= (each[:, :shortest] == tokens[0][:, :shortest]).all(0)
    return int(agree.int().cumprod(0).sum())


def _keeps_all(cache: Any) -> bool:
    """Whether a cache consists of layers that keep all tokens; a window or a recurrent state cannot go back."""
    layers = getattr(cache, "layers", None) or ()
    return bool(layers) and all(type(layer).__name__ == "DynamicLayer" for layer in layers)
