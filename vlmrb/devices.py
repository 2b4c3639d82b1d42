"""Torch devices by name, which only exist on some machines."""

from __future__ import annotations

from typing import Any

from vlmrb.errors import ConfigError, shown


def pick_device(name: str, setting: str = "device") -> Any:
    """The `torch.device` of that name.

    Args:
        name: cpu, cuda, cuda:1, mps, …, or 'auto': cuda, else mps, else cpu.
        setting: what it was given as, for the message.

    Raises:
        ConfigError: this machine, or this torch, does not have it.
    """
    import torch

    available = ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    if name == "auto":
        return torch.device(available[0])
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        reason = shown(str(error).split("\n")[0], 200, str)
        raise ConfigError(f"{setting}: {name!r} cannot be used here ({reason}); available: {', '.join(available)}") from None
    return device
