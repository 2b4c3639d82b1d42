"""The openai: back end against a real, scripted server on the loopback interface."""

from __future__ import annotations

import base64
import gzip
import importlib.util
import io
import json
import math
import os
import re
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.waiting import wait_until
from vlmrb.errors import ScorerError, ScorerSetupError, ScorerUnavailableError
from vlmrb.scoring import http
from vlmrb.scoring.openai import WITHOUT_THINKING, OpenAIScorer
from vlmrb.types import Prompt

PROMPT = Prompt("games", 1, "Does the clip show a goal?", prompt_id=5)
SET = Prompt("custom", 1, "- Is it a key?\n- Is it a door?\n\n- Is it a goal?")
KEY = "sk-a-very-secret-key"
MODELS = {"object": "list", "data": [{"id": "tiny-vlm"}, {"id": "other"}]}


def completion(
    logprobs: dict[str, float] | None, *, chosen: str | None = None, text: str = "Yes", **extra: Any
) -> dict[str, Any]:
    """A chat completion whose first token has these top log-probabilities."""
    content = None
    if logprobs is not None:
        first = chosen or next(iter(logprobs))
        content = [
            {
                "token": first,
                "logprob": logprobs.get(first, -9999.0),
                "bytes": list(first.encode()),
                "top_logprobs": [{"token": token, "logprob": value, "bytes": None} for token, value in logprobs.items()],
            }
        ]
    choice = {
        "index": 0,
        "finish_reason": "length",
        "message": {"role": "assistant", "content": text},
        "logprobs": None if content is None else {"content": content},
    }
    return {"id": "1", "object": "chat.completion", "choices": [choice], **extra}


GOOD = completion({"Yes": math.log(0.6), " yes": math.log(0.1), "No": math.log(0.2)}, system_fingerprint="fp_44709d6fcb")

Script = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are sent apart
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers), None))
        self.server.models(self)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.seen.append((self.path, dict(self.headers), body))
            script = self.server.script.pop(0) if len(self.server.script) > 1 else self.server.script[0]
        try:
            script(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *args: Any) -> None:
        """Log nothing."""


class Server(ThreadingHTTPServer):
    """Replies with the entries of `script` in turn, then with the last one forever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Script] = [reply(GOOD)]
        self.models: Script = reply(MODELS)
        self.seen: list[tuple[str, dict[str, str], Any]] = []
        self.lock = threading.Lock()
        self.test_is_over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def posts(self) -> list[Any]:
        return [body for _, _, body in self.seen if body is not None]


def reply(body: Any, status: int = 200, **headers: str) -> Script:
    """A complete reply; `body` is sent as JSON unless it is bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def send(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return send


def hang(handler: Handler) -> None:
    """No reply at all."""
    handler.server.test_is_over.wait()
    handler.close_connection = True


def trickle(handler: Handler) -> None:
    """A reply that never ends but always moves."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    while not handler.server.test_is_over.wait(0.05):  # shorter than the client's timeout for a single read
        handler.wfile.write(b" ")


def drip_headers(handler: Handler) -> None:
    """Headers that never end but always move."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not handler.server.test_is_over.wait(0.05):
        handler.wfile.write(b"x")


def drip_hints(handler: Handler) -> None:
    """Provisional replies that never end."""
    while not handler.server.test_is_over.wait(0.05):
        handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")


def drip_an_error(handler: Handler) -> None:
    """An error whose body never ends, in chunks."""
    handler.wfile.write(b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not handler.server.test_is_over.wait(0.05):
        handler.wfile.write(b"1\r\nx\r\n")


def hang_up(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
    yield made
    made.test_is_over.set()
    made.shutdown()
    made.server_close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses requested between tries; none is actually made."""
    asked: list[float] = []
    real = http._pause

    def record(attempt: int, asked_pause: float) -> float:
        asked.append(real(attempt, asked_pause))
        return 0.001

    monkeypatch.setattr(http, "_pause", record)
    return asked


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, server: Server, pauses: list[float]) -> Iterator[Callable[..., OpenAIScorer]]:
    """connect(**options): a scorer for the server, closed after the test."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    made: list[OpenAIScorer] = []

    def make(url: str | None = None, model: str = "tiny-vlm", **options: Any) -> OpenAIScorer:
        url = url or server.url
        made.append(OpenAIScorer(url, model, scorer=f"openai:{url}#{model}", **{"timeout_s": 5.0, **options}))
        return made[-1]

    yield make
    for scorer in made:
        scorer.close()


# -- requests and answers


def yes(probability: float) -> Script:
    return reply(completion({"Yes": math.log(probability), "No": math.log(1 - probability)}))


def test_a_set_is_asked_one_question_after_another_and_the_largest_answer_decides(server, connect, make_request) -> None:
    server.script = [yes(0.25), yes(0.75), yes(0.5)]
    [score] = connect(threshold=0.6).score([make_request(1, frames=2)], SET)
    assert score.answers == pytest.approx((0.25, 0.75, 0.5))
    assert (score.probability, score.yes_logit) == pytest.approx((0.75, math.log(0.75)))
    assert (score.label, score.labels, score.error) == (True, (False, True, False), "")
    contents = [body["messages"][0]["content"] for body in server.posts]
    assert [content[-1]["text"] for content in contents] == ["Is it a key?", "Is it a door?", "Is it a goal?"]
    assert all(content[:-1] == contents[0][:-1] for content in contents), "a server's prefix cache needs equal beginnings"


def test_a_question_that_the_server_rejects_leaves_the_others_answered(server, connect, make_request) -> None:
    server.script = [yes(0.25), reply({"error": {"message": "too odd"}}, 400), yes(0.5)]
    [score] = connect().score([make_request(1)], SET)
    assert score.answers == (pytest.approx(0.25), None, pytest.approx(0.5))
    assert score.probability == pytest.approx(0.5)
    assert "question 2 has no usable answer: the server rejected the request with status 400: too odd" in score.error


def test_a_server_that_stops_answering_is_not_asked_the_questions_that_are_left(server, connect, make_request) -> None:
    server.script = [yes(0.25), hang_up]
    [score] = connect(retries=0).score([make_request(1)], SET)
    assert score.answers == (pytest.approx(0.25), None, None)
    assert "questions 2, 3 have no usable answer" in score.error
    assert len(server.posts) == 2


def test_a_request_shows_the_frames_and_asks_for_the_first_tokens_logprobs(server, connect, make_request) -> None:
    request = make_request(1, frames=3)
    connect().score([request], PROMPT)
    path, headers, body = server.seen[-1]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    [message] = body.pop("messages")
    asked = {"model": "tiny-vlm", "max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": 20}
    assert body == asked | WITHOUT_THINKING[0]
    *images, text = message["content"]
    assert (message["role"], text) == ("user", {"type": "text", "text": PROMPT.text})
    assert len(images) == 3
    for image, frame in zip(images, request.frames, strict=True):
        assert_shows(image["image_url"]["url"], frame)


def assert_shows(data_url: str, frame: np.ndarray) -> None:
    from PIL import Image

    head, _, data = data_url.partition(",")
    assert head == "data:image/png;base64"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), frame)


def test_a_score_has_the_probability_and_records_how_it_was_made(server, connect, make_request) -> None:
    [score] = connect(threshold=0.8).score([make_request(7)], PROMPT)
    assert score.probability == pytest.approx(7 / 9)
    assert score.yes_logit == pytest.approx(math.log(0.7))
    assert score.no_logit == pytest.approx(math.log(0.2))
    assert (score.clip_id, score.prompt_id, score.threshold, score.label, score.error) == (7, 5, 0.8, False, "")
    assert (score.scorer, score.model, score.revision) == (f"openai:{server.url}#tiny-vlm", "tiny-vlm", "fp_44709d6fcb")
    assert score.frame_indices == (0, 4, 9, 13, 18, 22, 27, 31)


def test_the_chosen_token_counts_once_whether_or_not_it_is_in_the_list(server, connect, make_request) -> None:
    outside = completion({"No": math.log(0.25), "x": math.log(0.1)})
    outside["choices"][0]["logprobs"]["content"][0] |= {"token": "Yes", "logprob": math.log(0.5)}
    server.script = [reply(completion({"Yes": math.log(0.5), "No": math.log(0.25)}, chosen="Yes")), reply(outside)]
    scorer = connect()
    for _ in range(2):
        assert scorer.score([make_request(1)], PROMPT)[0].probability == pytest.approx(2 / 3)


def test_clips_are_sent_concurrently_within_the_limit_and_come_back_in_order(server, connect, make_request) -> None:
    together = threading.Barrier(3)  # releases three requests once all three have arrived
    under_way: list[int] = []
    most = []

    def wait_for_two_others(handler: Handler) -> None:
        with server.lock:
            under_way.append(1)
            most.append(len(under_way))
        together.wait(timeout=60)
        with server.lock:
            under_way.pop()
        reply(GOOD)(handler)

    server.script = [wait_for_two_others]
    scores = connect(concurrency=3, timeout_s=60.0).score([make_request(index, frames=2) for index in range(12)], PROMPT)
    assert [score.clip_id for score in scores] == list(range(12))
    assert max(most) == 3 and len(most) == 12


def test_a_clip_without_frames_is_unknown_and_not_sent(server, connect, make_request) -> None:
    [score] = connect().score([make_request(1, frames=0)], PROMPT)
    assert (score.probability, score.error) == (None, "the clip has no frames")
    assert server.posts == []


# -- replies without an answer

UNUSABLE: dict[str, tuple[Script, str]] = {
    "nothing said, so no logprobs": (reply(completion(None, text="")), "contains no logprobs; it must support"),
    "content is empty": (reply({"choices": [{"logprobs": {"content": []}}]}), "contains no logprobs"),
    "no top_logprobs": (
        reply({"choices": [{"logprobs": {"content": [{"token": "Yes", "logprob": -0.1}]}}]}),
        "contains no logprobs",
    ),
    "no choices": (reply({"choices": []}), "contains no logprobs"),
    "wrong types": (reply({"choices": {"0": 3}}), "contains no logprobs"),
    "an error with status 200": (reply({"error": {"message": "overloaded\x1b[31m"}}), "contains no logprobs: .*overloaded"),
    "neither yes nor no": (reply(completion({"Maybe": -0.1, "Yesterday": -3.0})), "neither yes nor no is among the 2"),
    "both below what is known": (reply(completion({"Well": -0.01, "Yes": -9999.0, "No": -9999.0})), "neither yes nor no"),
    "log-probabilities are text": (reply(completion({"Yes": "high", "No": True})), "are not numbers"),
    "one is text": (reply(completion({"Yes": "high", "No": -0.1})), "are not numbers"),
    "one is null": (reply(completion({"Yes": None, "No": -0.1})), "are not numbers"),
    "log-probabilities are NaN": (reply(completion({"Yes": math.nan, "No": math.nan})), "are not numbers"),
    "one is NaN": (reply(completion({"Yes": math.nan, "No": -0.1})), "are not numbers"),
    "one is infinite": (reply(completion({"Yes": math.inf, "No": -0.1})), "are not numbers"),
    "one is positive": (reply(completion({"Yes": 3.0, "No": -0.1})), "are not numbers"),
    "one has 400 digits": (reply(completion({"Yes": -(10**400), "No": -0.1})), "are not numbers"),
    "one has 5,000 digits": (
        reply(json.dumps(completion({"Yes": 0})).replace('"logprob": 0', '"logprob": 1' + "0" * 5_000).encode()),
        "is not a JSON object",
    ),
    "certain of both": (reply(completion({"Yes": -0.01, "No": -0.01})), "add up to 1.98"),
    "thinking": (reply(completion({"<think>": -0.01, "Yes": -5.0})), "thinks before it answers: its first token is '<think>'"),
    "thinking in another way": (reply(completion({"[THINK]": -0.1, "Yes": -4.0, "No": -3.0})), "switch thinking off"),
    "thinking in a channel": (reply(completion({"<|channel|>": -0.1, "Yes": -4.0, "No": -3.0})), "switch thinking off"),
    "about to say something else": (
        reply(completion({"The": math.log(0.6), "Yes": math.log(0.3), "No": math.log(0.05)})),
        "yes and no together have probability 0.35 .* 'The'",
    ),
    "one side and too much left over": (
        reply(completion({"Well": math.log(0.5), "Yes": math.log(0.01)})),
        "could decide either way",
    ),
    "not JSON": (reply(b"<html>it works!</html>"), "is not a JSON object: <html>it works!</html>"),
    "not text": (reply(bytes(range(256)) * 10), "is not a JSON object"),
    "a list": (reply([1, 2]), "is not a JSON object"),
    "nothing": (reply(b""), "is not a JSON object"),
    "nested without end": (reply(b"[" * 200_000), "is not a JSON object"),
    "larger than allowed": (reply(b'{"x": "' + b"y" * 3_000_000 + b'"}'), "a reply of more than 2097152 bytes"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_reply_without_an_answer_is_unknown_and_not_zero(kind: str, server, connect, make_request) -> None:
    script, message = UNUSABLE[kind]
    server.script = [script]
    [score] = connect().score([make_request(1)], PROMPT)
    assert (score.probability, score.label, score.yes_logit, score.no_logit) == (None, None, None, None)
    assert score.error
    assert re.search(message, score.error)
    assert score.error.isprintable()
    assert len(score.error) < 400


WITHOUT_LOGPROBS = (None, {}, {"content": None}, {"content": []}, {"content": [{"token": "Yes", "logprob": -0.1}]})


@pytest.mark.parametrize("logprobs", WITHOUT_LOGPROBS)
def test_a_server_without_logprobs_is_refused_in_words_that_name_the_way_out(logprobs, server, connect, make_request) -> None:
    without = completion(None)
    without["choices"][0]["logprobs"] = logprobs
    server.script = [reply(without)]
    with pytest.raises(ScorerSetupError, match=r"contains no logprobs; it must support .* use one that does, or a local model"):
        connect(concurrency=1).score([make_request(1), make_request(2)], PROMPT)


def test_a_reply_without_logprobs_is_an_unknown_clip_once_the_server_has_given_some(server, connect, make_request) -> None:
    server.script = [reply(GOOD), reply(completion(None))]
    good, without = connect(concurrency=1).score([make_request(1), make_request(2)], PROMPT)
    assert (good.error, without.probability) == ("", None)
    assert "contains no logprobs" in without.error


# -- retries

BUSY = reply({"error": {"message": "slow down"}}, 429, Retry_After="7")


@pytest.mark.parametrize(
    "trouble",
    [
        [BUSY],
        [reply(b"", 500), reply(b"oops", 503)],
        [reply(b"", 408)],
        [hang_up],
        [hang_up, BUSY, reply(b"", 502)],
    ],
)
def test_a_temporary_failure_is_retried(trouble: list[Script], server, connect, pauses, make_request) -> None:
    server.script = [*trouble, reply(GOOD)]
    [score] = connect().score([make_request(1)], PROMPT)
    assert score.probability == pytest.approx(7 / 9)
    assert len(server.posts) == len(trouble) + 1 == len(pauses) + 1


@pytest.mark.timeout(60)  # without a deadline there would be no second try: neither reply ever ends
@pytest.mark.parametrize("trouble", [hang, trickle, drip_headers, drip_hints, drip_an_error])
def test_a_try_ends_at_its_deadline(trouble: Script, server, connect, make_request) -> None:
    server.script = [trouble, reply(GOOD)]
    [score] = connect(timeout_s=0.3).score([make_request(1)], PROMPT)
    assert score.probability == pytest.approx(7 / 9)
    assert len(server.posts) >= 2  # more if the machine is too busy for the good reply


def test_pauses_double_with_jitter_and_honour_retry_after(server, connect, pauses, make_request) -> None:
    server.script = [reply(b"", 500), reply(b"", 500), BUSY, reply(b"", 429, Retry_After="86400"), reply(GOOD)]
    connect().score([make_request(1)], PROMPT)
    first, second, third, fourth = pauses
    assert 0.375 <= first <= 0.625
    assert 0.75 <= second <= 1.25
    assert third == 7.0
    assert fourth == http.MAX_WAIT_S
    assert http._seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert 3500 < http._seconds(time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))) <= 3600
    assert [http._seconds(text) for text in (None, "", "soon", "nan", "-3")] == [None, None, None, None, 0.0]


@pytest.mark.parametrize("trouble", [reply({"error": {"message": "no \x1b[2Jroom"}}, 503), hang_up])
def test_a_server_that_never_answers_is_unavailable(trouble: Script, server, connect, make_request) -> None:
    scorer = connect(retries=2)
    server.script = [trouble]
    with pytest.raises(ScorerUnavailableError, match=rf"{server.url} does not answer: .*\(3 tries\); start it") as caught:
        scorer.score([make_request(1), make_request(2)], PROMPT)
    assert len(server.posts) == 6
    assert str(caught.value).isprintable()


def test_a_refused_connection_shows_when_the_scorer_is_created(connect, server) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    with pytest.raises(ScorerUnavailableError, match=rf"{url} does not answer: ConnectError: .*\(5 tries\)"):
        connect(url)


def test_one_clip_that_keeps_failing_is_unknown_when_the_others_are_answered(server, connect, make_request) -> None:
    def fail_for_one_frame(handler: Handler) -> None:
        body = server.posts[-1]
        (reply(b"", 500) if len(body["messages"][0]["content"]) == 2 else reply(GOOD))(handler)

    server.script = [fail_for_one_frame]
    scores = connect(retries=1, concurrency=1).score([make_request(1), make_request(2, frames=1), make_request(3)], PROMPT)
    assert [score.probability is None for score in scores] == [False, True, False]
    assert "does not answer: status 500" in scores[1].error


def test_closing_cancels_a_pending_retry(server, connect, monkeypatch, make_request) -> None:
    pausing = threading.Event()

    def pause(attempt: int, asked_pause: float) -> float:
        pausing.set()
        return 3_600.0

    monkeypatch.setattr(http, "_pause", pause)
    scorer = connect()
    server.script = [reply(b"", 500)]
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            scorer.score([make_request(1)], PROMPT)
        except ScorerError as error:
            caught.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    assert pausing.wait(timeout=60)
    scorer.close()
    asking.join(timeout=60)  # far less than the pause
    assert not asking.is_alive()
    assert len(caught) == 1


@pytest.mark.timeout(60)
def test_a_name_that_is_never_resolved_ends_at_the_deadline(monkeypatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: over.wait() and [])
    client = http.Http("http://somewhere.invalid/v1", api_key="", timeout_s=0.2, retries=0)
    with pytest.raises(http.NoReplyError, match=r"the name somewhere\.invalid was not resolved within 0\.\d+ s"):
        client.get("/models")
    over.set()
    client.close()


# -- decompression


@cache
def bomb(encoding: str) -> bytes:
    """200 MB of zeros that these encodings, in turn, have made small."""
    made = bytes(200_000_000)
    for name in encoding.split(", "):
        made = {"gzip": gzip.compress, "deflate": zlib.compress}[name](made, 1)
    return made


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "deflate"])
@pytest.mark.parametrize("status", [200, 400])
def test_a_reply_that_decodes_to_more_than_allowed_is_not_decoded_further(
    status: int, encoding: str, server, connect, make_request
) -> None:
    body = bomb(encoding)
    server.script = [reply(GOOD), reply(body, status, Content_Encoding=encoding)]
    scorer = connect()
    scorer.score([make_request(1)], PROMPT)
    tracemalloc.start()
    [score] = scorer.score([make_request(2, frames=1)], PROMPT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert score.probability is None
    assert "a reply of more than 2097152 bytes" in score.error
    assert peak < 20_000_000


@pytest.mark.parametrize(
    ("encoding", "words"), [("br", "in the encoding 'br'"), ("zstd", "'zstd'"), ("gzip", "not in the encoding")]
)
def test_a_reply_in_an_encoding_that_cannot_be_bounded_or_is_none_is_unknown(
    encoding: str, words: str, server, connect, make_request
) -> None:
    server.script = [reply(b"\x1b\x03\x00", Content_Encoding=encoding)]
    [score] = connect().score([make_request(1)], PROMPT)
    assert score.probability is None
    assert words in score.error
    assert server.seen[-1][1]["Accept-Encoding"] == "identity"


def test_a_reply_that_is_compressed_unasked_is_read(server, connect, make_request) -> None:
    server.script = [reply(gzip.compress(json.dumps(GOOD).encode()), Content_Encoding="GZIP, identity")]
    [score] = connect().score([make_request(1)], PROMPT)
    assert score.probability == pytest.approx(7 / 9)


# -- models that think before they answer

THINKS = reply(completion({"<think>": -0.001, "Yes": -8.0, "No": -9.0}))


def test_thinking_is_switched_off_where_the_server_allows_it(server, connect, make_request) -> None:
    def think_unless_told(handler: Handler) -> None:
        (reply(GOOD) if server.posts[-1].get("reasoning_effort") == "none" else THINKS)(handler)

    server.script = [think_unless_told]
    [score] = connect().score([make_request(1)], PROMPT)
    assert score.probability == pytest.approx(7 / 9)


@pytest.mark.parametrize("accepted", [{"chat_template_kwargs"}, {"reasoning_effort"}, set()])
@pytest.mark.parametrize("status", [400, 422])
def test_fields_that_a_server_rejects_are_not_sent_again(status: int, accepted: set[str], server, connect, make_request) -> None:
    known = {"model", "messages", "max_tokens", "temperature", "logprobs", "top_logprobs"} | accepted

    def reject_what_is_unknown(handler: Handler) -> None:
        strange = set(server.posts[-1]) - known
        (reply({"error": {"message": f"unknown: {strange}"}}, status) if strange else reply(GOOD))(handler)

    server.script = [reject_what_is_unknown]
    scorer = connect(concurrency=1)
    assert scorer.score([make_request(1)], PROMPT)[0].probability == pytest.approx(7 / 9)
    rejected = len(server.posts) - 1
    assert all(score.error == "" for score in scorer.score([make_request(2), make_request(3)], PROMPT))
    assert len(server.posts) == rejected + 3
    assert set(server.posts[-1]) == known


def test_a_model_that_thinks_all_the_same_is_unknown(server, connect, make_request) -> None:
    server.script = [THINKS]
    [score] = connect().score([make_request(1)], PROMPT)
    assert (score.probability, score.label) == (None, None)
    assert "thinks before it answers" in score.error


# -- errors that no retry can fix


@pytest.mark.parametrize("status", [401, 403])
def test_a_rejected_key_is_reported_at_once_and_never_shown(status: int, server, connect, make_request) -> None:
    scorer = connect()
    server.script = [reply({"error": {"message": f"Incorrect API key provided: {KEY}."}}, status)]
    with pytest.raises(ScorerSetupError, match=rf"status {status}: Incorrect API key provided: \*\*\*.*OPENAI_API_KEY") as caught:
        scorer.score([make_request(1)], PROMPT)
    assert KEY not in str(caught.value)
    assert len(server.posts) == 1
    server.models = reply(f"no {KEY}".encode(), status)
    with pytest.raises(ScorerSetupError, match=r"denied access .*no \*\*\*"):
        connect()


ECHOES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in capitals": str.upper,
    "cut short": lambda key: key[:-6],
    "URL-encoded": lambda key: urllib.parse.quote(key, safe=""),
    "URL-encoded throughout": lambda key: "".join(f"%{ord(c):02X}" for c in key),
    "URL-encoded twice": lambda key: urllib.parse.quote(urllib.parse.quote(key, safe=""), safe=""),
    "in base64": lambda key: base64.b64encode(key.encode()).decode(),
    "in a header in base64": lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
    "in base64 for URLs": lambda key: base64.urlsafe_b64encode(f"Be {key}".encode()).decode(),
    "in hexadecimal": lambda key: key.encode().hex(),
    "escaped": lambda key: "".join(f"\\u{ord(c):04x}" for c in key),
    "as HTML": lambda key: "".join(f"&#{ord(c)};" for c in key),
    "in two lines": lambda key: f"{key[:9]}\n{key[9:]}",
}


@pytest.mark.parametrize("form", ECHOES)
def test_a_key_that_the_server_echoes_is_masked_everywhere(form: str, server, connect, monkeypatch, make_request) -> None:
    key = "sk-A+very/secret=key?~42"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    echo = ECHOES[form](key)
    secret = re.sub(r"\s", "", echo)
    server.models = reply({"data": [{"id": f"for-{echo}"}]})
    scorer = connect(retries=0)
    said: list[str] = []

    def ask(script: Script) -> None:
        server.script = [script]
        try:
            [score] = scorer.score([make_request(1, frames=1)], PROMPT)
        except ScorerError as error:
            said.append(str(error))
        else:
            said.append(f"{score.error} {score.revision}")

    ask(reply(completion({"Yes": -0.1, "No": -3.0}, system_fingerprint=f"fp {echo}")))
    ask(reply(completion({f"x{echo}": -0.1})))
    ask(reply({"error": {"code": 3, "what": echo}}))
    ask(reply(f"your key is {echo}".encode()))
    for status in (400, 401, 404, 500):
        ask(reply({"error": {"message": f"{echo} is bad"}}, status))
        ask(reply({"detail": [{"input": echo}]}, status))
    ask(lambda handler: handler.wfile.write(f"HTTP/1.1 200 {echo}\r\n{echo} x: y\r\n\r\n".encode()))
    for text in said:
        assert secret not in re.sub(r"\s", "", text)
        assert key not in text
        assert "***" in text
        assert text.isprintable()


@pytest.mark.parametrize("key", ["", "x", "ollama"])
def test_a_short_or_missing_key_leaves_messages_readable(key: str, server, connect, monkeypatch, make_request) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    server.script = [reply({"error": {"message": "expected at most 4 images"}}, 400)]
    with pytest.raises(ScorerSetupError, match="expected at most 4 images"):
        connect().score([make_request(1)], PROMPT)


def test_a_token_in_the_query_that_the_server_echoes_is_masked(server, connect, make_request) -> None:
    server.script = [reply({"error": "bad token hush-hush-hush"}, 400)]
    with pytest.raises(ScorerSetupError, match=r"bad token \*\*\*"):
        connect(f"{server.url}?token=hush-hush-hush").score([make_request(1)], PROMPT)


def test_an_unknown_model_lists_the_served_ones(server, connect, make_request) -> None:
    scorer = connect(model="typo")
    server.script = [reply({"error": {"message": "The model `typo` does not exist"}}, 404)]
    with pytest.raises(ScorerSetupError, match=r"no model 'typo'.*does not exist; it serves tiny-vlm, other"):
        scorer.score([make_request(1)], PROMPT)
    assert len(server.posts) == 1


@pytest.mark.parametrize(
    "listing",
    [
        reply(b"", 404),
        reply(b"", 500),
        reply(b"{"),
        reply({"data": [None, {"id": 3}]}),
        reply([]),
    ],
)
def test_a_server_does_not_need_a_usable_list_of_models(listing: Script, server, connect, make_request) -> None:
    server.models = listing
    [score] = connect().score([make_request(1)], PROMPT)
    assert score.error == ""
    assert len(server.seen) == 2


def test_a_rejected_request_is_a_setup_error_at_first_and_an_unknown_clip_later(server, connect, make_request) -> None:
    rejected = reply({"error": {"message": "at most 4 images"}}, 400)
    server.script = [rejected]
    with pytest.raises(ScorerSetupError, match=r"rejected .* with status 400: at most 4 images; it must accept 8 images"):
        connect().score([make_request(1)], PROMPT)
    server.script = [reply(GOOD), rejected]
    scorer = connect()
    assert scorer.score([make_request(1)], PROMPT)[0].probability is not None
    [score] = scorer.score([make_request(2)], PROMPT)
    assert (score.probability, score.error) == (None, "the server rejected the request with status 400: at most 4 images")


def test_a_redirect_is_not_followed(server, connect, make_request) -> None:
    scorer = connect()
    server.script = [reply(b"", 307, Location="http://127.0.0.1:9/elsewhere")]
    with pytest.raises(ScorerSetupError, match="redirects with status 307; use the final address"):
        scorer.score([make_request(1)], PROMPT)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://user:hunter2@host:8000/v1", "contains a user name or password"),
        ("https://hunter2@host/v1", "contains a user name or password"),
        ("ftp://host/v1", "is not an http or https address"),
        ("host:8000/v1", "is not an http or https address"),
        ("http:///v1", "is not an http or https address"),
        ("http://host:port/v1", "is not a valid address"),
        ("", "is not an http or https address"),
    ],
)
def test_an_invalid_address_is_refused_without_repeating_a_password(url: str, message: str) -> None:
    with pytest.raises(ScorerSetupError, match=message) as caught:
        OpenAIScorer(url, "m", scorer="openai:…")
    assert "hunter2" not in str(caught.value)


def test_a_scorer_without_a_model_is_refused(server) -> None:
    with pytest.raises(ScorerSetupError, match="needs a model"):
        OpenAIScorer(server.url, "", scorer="openai:x#")


def test_without_a_key_none_is_sent_and_an_invalid_one_is_refused(server, connect, monkeypatch, make_request) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    connect().score([make_request(1)], PROMPT)
    assert all("Authorization" not in headers for _, headers, _ in server.seen)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ключ")
    with pytest.raises(ScorerSetupError, match="OPENAI_API_KEY contains invalid characters") as caught:
        connect()
    assert "ключ" not in str(caught.value)


def test_the_query_of_the_address_is_sent_and_not_shown(server, connect, make_request) -> None:
    server.script = [reply(b"", 500)]
    scorer = connect(f"{server.url}?token=hush", retries=0)
    with pytest.raises(ScorerUnavailableError) as caught:
        scorer.score([make_request(1)], PROMPT)
    assert server.seen[-1][0] == "/v1/chat/completions?token=hush"
    assert "hush" not in str(caught.value)


def test_the_endpoints_full_address_is_accepted(server, connect, make_request) -> None:
    connect(f"{server.url}/chat/completions/").score([make_request(1)], PROMPT)
    assert server.seen[-1][0] == "/v1/chat/completions"


# -- proxies and certificates

PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "http_proxy", "https_proxy")


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, "NO_PROXY", "no_proxy", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "0.0.0.0"])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "nonsense://", "127.0.0.1:9"])
def test_this_machine_is_never_reached_through_a_proxy(proxy: str, host: str, server, connect, monkeypatch, make_request) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, proxy)
    url = server.url.replace("127.0.0.1", host)
    [score] = connect(url, retries=0).score([make_request(1, frames=1)], PROMPT)
    assert score.error == ""


@pytest.mark.usefixtures("no_proxies")
def test_another_machine_is_reached_through_the_proxy_unless_no_proxy_names_it(
    server, connect, monkeypatch, make_request
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://me:s3cret-password@127.0.0.1:{server.server_address[1]}")
    scorer = connect("http://scorer.invalid/v1")
    assert scorer.score([make_request(1, frames=1)], PROMPT)[0].error == ""
    path, headers, _ = server.seen[-1]
    assert path == "http://scorer.invalid/v1/chat/completions"
    assert headers["Proxy-Authorization"] == f"Basic {base64.b64encode(b'me:s3cret-password').decode()}"
    server.script = [reply({"error": "who is s3cret-password?"}, 400)]
    assert scorer.score([make_request(2, frames=1)], PROMPT)[0].error.endswith("who is ***?")
    monkeypatch.setenv("NO_PROXY", "scorer.invalid")
    with pytest.raises(ScorerUnavailableError, match="ConnectError"):
        connect("http://scorer.invalid/v1", retries=0)


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("ftp://127.0.0.1:9", r"is 'ftp://127.0.0.1:9'; a proxy is one of http, https"),
        ("http://:9:9", "is not a valid address"),
        pytest.param("socks5://me:hush@127.0.0.1:9", "pip install socksio", marks=pytest.mark.skipif(
            importlib.util.find_spec("socksio") is not None, reason="socksio is installed")),
    ],
)  # fmt: skip
def test_a_proxy_that_cannot_be_used_is_told_in_words(proxy: str, words: str, monkeypatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ScorerSetupError, match=rf"ALL_PROXY.*{words}.*add scorer.invalid to NO_PROXY") as caught:
        OpenAIScorer("http://scorer.invalid/v1", "m", scorer="openai:x")
    assert "hush" not in str(caught.value)


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.timeout(60)  # a pipe would be waited for
@pytest.mark.parametrize("kind", ["missing", "no certificates", "a folder", "a pipe"])
def test_a_broken_ssl_cert_file_is_told_in_words_and_only_where_it_matters(
    kind: str, server, connect, monkeypatch, make_request, tmp_path: Path
) -> None:
    file = tmp_path / "certificates.pem"
    if kind == "no certificates":
        file.write_text("none here")
    elif kind == "a folder":
        file.mkdir()
    elif kind == "a pipe":
        os.mkfifo(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert connect().score([make_request(1, frames=1)], PROMPT)[0].error == ""
    with pytest.raises(ScorerSetupError, match=r"SSL_CERT_FILE names '.*certificates.pem'.*PEM format, or unset it"):
        connect(server.url.replace("http:", "https:"))


# -- a real server


@pytest.mark.slow
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("fastapi", "uvicorn", "openai", "accelerate")),
    reason="`transformers serve` is not installed (pip install 'transformers[serving]')",
)
def test_transformers_serve_returns_no_logprobs_and_is_refused_in_words(idefics3_folder: Path, make_request) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    serving = subprocess.Popen(command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, **quiet)
    url, model = f"http://127.0.0.1:{port}/v1", str(idefics3_folder)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"), "`transformers serve` to answer")
        message = {"role": "user", "content": [{"type": "text", "text": "Yes or no?"}]}
        asked = {"model": model, "max_tokens": 1, "logprobs": True, "top_logprobs": 5, "messages": [message]}
        said = httpx.post(f"{url}/chat/completions", json=asked, timeout=300.0).json()
        assert said["choices"][0]["message"]["role"] == "assistant"
        assert "logprobs" not in said["choices"][0], "it gives some now: test the answers instead, and correct the README's table"
        scorer = OpenAIScorer(url, model, scorer="openai", timeout_s=300.0)
        words = (
            "no logprobs; it must support .*not LM Studio or `transformers serve`; use one that does, or a local model with hf:"
        )
        try:
            with pytest.raises(ScorerSetupError, match=words):
                scorer.score([make_request(1)], PROMPT)
        finally:
            scorer.close()
    finally:
        serving.terminate()
        serving.wait(timeout=60)


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False
