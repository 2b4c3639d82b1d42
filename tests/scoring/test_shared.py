"""A shared scorer: what is sent is checked, clients take turns, and the answers are those of the model itself."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from tests.doorkey import record_clips
from vlmrb.__main__ import main
from vlmrb.config import make_config
from vlmrb.envs.rendering import MiniGridRenderer
from vlmrb.errors import ConfigError, ScorerError, ScorerSetupError, ScorerUnavailableError
from vlmrb.scoring import Asker, ScorerOptions, check_scorer, make_scorer, picture_notice, prompt_notice, wire
from vlmrb.scoring.serving import check_address
from vlmrb.scoring.shared import SharedScorer, health
from vlmrb.scoring.sharing import SharedBatches, Whose
from vlmrb.scoring.wire import Asked, WireError, pack_reply, pack_request, unpack_reply, unpack_request
from vlmrb.scoring.worker import make_request
from vlmrb.scoring.yes_no import Answer
from vlmrb.store import Store
from vlmrb.train import train
from vlmrb.types import Clip, ClipScore, Prompt, ScoringRequest

SET = "mean of\n- [2] Does the agent open a door?\n- Does the agent pick up a key?"


def request(number: int = 0, *, frames: int = 3, side: int = 4, transcript: str = "") -> ScoringRequest:
    clip = Clip(number, 0, 0, np.arange(5), np.zeros((5, 1), np.uint8), np.zeros(5, np.float32), (), "length")
    rng = np.random.default_rng(number)
    pictures = rng.integers(0, 256, (frames, side, side, 3)).astype(np.uint8)
    return ScoringRequest(clip, pictures, tuple(range(frames)), transcript)


# -- the wire


def test_a_request_and_a_reply_arrive_as_they_were_sent() -> None:
    sent = [request(1), request(2, frames=2, side=6), request(3, frames=0, side=0, transcript="step 1: λ")]
    got = unpack_request(pack_request(sent, ("A?", "B?")))
    assert got.questions == ("A?", "B?")
    for ours, theirs in zip(sent, got.requests, strict=True):
        np.testing.assert_array_equal(ours.frames, theirs.frames)
        assert (ours.frame_indices, ours.transcript, len(ours.clip)) == (
            theirs.frame_indices,
            theirs.transcript,
            len(theirs.clip),
        )
    answers = [[Answer(0.25, -1.5, 2.0), Answer(None, None, None, "why not")]]
    reply = json.loads(json.dumps(pack_reply(answers, "r1")))
    assert unpack_reply(reply, 1, 2) == (answers, "r1")
    assert unpack_reply(pack_reply([[Answer(0.5, float("inf"), 1.0)]], ""), 1, 1)[0] == [[Answer(0.5, None, 1.0)]]


@pytest.mark.parametrize("shape", [(4, 64, 96, 3), (3, 48, 16, 3), (2, 24, 8, 3), (2, 30, 32, 3), (1, 32, 32, 3), (0, 0, 0, 3)])
def test_frames_that_repeat_themselves_are_sent_in_squares_and_arrive_whole(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    plain, noise = np.full(shape, 7, np.uint8), rng.integers(0, 256, shape).astype(np.uint8)
    moving = plain.copy()
    moving[..., :8, :8, :] = noise[..., :8, :8, :]
    sizes = []
    for frames in (plain, moving, noise):
        sent = replace(request(frames=0), frames=frames, frame_indices=tuple(range(len(frames))))
        body = pack_request([sent], ("A?",))
        np.testing.assert_array_equal(np.asarray(unpack_request(body).requests[0].frames), frames)
        sizes.append(len(body))
    assert sizes[0] <= sizes[1] <= sizes[2] and sizes[2] < noise.nbytes + 1_000


def test_few_squares_do_not_become_more_pictures_than_fit() -> None:
    index, few = np.zeros((256, 32, 32), np.uint32), np.zeros((256, 2, 2), np.uint32)
    block = np.zeros((1, 32, 32, 3), np.uint8)
    many = {f"{number}.{name}": each for number in range(2) for name, each in (("blocks", block), ("index", index))}
    clip = CLIP | {"length": 256, "indices": list(range(256))}
    with pytest.raises(WireError, match="together"):
        unpack_request(packed({"clips": [clip, clip], "questions": ["A?"]}, **many))
    for wrong in (
        {"0.blocks": block, "0.index": few + 1}, {"0.blocks": block[:0], "0.index": few}, {"0.blocks": block},
        {"0.blocks": block, "0.index": few.astype(np.int64)}, {"0.blocks": block[:, :5], "0.index": few},
        {"0.blocks": block, "0.index": np.zeros((2, 33, 1), np.uint32)}, {"0.blocks": block[0], "0.index": few},
    ):  # fmt: skip
        with pytest.raises(WireError, match="clip 0"):
            unpack_request(packed({"clips": [clip], "questions": ["A?"]}, **wrong))


def packed(ask: object, **frames: np.ndarray) -> bytes:
    if isinstance(ask, dict):
        ask = {"protocol": wire.PROTOCOL, "pictures": ""} | ask
    return save(frames, {"ask": ask if isinstance(ask, str) else json.dumps(ask)})


CLIP = {"length": 5, "indices": [0, 1, 2], "transcript": ""}
FRAMES = np.zeros((3, 4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff" * 64,
        b"{}",
        (2**63).to_bytes(8, "little") + b"{}",
        save({"0": FRAMES}),
        packed("no JSON", **{"0": FRAMES}),
        packed([], **{"0": FRAMES}),
        packed({"clips": [CLIP], "questions": ["A?"], "protocol": 1}, **{"0": FRAMES}),
        packed({"clips": [CLIP], "questions": ["A?"], "pictures": 3}, **{"0": FRAMES}),
        packed({"clips": [CLIP], "questions": []}, **{"0": FRAMES}),
        packed({"clips": [CLIP], "questions": [""]}, **{"0": FRAMES}),
        packed({"clips": [CLIP], "questions": [3]}, **{"0": FRAMES}),
        packed({"clips": [CLIP], "questions": ["A?"] * 65}, **{"0": FRAMES}),
        packed({"clips": [], "questions": ["A?"]}),
        packed({"clips": [CLIP] * 65, "questions": ["A?"]}, **{str(n): FRAMES for n in range(65)}),
        packed({"clips": [CLIP], "questions": ["A?"]}, other=FRAMES),
        packed({"clips": [CLIP, CLIP], "questions": ["A?"]}, **{"0": FRAMES}),
        packed({"clips": [CLIP], "questions": ["A?"]}, **{"0": FRAMES.astype(np.float32)}),
        packed({"clips": [CLIP], "questions": ["A?"]}, **{"0": FRAMES[..., :1]}),
        packed({"clips": [CLIP], "questions": ["A?"]}, **{"0": FRAMES[0]}),
        packed({"clips": [CLIP], "questions": ["A?"]}, **{"0": np.zeros((3, 2, 1025, 3), np.uint8)}),
        packed({"clips": [CLIP], "questions": ["A?"]}, **{"0": np.zeros((3, 0, 4, 3), np.uint8)}),
        packed({"clips": [CLIP | {"indices": [0, 1]}], "questions": ["A?"]}, **{"0": FRAMES}),
        packed({"clips": [CLIP | {"indices": [2, 1, 0]}], "questions": ["A?"]}, **{"0": FRAMES}),
        packed({"clips": [CLIP | {"indices": [0, 1, 5]}], "questions": ["A?"]}, **{"0": FRAMES}),
        packed({"clips": [CLIP | {"indices": [0, 1, "2"]}], "questions": ["A?"]}, **{"0": FRAMES}),
        packed({"clips": [CLIP | {"length": 10**9}], "questions": ["A?"]}, **{"0": FRAMES}),
        packed({"clips": [CLIP | {"length": True}], "questions": ["A?"]}, **{"0": FRAMES}),
        packed({"clips": [CLIP | {"transcript": 5}], "questions": ["A?"]}, **{"0": FRAMES}),
        packed({"clips": [7], "questions": ["A?"]}, **{"0": FRAMES}),
    ],
)
def test_what_is_no_request_is_refused_in_words(body: bytes) -> None:
    with pytest.raises(WireError, match=r"\w{3}"):
        unpack_request(body)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_request_is_refused_or_read_whole(data: st.DataObject) -> None:
    body = bytearray(pack_request([request(1), request(2)], ("A?",)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] ^= data.draw(st.integers(1, 255))
    try:
        got = unpack_request(bytes(body[: data.draw(st.integers(0, len(body)))] if data.draw(st.booleans()) else body))
    except WireError:
        return
    assert all(each.frames.dtype == np.uint8 and len(each.frames) == len(each.frame_indices) for each in got.requests)


@pytest.mark.parametrize(
    "reply",
    [
        None, [], {}, {"revision": "r", "answers": []}, {"revision": 1, "answers": [[[0.5, 1, 1, ""]]]},
        {"revision": "r", "answers": [[[1.5, 1, 1, ""]]]}, {"revision": "r", "answers": [[[float("nan"), 1, 1, ""]]]},
        {"revision": "r", "answers": [[[True, 1, 1, ""]]]}, {"revision": "r", "answers": [[[0.5, "1", 1, ""]]]},
        {"revision": "r", "answers": [[[0.5, 1, 1]]]}, {"revision": "r", "answers": [[[0.5, 1, 1, ""]] * 2]},
        {"revision": "r", "answers": [[[0.5, 1, 1, None]]]}, {"revision": "r", "answers": "x"},
    ],
)  # fmt: skip
def test_a_reply_that_answers_something_else_is_an_error(reply: object) -> None:
    with pytest.raises(WireError, match="one answer per clip and question"):
        unpack_reply(reply, 1, 1)


# -- common batches


class Model:
    """Answers with a clip's first pixel; what it is called with is kept."""

    frames_per_clip, revision = 3, "r1"

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.gate = threading.Event()
        self.closed = False

    def score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
        self.gate.wait(10)
        self.calls.append([int(each.frames[0, 0, 0, 0]) for each in requests])
        if 255 in self.calls[-1]:
            raise ScorerError("this clip is poison")
        pixels, count = self.calls[-1], len(prompt.questions)
        return [
            ClipScore(each.clip.clip_id, p / 255, 1.0, 0.0, 0.5, "model", "model", "r1", None, answers=(p / 255,) * count)
            for each, p in zip(requests, pixels, strict=True)
        ]

    def close(self) -> None:
        self.closed = True


def marked(*pixels: int, questions: tuple[str, ...] = ("A?",), side: int = 4) -> Asked:
    asked = []
    for pixel in pixels:
        each = request(side=side)
        each.frames[0, 0, 0, 0] = pixel
        asked.append(each)
    return Asked(asked, questions)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def batches(model: Model) -> Iterator[SharedBatches]:
    made = SharedBatches(lambda: {"": model}, batch_size=12, gather_s=0.0, max_waiting=100)
    yield made
    model.gate.set()
    made.close()
    assert model.closed


def held_up(batches: SharedBatches) -> None:
    """Let the model begin with a batch, which it holds until its gate opens."""
    batches.submit(Whose("first"), marked(1))
    while batches.health().waiting:
        time.sleep(0.001)


def test_clients_take_turns_and_a_flood_delays_the_others_by_a_batch(batches: SharedBatches, model: Model) -> None:
    held_up(batches)
    flood = [batches.submit(Whose("flood"), marked(*range(10, 20))) for _ in range(5)]
    other, third = batches.submit(Whose("other"), marked(100, 101)), batches.submit(Whose("third"), marked(110))
    model.gate.set()
    assert [[answer.probability for answer in row] for row in other.result(10)] == [[100 / 255], [101 / 255]]
    assert third.result(10)[0][0].yes_logit == 1.0
    assert {100, 101, 110} <= set(model.calls[1]) and len(model.calls[1]) == 6  # the flood gets a quarter of a batch
    assert [row[0].probability for job in flood for row in job.result(10)] == [pixel / 255 for pixel in range(10, 20)] * 5
    health = batches.health()
    assert (health.scored, health.waiting, health.refused, health.given_up) == (54, 0, 0, 0)
    assert health.ms_per_batch > 0 and health.clips_per_batch == pytest.approx(54 / len(model.calls))
    assert sorted(client.answered for client in health.clients) == [1, 1, 2, 50]


def test_a_batch_holds_clips_of_the_same_questions_and_size_alone(batches: SharedBatches, model: Model) -> None:
    held_up(batches)
    futures = [
        batches.submit(Whose("a"), marked(10, 11)),
        batches.submit(Whose("b"), marked(20, questions=("A?", "B?"))),
        batches.submit(Whose("c"), marked(30, side=5)),
        batches.submit(Whose("d"), marked(40)),
    ]
    model.gate.set()
    assert [len(future.result(10)[0]) for future in futures] == [1, 2, 1, 1]
    assert sorted(map(sorted, model.calls[1:])) == [[10, 11, 40], [20], [30]]


def test_a_clip_that_the_model_fails_on_fails_its_own_client_alone(batches: SharedBatches, model: Model) -> None:
    held_up(batches)
    poisoned, well = batches.submit(Whose("a"), marked(9, 255, 8)), batches.submit(Whose("b"), marked(20, 21))
    model.gate.set()
    assert well.result(10)[1][0].probability == 21 / 255
    with pytest.raises(ScorerError, match="poison"):
        poisoned.result(10)
    assert batches.health().waiting == 0
    assert batches.submit(Whose("a"), marked(7)).result(10)[0][0].probability == 7 / 255


def test_too_many_clips_are_turned_away_and_an_end_leaves_nobody_waiting(model: Model) -> None:
    batches = SharedBatches(lambda: {"": model}, batch_size=2, gather_s=0.0, max_waiting=5)
    held_up(batches)
    waiting = batches.submit(Whose("a", 7, "flood"), marked(1, 2, 3, 4))
    with pytest.raises(ScorerUnavailableError, match="4 of 5 clips wait already, 4 of them yours"):
        batches.submit(Whose("a", 7, "flood"), marked(1, 2))
    batches.submit(Whose("b"), marked(1, 2))  # whose share is free
    [flood] = [client for client in batches.health().clients if client.run == 7]
    assert (flood.name, flood.waiting, flood.refused, batches.health().refused) == ("flood", 4, 2, 2)
    threading.Timer(0.2, model.gate.set).start()
    batches.close()
    with pytest.raises(ScorerUnavailableError, match="has ended"):
        waiting.result(10)
    with pytest.raises(ScorerUnavailableError, match="is ending"):
        batches.submit(Whose("a"), marked(1))


def test_clips_that_nobody_waits_for_leave_the_queue_and_are_counted(batches: SharedBatches, model: Model) -> None:
    held_up(batches)
    given_up, well = batches.submit(Whose("a"), marked(10, 11, 12)), batches.submit(Whose("b"), marked(20))
    assert given_up.cancel()
    model.gate.set()
    assert well.result(10)[0][0].probability == 20 / 255
    health = batches.health()
    assert model.calls[1:] == [[20]] and (health.given_up, health.waiting) == (3, 0)
    assert [client.given_up for client in health.clients if client.given_up] == [3]


def test_a_batch_waits_for_the_clips_of_active_clients_alone(model: Model) -> None:
    model.gate.set()
    batches = SharedBatches(lambda: {"": model}, batch_size=8, gather_s=0.5)
    try:
        assert batches.submit(Whose("a"), marked(1)).result(2)  # there is nobody else
        first = batches.submit(Whose("a"), marked(2))
        batches.submit(Whose("b"), marked(3)).result(2)
        first.result(2)
        slow = batches.submit(Whose("a"), marked(4))  # b may have more
        batches.submit(Whose("b"), marked(5)).result(2)
        slow.result(2)
    finally:
        batches.close()
    assert sorted(model.calls[-1]) == [4, 5]


def test_pictures_go_to_the_model_that_is_for_them(model: Model) -> None:
    robots = Model()
    for each in (model, robots):
        each.gate.set()
    batches = SharedBatches(lambda: {"": model, "ogbench": robots}, gather_s=0.0)
    try:
        for pictures, pixel in (("ogbench", 1), ("minigrid", 2), ("", 3)):
            batches.submit(Whose("a"), marked(pixel)._replace(pictures=pictures)).result(10)
    finally:
        batches.close()
    assert (robots.calls, model.calls) == ([[1]], [[2], [3]])
    assert robots.closed and model.closed


def test_a_model_that_cannot_be_loaded_says_so() -> None:
    with pytest.raises(ScorerSetupError, match="nowhere"):
        SharedBatches(lambda: {"": make_scorer("hf:/nowhere", ScorerOptions())})


# -- the server


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server in a process of its own, with the embedded model and a key."""
    with serving(env={"VLMRB_SCORER_KEY": "s3cret-key"}) as url:
        yield url


class serving:
    def __init__(self, *options: str, env: dict[str, str] | None = None) -> None:
        self._options, self._env = options, env or {}

    def __enter__(self) -> str:
        command = [sys.executable, "-m", "vlmrb", "serve-scorer", "--port", "0", "--json", *self._options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | self._env)
        assert self.process.stdout is not None
        return str(json.loads(self.process.stdout.readline())["url"])

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(200) in (0, 130)
        self.process.stdout.close()


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMRB_SCORER_KEY", "s3cret-key")


@pytest.mark.usefixtures("keyed")
@pytest.mark.parametrize("text", ["Does the agent open a door?", SET])
def test_the_answers_are_those_of_the_model_itself(served: str, text: str) -> None:
    rng, renderer = np.random.default_rng(0), MiniGridRenderer()
    clips = record_clips("DoorKey-5x5", 10, lambda _: 0.8, rng)
    scorer, options = f"shared:{served}", ScorerOptions(threshold=0.7)
    with closing(make_scorer(scorer, options)) as shared, closing(make_scorer("embedded", options)) as own:
        assert shared.frames_per_clip == own.frames_per_clip
        requests = [make_request(clip, renderer, own.frames_per_clip) for clip in clips]
        prompt = Prompt("custom", 1, text, prompt_id=3)
        for ours, theirs in zip(shared.score(requests, prompt), own.score(requests, prompt), strict=True):
            assert ours.probability == pytest.approx(theirs.probability, abs=1e-4)
            assert ours.answers == pytest.approx(theirs.answers, abs=1e-4)
            assert np.array(ours.logits) == pytest.approx(np.array(theirs.logits), abs=1e-3)
            same = replace(ours, probability=0.0, yes_logit=0.0, no_logit=0.0, answers=(), logits=(), scorer="embedded")
            assert same == replace(theirs, probability=0.0, yes_logit=0.0, no_logit=0.0, answers=(), logits=())
            assert ours.label == theirs.label


@pytest.mark.slow
@pytest.mark.usefixtures("keyed")
def test_a_run_learns_the_same_with_a_shared_model(served: str, tmp_path: Path) -> None:
    with Store(str(tmp_path / "store.db")) as store:
        runs = []
        for scorer in ("embedded", f"shared:{served}"):
            config = make_config(
                env="DoorKey-5x5", scorer=scorer, sync_scoring=True, total_steps=400, learning_starts=200, eval_interval=400,
                eval_episodes=1, lambda_warmup=0.0, log_interval=100,
            )  # fmt: skip
            runs.append(train(config, store=store).run_id)
        own, shared = ([clip.score and clip.score.label for clip in store.clips(run, limit=500, order="oldest")] for run in runs)
        assert own == shared and True in own
        np.testing.assert_array_equal(*(store.metrics(run, "train/td_loss")[1] for run in runs))
        [clip] = store.clips(runs[1], limit=1)
        assert clip.score is not None and clip.score.scorer == f"shared:{served}"


@pytest.mark.usefixtures("keyed")
def test_a_shared_model_gives_the_notices_of_a_local_one(served: str) -> None:
    scorer, robots = f"shared:{served}", {"kind": "ogbench"}
    for text in (
        "Does the wizard open a door?",
        "Does the agent never close a door?",
        "- Does the agent close a door?\n- A zebra?",
    ):
        prompt = Prompt("custom", 1, text)
        assert prompt_notice(scorer, prompt) == prompt_notice("embedded", prompt) != ""
        assert prompt_notice(scorer, prompt, robots) == prompt_notice("embedded:robots", prompt) != ""
    assert prompt_notice(scorer, Prompt("custom", 1, "Does the agent open a door?")) == ""
    assert picture_notice(scorer, robots) == picture_notice(scorer, {"kind": "minigrid"}) == ""
    assert picture_notice(scorer, {"kind": "frames"}) == picture_notice("embedded", {"kind": "frames"}) != ""
    assert prompt_notice("shared:http://127.0.0.1:9", Prompt("custom", 1, "A zebra?")) == ""


@pytest.mark.usefixtures("keyed")
def test_a_robots_clips_go_to_the_robot_model_beside_those_of_a_grid(served: str) -> None:
    grid, robots = (
        make_scorer(f"shared:{served}", ScorerOptions(), Asker(number, f"λ {pictures}", pictures))
        for number, pictures in enumerate(("minigrid", "ogbench"), 1)
    )
    with closing(grid), closing(robots), closing(make_scorer("embedded:robots", ScorerOptions())) as own:
        assert (grid.model, robots.model) == ("embedded", "embedded:robots")
        assert robots.revision == own.revision != grid.revision
        clip = request(frames=5, side=64)
        [ours], [theirs] = (each.score([clip], Prompt("custom", 1, "Is a drawer open?")) for each in (robots, own))
        assert ours.probability == pytest.approx(theirs.probability, abs=1e-5) and ours.revision == theirs.revision
        grid.score([clip], Prompt("custom", 1, "Does the agent open a door?"))
        told = health(served)
        clients = {client["run"]: client for client in told["clients"]}
        assert clients[1]["name"] == "λ minigrid" and clients[2]["answered"] == 1
        assert "s3cret" not in json.dumps(told)


@pytest.mark.usefixtures("keyed")
def test_two_runs_ask_their_own_questions_at_once(served: str) -> None:
    clips = record_clips("DoorKey-5x5", 6, lambda _: 0.8, np.random.default_rng(1))
    texts, found = ("Does the agent open a door?", SET), {}
    options = ScorerOptions()

    def ask(text: str) -> None:
        with closing(make_scorer(f"shared:{served}", options)) as scorer:
            requests = [make_request(clip, MiniGridRenderer(), 32, mosaics=True) for clip in clips]
            found[text] = [score.answers for _ in range(4) for score in scorer.score(requests, Prompt("custom", 1, text))]

    threads = [threading.Thread(target=ask, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(make_scorer("embedded", options)) as own:
        requests = [make_request(clip, MiniGridRenderer(), 32, mosaics=True) for clip in clips]
        for text in texts:
            expected = [score.answers for score in own.score(requests, Prompt("custom", 1, text))] * 4
            assert np.array(found[text]) == pytest.approx(np.array(expected), abs=1e-5)


class Impostor(http.server.BaseHTTPRequestHandler):
    """Answers as a shared scorer would whose model changes, or which is of another version."""

    protocol, revisions = wire.PROTOCOL, ["r1", "r2"]

    def do_GET(self) -> None:
        self.say(
            {"protocol": self.protocol, "version": "9.9", "model": "m", "revision": "r1", "frames_per_clip": 3, "text": False}
        )

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.say(pack_reply([[Answer(0.5, 0.0, 0.0)]], self.revisions.pop(0)))

    def say(self, what: dict[str, object]) -> None:
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def impostor() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Impostor) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_labels_never_come_from_a_model_that_has_taken_the_place_of_the_first(impostor: str) -> None:
    with closing(make_scorer(f"shared:{impostor}", ScorerOptions())) as scorer:
        assert scorer.score([request()], Prompt("custom", 1, "A?"))[0].revision == "r1"
        with pytest.raises(ScorerSetupError, match=r"holds another model now \(r2\) than when scoring began \(m, r1\)"):
            scorer.score([request()], Prompt("custom", 1, "A?"))


def test_a_server_of_another_version_is_refused_in_words(impostor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Impostor, "protocol", 1)
    with pytest.raises(ScorerSetupError, match=r"another version of VLM-RB \(9.9; here .*install the same one"):
        make_scorer(f"shared:{impostor}", ScorerOptions())
    with pytest.raises(ScorerSetupError, match="no shared scorer of this version"):
        health(impostor)


def test_without_its_key_nothing_is_answered(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("", "another"):
        monkeypatch.setenv("VLMRB_SCORER_KEY", key)
        with pytest.raises(ScorerSetupError, match=r"denied access with status 401.*VLMRB_SCORER_KEY"):
            make_scorer(f"shared:{served}", ScorerOptions())
    host, _, port = served.removeprefix("http://").partition(":")
    for method, path in (("GET", wire.ABOUT), ("GET", wire.HEALTH), ("POST", wire.SCORE)):
        with closing(http.client.HTTPConnection(host, int(port), timeout=10)) as connection:
            connection.request(method, path, headers={"Authorization": "Bearer \xe9"})
            assert connection.getresponse().status == 401


def test_bad_requests_get_words_and_the_server_stays(served: str) -> None:
    host, _, port = served.removeprefix("http://").partition(":")

    def send(method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        with closing(http.client.HTTPConnection(host, int(port), timeout=30)) as connection:
            connection.request(method, path, body, {"Authorization": "Bearer s3cret-key"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    assert send("POST", wire.SCORE, b"nothing")[0] == 400
    assert send("GET", wire.SCORE)[0] == 405
    assert send("GET", "/")[0] == 404
    assert send("POST", wire.SCORE, bytes(wire.MAX_BODY + 1))[0] == 413
    status, words = send("POST", wire.SCORE, pack_request([request(side=7)], ("Does the agent open a door?",)))
    assert status in (200, 422) and "Traceback" not in words
    health = json.loads(send("GET", wire.HEALTH)[1])
    assert health["waiting"] == 0 and health["models"] == ["embedded", "embedded:robots"]
    for wrong in (b"", b"[]", b'{"questions": [3], "pictures": ""}', b'{"questions": 3, "pictures": ""}'):
        assert send("POST", wire.NOTICES, wrong)[0] == 400


@pytest.mark.usefixtures("keyed")
def test_clips_of_text_are_for_a_model_that_reads_text(served: str) -> None:
    with pytest.raises(ScorerSetupError, match=r"reads pictures, and these are clips of text.*--transcripts"):
        make_scorer(f"shared:{served}", ScorerOptions(text=True))


def test_a_server_that_is_not_there_or_is_another_one_is_named() -> None:
    with pytest.raises(ScorerUnavailableError, match=r"does not answer.*serve-scorer"):
        SharedScorer("http://127.0.0.1:9", scorer="shared:http://127.0.0.1:9", retries=0)
    for wrong in ("shared:", "shared:127.0.0.1:7870", "shared:ftp://x"):
        with pytest.raises(ScorerSetupError, match="must have the form shared:"):
            check_scorer(wrong)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scorer", "oracle"], "can be shared"),
        (["--scorer", "vote:embedded|embedded:robots"], "can be shared"),
        (["--port", "70000"], "0 to 65535"),
        (["--gather-ms", "-1"], "0 to 1000"),
        (["--host", "0.0.0.0"], "VLMRB_SCORER_KEY"),
        (["--scorer", "hf:/nowhere", "--port", "0"], "nowhere"),
    ],
)
def test_wrong_options_are_refused(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve-scorer", *options]) == 2
    assert words in capsys.readouterr().err


def test_only_a_server_with_a_key_is_open_to_others() -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        check_address(host, "")
    for host in ("0.0.0.0", "::", "192.168.1.5", "lab.example"):
        check_address(host, "key")
        with pytest.raises(ConfigError, match="whoever reaches this address"):
            check_address(host, "")
