"""Agents: one readable file per algorithm. Torch is imported when an agent is created."""

from __future__ import annotations

from vlmrb.agents.base import Agent, check_agent, make_agent
from vlmrb.agents.exploration import Exploration

__all__ = ["Agent", "Exploration", "check_agent", "make_agent"]
