"""The rule of success: what counts at a step, and whether the last step decides or any."""

from __future__ import annotations

from typing import Any

import numpy as np

from vlmrb.errors import shown


def as_success(reported: Any) -> bool | None:
    """What an environment reported as a truth value: True, False, 0 or 1, also in an array of one element.

    None for anything else, such as NaN, 0.5, a text or a list: whether that is a success is unknown.
    """
    if isinstance(reported, bool | np.bool_):
        return bool(reported)
    try:
        given = np.asarray(reported)
    except Exception:  # noqa: BLE001  whatever an object that somebody reports does when it is looked at
        return None
    if given.size != 1 or given.dtype.kind not in "biuf" or given.item() not in (0, 1):
        return None
    return bool(given.item())


class SuccessRule:
    """Follows the episodes of one environment and says which are successes.

    A step is a success if the return so far is at least `success_return`. Without one, it is what the environment reports
    with the step, or else whether the return so far is at least the `registered` threshold. What is reported but is no truth
    value makes the episode unknown, unless another step that decides is a success.

    Args:
        own: what makes the environment report a success, in words.
        success_return: the user's threshold; None for the environment's own rule.
        success_step: 'last' if the last step of an episode decides; with 'any' one success is enough, whenever it came.
        registered: the environment's threshold; None for none.
    """

    def __init__(
        self, own: str, success_return: float | None = None, success_step: str = "last", registered: float | None = None
    ) -> None:
        self._reports = success_return is None
        self._threshold = registered if success_return is None else success_return
        self._any_step = success_step == "any"
        rule = own if success_return is None else f"a return of at least {success_return:g}"
        self.words = f"{rule} ({'at any step' if self._any_step else 'at the last step'} of the episode)"
        """The rule, for people."""
        self.notice = ""
        """What was reported that is no truth value, in words; '' if nothing was."""
        self.begin()

    def begin(self) -> None:
        """A new episode begins."""
        self._return = 0.0
        self._succeeded = self._denied = self._unusable = False
        self.came_now = False
        """Whether the step that was just seen made the episode a success."""

    def step(self, reported: Any, reward: float, ended: bool) -> bool | None:
        """See one step.

        Args:
            reported: what the environment said of success; None if nothing.
            reward: of the step.
            ended: whether the episode ended with it.

        Returns:
            Whether the episode is a success; None if that is unknown, or not known before its end.
        """
        self._return += reward
        self.came_now = False
        if not (ended or self._any_step):
            return None
        success = self._at_step(reported)
        self.came_now = success is True and not self._succeeded
        self._succeeded |= success is True
        self._denied |= success is False
        if self._succeeded:
            return True
        return False if ended and self._denied and not self._unusable else None

    def _at_step(self, reported: Any) -> bool | None:
        if reported is None or not self._reports:
            return None if self._threshold is None else self._return >= self._threshold
        success = as_success(reported)
        if success is None:
            self._unusable = True
            self.notice = self.notice or (
                f"the environment reported success as {shown(reported, form=str)}; allowed: True, False, 0 or 1. "
                "Such episodes count as unknown"
            )
        return success
