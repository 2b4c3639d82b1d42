"""Adam (Kingma and Ba, arXiv 1412.6980) without what `torch.optim.Adam` has around PyTorch's own fused kernel.

Making a `torch.optim` optimizer imports PyTorch's compiler, a quarter of the processor time that a run takes to start, and its
`step` does much besides the arithmetic, which is the same here. So is the layout of the state.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Adam:
    """The optimiser of some parameters, with PyTorch's defaults for all but the learning rate.

    Args:
        parameters: float32 leaves that require gradients, on one device.
        lr: learning rate, above 0.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        self.parameters = list(parameters)
        self._lr = lr
        self._means = [torch.zeros_like(each, requires_grad=False) for each in self.parameters]
        self._squares = [torch.zeros_like(each, requires_grad=False) for each in self.parameters]
        self._steps = [torch.zeros((), dtype=torch.float32, device=each.device) for each in self.parameters]

    def descend(self, output: Tensor, gradient: Tensor | None = None) -> None:
        """One gradient step.

        Args:
            output: the loss, or what it depends on. All parameters must contribute to it.
            gradient: of the loss by `output`, if that is not the loss itself.
        """
        for parameter in self.parameters:
            parameter.grad = None
        output.backward(gradient)  # type: ignore[no-untyped-call]
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        with torch.no_grad():
            adam(
                self.parameters,
                gradients,
                self._means,
                self._squares,
                [],
                self._steps,
                fused=True,
                amsgrad=False,
                beta1=BETAS[0],
                beta2=BETAS[1],
                lr=self._lr,
                weight_decay=0.0,
                eps=EPSILON,
                maximize=False,
            )

    def state_dict(self) -> dict[str, Any]:
        """State by the parameter's index, as `torch.optim.Adam` names it."""
        states = zip(self._steps, self._means, self._squares, strict=True)
        return {"state": {i: {"step": step, "exp_avg": m, "exp_avg_sq": v} for i, (step, m, v) in enumerate(states)}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore, also from what `torch.optim.Adam` has written, which has no state before its first step.

        Raises:
            KeyError, RuntimeError: it is of other parameters.
        """
        for i in range(len(self.parameters)) if state["state"] else ():
            found = state["state"][i]
            for ours, name in ((self._steps, "step"), (self._means, "exp_avg"), (self._squares, "exp_avg_sq")):
                ours[i].copy_(found[name])
