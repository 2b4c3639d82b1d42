"""Records of what replay drew, in real small runs: they say what a witness of every batch saw."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.test_train import small
from vlmrb.branching import branch
from vlmrb.errors import NotFoundError
from vlmrb.jobs import delete_run
from vlmrb.replay import ReplayBuffer, make_sampler
from vlmrb.store import Store
from vlmrb.train import resume, train
from vlmrb.train.ages import DrawnAges
from vlmrb.train.draws import CROSS_SECTION, RECORDS, DrawCounter
from vlmrb.types import DRAWN_AGES, MOST_DRAWN, Draws, ObservationSpec, Transition


@pytest.fixture
def store(tmp_path: Path):
    with Store(str(tmp_path / "store.db")) as opened:
        yield opened


@dataclass
class Witness:
    """Every item that any batch drew, with its |δ| and the steps done by then, as the buffer heard of it."""

    drawn: list[tuple[int, int, float]] = field(default_factory=list)

    def between(self, first: int, last: int) -> list[tuple[int, float]]:
        """Items drawn after step `first`, up to step `last`."""
        return [(item, error) for step, item, error in self.drawn if first < step <= last]


@pytest.fixture
def witness(monkeypatch) -> Witness:
    found = Witness()
    original = ReplayBuffer.update_priorities

    def watched(self: ReplayBuffer, item_ids: np.ndarray, feedback) -> None:
        errors = np.abs(feedback.td_errors.astype(float))
        found.drawn += [(self.next_item_id, item, error) for item, error in zip(item_ids.tolist(), errors.tolist(), strict=True)]
        original(self, item_ids, feedback)

    monkeypatch.setattr(ReplayBuffer, "update_priorities", watched)
    return found


def records(store: Store, run_id: int) -> list[Draws]:
    return [store.draws_near(run_id, step) for step in store.draw_steps(run_id)]


def clip_of_items(store: Store, run_id: int, by: int) -> dict[int, int]:
    """The clip of every item of a run with clips that do not overlap, of those that had closed by a step."""
    found = store.clips(run_id, limit=100_000)
    closed = [clip.clip_id for clip in found if clip.end_step < by and clip.closed_by != "interrupted"]  # those close at the end
    clips = store.load_clips(closed)
    return {item: clip.clip_id for clip in clips for item in clip.item_ids.tolist()}


METHODS = {
    "uniform": {"replay": "uniform", "scorer": None},
    "per": {"replay": "per", "scorer": None},
    "vlm": {"replay": "vlm", "lambda_warmup": 0.0},
}


@pytest.mark.parametrize("method", METHODS)
def test_a_record_says_which_clips_were_drawn_how_often_and_with_what_td_error(
    store: Store, witness: Witness, method: str
) -> None:
    run_id = train(small(**METHODS[method], sync_scoring=True, log_interval=200, total_steps=1_000), store=store).run_id
    found = records(store, run_id)
    assert [draws.step for draws in found] == list(range(400, 1_001, 200))  # learning begins at step 200
    for draws in found:
        seen = witness.between(draws.step - 200, draws.step)
        assert draws.drawn == len(seen) == 16 * draws.batches
        assert draws.td_error == pytest.approx(np.mean([error for _, error in seen]))
        clip_of = clip_of_items(store, run_id, draws.step)
        counts, errors = Counter[int](), defaultdict[int, list[float]](list)
        for item, error in seen:
            if item in clip_of:
                counts[clip_of[item]] += 1
                errors[clip_of[item]].append(error)
        assert draws.of_drawn.known == counts.total() and draws.clips == len(counts)
        assert draws.of_held.known == len(clip_of) and draws.held == draws.step
        assert draws.held_clips == len(set(clip_of.values()))
        assert MOST_DRAWN < len(draws.sample) <= MOST_DRAWN + CROSS_SECTION
        most = sorted(counts, key=lambda clip_id: (-counts[clip_id], clip_id))
        assert [clip.clip_id for clip in draws.sample] == [most[clip.rank - 1] for clip in draws.sample]
        assert [clip.rank for clip in draws.sample[:MOST_DRAWN]] == list(range(1, MOST_DRAWN + 1))
        for clip in draws.sample:
            assert clip.drawn == counts[clip.clip_id] and clip.held == store.clip(clip.clip_id).length
            assert clip.td_error == pytest.approx(np.mean(errors[clip.clip_id]))
        progress = {clip.clip_id for clip in store.clips(run_id, limit=100_000) if clip.progress}
        assert draws.of_drawn.progress == sum(counts[clip_id] for clip_id in progress)
        assert draws.of_held.progress == sum(clip_id in progress for clip_id in clip_of.values())
        if method == "vlm":
            assert draws.by_labels == pytest.approx(draws.drawn / 2, rel=0.25) and draws.of_drawn.yes >= draws.by_labels
        else:
            assert draws.by_labels is None


@pytest.mark.parametrize("method", METHODS)
def test_the_ages_of_drawn_items_are_logged_by_quarter_of_the_buffer(store: Store, witness: Witness, method: str) -> None:
    run_id = train(small(**METHODS[method], log_interval=200, buffer_size=600, total_steps=1_000), store=store).run_id
    curves = [store.metrics(run_id, name) for name in DRAWN_AGES]
    assert [steps.tolist() for steps, _ in curves] == [[400, 600, 800, 1_000]] * 4  # learning begins at step 200
    for at, step in enumerate((400, 600, 800, 1_000)):
        ages = [(by - 1 - item) / min(by, 600) for by, item, _ in witness.drawn if step - 200 < by <= step]
        quarters = np.histogram(ages, [0.0, 0.25, 0.5, 0.75, 1.0])[0]
        assert [values[at] for _, values in curves] == pytest.approx((quarters / len(ages)).tolist())


def test_quarters_of_ages_are_those_of_what_the_buffer_holds_at_the_time() -> None:
    sampler = make_sampler(small(replay="uniform"), 8)
    buffer = ReplayBuffer(8, ObservationSpec("vector", (1,), "float32"), sampler, np.random.default_rng(0))
    ages = DrawnAges(buffer)
    assert ages.take() == {}
    for count, drawn in ((4, [0, 1, 2, 3]), (12, [4, 5, 11, 11])):  # while it fills, and when items have been overwritten
        while buffer.next_item_id < count:
            no = np.zeros(1, bool)
            seen = np.zeros((1, 1), np.float32)
            buffer.add(Transition(seen, np.zeros(1, int), np.zeros(1, np.float32), seen, no, no))
        ages.count(np.array(drawn))
    assert list(ages.take().values()) == [3 / 8, 1 / 8, 1 / 8, 3 / 8]
    for _ in range(1_000):  # more than are counted together
        ages.count(np.array([11]))
    assert list(ages.take().values()) == [1.0, 0.0, 0.0, 0.0] and ages.take() == {}


def test_what_the_labels_chose_is_counted_apart_from_the_base(store: Store) -> None:
    run_id = train(small(lambda_max=1.0, lambda_warmup=0.0, sync_scoring=True, total_steps=800), store=store).run_id
    last = records(store, run_id)[-1]
    assert last.by_labels == last.drawn, "with λ = 1, every draw is chosen by a label"
    assert last.of_drawn.yes == last.of_drawn.known and last.of_held.yes < last.of_held.known
    assert all(clip.by_labels == clip.drawn for clip in last.sample)
    for clip in last.sample:
        score = store.clip(clip.clip_id).score
        assert score is not None and score.label


def test_a_clip_counts_once_where_clips_overlap(store: Store, witness: Witness) -> None:
    settings = {"replay": "uniform", "scorer": None, "clip_stride": 3, "total_steps": 800}
    run_id = train(small(**settings), store=store).run_id
    last = records(store, run_id)[-1]
    assert last.of_held.known <= last.held == 800
    seen = Counter(item for item, _ in witness.between(400, 800))
    first: dict[int, int] = {}
    for clip in store.load_clips([clip.clip_id for clip in store.clips(run_id, limit=100_000, order="oldest")]):
        for item in clip.item_ids.tolist():
            first.setdefault(item, clip.clip_id)
    for clip in last.sample:
        assert clip.drawn == sum(count for item, count in seen.items() if first[item] == clip.clip_id)


def test_items_that_have_been_overwritten_are_in_no_clip_of_the_buffer(store: Store, witness: Witness) -> None:
    run_id = train(small(replay="uniform", scorer=None, buffer_size=500, total_steps=1_200), store=store).run_id
    for draws in records(store, run_id):
        assert draws.held == min(draws.step, 500) and draws.of_held.known <= draws.held
        assert draws.of_drawn.known <= draws.drawn == len(witness.between(draws.step - 400, draws.step))
        assert all(0 <= clip.held <= 8 for clip in draws.sample)
        assert sum(clip.held for clip in draws.sample) <= draws.of_held.known


def test_training_is_the_same_without_records(store: Store, monkeypatch) -> None:
    config = small(sync_scoring=True, total_steps=800)
    first = train(config, store=store).run_id
    monkeypatch.setattr(DrawCounter, "count", lambda *_: None)
    second = train(config, store=store).run_id
    assert store.draw_steps(first) and not store.draw_steps(second)
    for name in ("train/td_loss", "train/mean_q", "eval/episodic_return"):
        np.testing.assert_array_equal(store.metrics(first, name), store.metrics(second, name))


def test_a_resumed_run_keeps_its_records_and_knows_the_clips_of_before(store: Store, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.02)

    def stop(step: int, total: int, figures: object) -> None:
        if step >= 700:
            store.request_change(1, "stop")

    config = small(sync_scoring=True, log_interval=200, total_steps=1_200)
    assert train(config, store=store, progress=stop).status == "stopped"
    stopped_at, before = store.run(1).step, records(store, 1)
    writer = store.writer(1)  # as if it had gone on for a while after the checkpoint, and then been killed
    writer.add_draws(Draws(stopped_at + 1, 1, 16, None, 0.5, 1, 1, 1, before[0].of_drawn, before[0].of_held, before[0].sample))
    writer.flush()
    assert resume(1, store=store).status == "finished"
    found = records(store, 1)
    assert found[: len(before)] == before
    assert [draws.step for draws in found] == list(range(400, 1_201, 200))
    for draws in found[len(before) :]:
        assert draws.step - 4 * 8 <= draws.of_held.known <= draws.step, "all but the open clips of four environments"
        assert draws.of_held.labelled == draws.of_held.known, "all of these clips have been scored"


def test_a_branch_draws_from_the_clips_of_its_parent_which_may_be_deleted(store: Store) -> None:
    config = small(replay="uniform", scorer=None, keep_checkpoints="every:800", total_steps=800)
    parent = train(config, store=store).run_id
    (child,) = branch(store, parent, 800, [{"replay": "vlm", "scorer": "oracle"}], [0], steps=800)
    resume(child, store=store)
    found = records(store, child)
    assert [draws.step for draws in found] == [1_200, 1_600]
    assert {store.clip(clip.clip_id).run_id for clip in found[0].sample} == {parent, child}
    assert found[0].of_held.labelled > 600, "the branch's scorer labelled the parent's clips"
    delete_run(store, parent)
    assert records(store, child) == found and store.check() == []


def test_a_run_that_keeps_no_clips_records_no_draws(store: Store) -> None:
    run_id = train(small(replay="uniform", scorer=None, keep_clips=False, total_steps=400), store=store).run_id
    assert store.draw_steps(run_id) == [] and store.runs_with_draws() == set()
    with pytest.raises(NotFoundError, match="run 1"):
        store.draws_near(run_id, 400)


@pytest.mark.parametrize(("total", "log", "interval"), [(1_600, 400, 400), (300_000, 2_000, 4_000), (10**7, 1, 100_000)])
def test_records_are_few_however_long_the_run(total: int, log: int, interval: int) -> None:
    config = small(total_steps=total, log_interval=log)
    buffer = ReplayBuffer.__new__(ReplayBuffer)
    buffer.capacity = 8
    assert DrawCounter(config, buffer).interval == interval and total / interval <= RECORDS
