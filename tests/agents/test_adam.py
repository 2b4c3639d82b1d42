"""The optimiser against `torch.optim.Adam`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vlmrb.agents.adam import Adam


def networks() -> tuple[torch.nn.Module, torch.nn.Module]:
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Linear(7, 2)) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def step_both(ours: Adam, theirs: torch.optim.Adam, pair: tuple[torch.nn.Module, torch.nn.Module], count: int) -> None:
    for _ in range(count):
        data = torch.randn(16, 5)
        ours.descend(pair[0](data).square().mean())
        theirs.zero_grad()
        pair[1](data).square().mean().backward()
        theirs.step()
    for a, b in zip(pair[0].parameters(), pair[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_every_step_is_that_of_torch_bit_for_bit() -> None:
    pair = networks()
    step_both(Adam(pair[0].parameters(), 1e-3), torch.optim.Adam(pair[1].parameters(), lr=1e-3, fused=True), pair, 20)


@pytest.mark.parametrize("before", [0, 5])
def test_it_goes_on_from_a_state_that_torch_or_it_has_written(before: int) -> None:
    pair = networks()
    theirs = torch.optim.Adam(pair[1].parameters(), lr=1e-3, fused=True)
    ours = Adam(pair[0].parameters(), 1e-3)
    step_both(ours, theirs, pair, before)
    for torch_has_written in (True, False):
        state = theirs.state_dict() if torch_has_written else ours.state_dict()
        ours = Adam(pair[0].parameters(), 1e-3)
        ours.load_state_dict(state)
        step_both(ours, theirs, pair, 3)


def test_a_state_of_other_parameters_is_refused() -> None:
    ours, _ = networks()
    optimizer = Adam(ours.parameters(), 1e-3)
    other = Adam([torch.zeros(3, requires_grad=True)], 1e-3)
    with pytest.raises((KeyError, RuntimeError)):
        optimizer.load_state_dict(other.state_dict())


def test_the_gradient_of_an_output_can_be_given() -> None:
    ours, theirs = networks()
    data = torch.randn(16, 5)
    values = ours(data)
    Adam(ours.parameters(), 1e-3).descend(values, 2 * values.detach() / values.numel())
    Adam(theirs.parameters(), 1e-3).descend(theirs(data).square().mean())
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_run_does_not_import_the_compiler_of_torch(tmp_path: Path) -> None:
    """That would take a third more processor time before the first step."""
    code = (
        "import sys\nfrom vlmrb.config import make_config\nfrom vlmrb.store import Store\nfrom vlmrb.train import train\n"
        "settings = dict(total_steps=200, learning_starts=50, eval_interval=200, eval_episodes=1, n_envs=2, hidden_size=16)\n"
        "train(make_config(env='DoorKey-5x5', replay='uniform', **settings), store=Store(sys.argv[1]))\n"
        "print('torch._dynamo' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.db")], capture_output=True, text=True, check=True)
    assert told.stdout.split()[-1] == "False"
