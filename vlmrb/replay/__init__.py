"""Replay: the ring buffer and the samplers that choose from it."""

from vlmrb.replay.buffer import ReplayBuffer
from vlmrb.replay.samplers import Chances, MixtureSampler, PrioritizedSampler, Sample, Sampler, UniformSampler

__all__ = ["Chances", "MixtureSampler", "PrioritizedSampler", "ReplayBuffer", "Sample", "Sampler", "UniformSampler"]
