"""Replay: the ring buffer, the methods that choose from it (`methods/`, one module each), and the registry of them."""

from vlmrb.replay.buffer import ReplayBuffer
from vlmrb.replay.hindsight import Hindsight
from vlmrb.replay.method import ReplayMethod
from vlmrb.replay.registry import bases, broken_methods, forget_methods, make_sampler, replay_method, replay_methods
from vlmrb.replay.sampling import Added, Parts, Sample, Sampler
from vlmrb.replay.words import HindsightInWords

__all__ = [
    "Added",
    "Hindsight",
    "HindsightInWords",
    "Parts",
    "ReplayBuffer",
    "ReplayMethod",
    "Sample",
    "Sampler",
    "bases",
    "broken_methods",
    "forget_methods",
    "make_sampler",
    "replay_method",
    "replay_methods",
]
