"""Runs that train until they are stopped, and do all that a run does all the time."""

from __future__ import annotations

from vlmrb.config import make_config
from vlmrb.store import Store
from vlmrb.train import create_run


def endless_run(store: Store) -> int:
    """A run that evaluates, writes checkpoints and scores clips all the time."""
    config = make_config(
        env="DoorKey-5x5",
        scorer="oracle",
        total_steps=10**7,
        n_envs=4,
        learning_starts=200,
        batch_size=16,
        hidden_size=16,
        clip_length=8,
        eval_interval=400,
        eval_episodes=2,
        log_interval=100,
        checkpoint_interval=200,
        buffer_size=2_000,
    )
    return create_run(config, store=store)


def assert_whole(store: Store, run_id: int, eval_interval: int = 400) -> None:
    """Every step is in exactly one clip, every clip has its frames, and no evaluation is missing or doubled."""
    run, covered = store.run(run_id), []
    for summary in store.clips(run_id, limit=10**6, order="oldest"):
        clip = store.load_clip(summary.clip_id)
        assert len(clip.snapshots) == len(clip) == summary.length
        covered += clip.item_ids.tolist()
    assert sorted(covered) == list(range(run.step))
    steps, _ = store.metrics(run_id, "eval/success_rate")
    found, expected = steps.tolist(), list(range(eval_interval, run.step + 1, eval_interval))
    if expected and expected[-1] == run.step and found == expected[:-1]:
        return  # the stop came during this evaluation, which is made up for on resume
    assert found == expected, (found, run.step)
