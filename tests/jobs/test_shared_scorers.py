"""How shared scorers are doing, for pages: asked in the background, and nothing that a server says is taken on trust."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from vlmrb.errors import ScorerError
from vlmrb.jobs import SharedLook, SharedScorers, shared_scorers
from vlmrb.scoring import shared
from vlmrb.scoring.http import Http

CLIENT = {
    "run": 7, "name": "λ run", "waiting": 3, "answered": 40, "refused": 5, "given_up": 1, "clips_per_second": 2.5, "quiet_s": 0.5
}  # fmt: skip
HEALTH = {
    "models": ["embedded"], "waiting": 3, "max_waiting": 100, "refused": 5, "clips_per_second": 2.5, "clips_per_batch": 4.0,
    "ms_per_batch": 20.0, "busy": 0.5, "clients": [CLIENT],
}  # fmt: skip


@contextmanager
def server(body: bytes, status: int = 200, gate: threading.Event | None = None) -> Iterator[str]:
    """Answers every request with this, once the gate is open; gives the scorer's name."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if gate is not None:
                gate.wait(30)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        try:
            yield f"shared:http://127.0.0.1:{serving.server_address[1]}"
        finally:
            serving.shutdown()


def told(scorers: SharedScorers, scorer: str) -> SharedLook:
    """What is known once the server has been asked."""
    for _ in range(2_000):
        [look] = scorers.look(scorer)
        if look.reachable is not None:
            return look
        time.sleep(0.01)
    raise AssertionError("it was never asked")


def test_a_look_says_what_the_server_says() -> None:
    with server(json.dumps(HEALTH).encode()) as scorer:
        look = told(SharedScorers(), scorer)
    assert (look.reachable, look.problem, look.models, look.waiting, look.busy) == (True, "", ("embedded",), 3, 0.5)
    [client] = look.clients
    assert (client.run, client.name, client.answered, client.refused, client.given_up) == (7, "λ run", 40, 5, 1)


def test_a_server_that_hangs_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, scorers = threading.Event(), SharedScorers()
    with server(json.dumps(HEALTH).encode(), gate=gate) as scorer:
        for _ in range(50):
            assert scorers.look(scorer) == [SharedLook(scorer)]  # although nothing has come yet
        asking = [thread for thread in threading.enumerate() if thread.name == "vlmrb-shared-look"]
        assert len(asking) == 1
        gate.set()
        assert told(scorers, scorer).reachable
    monkeypatch.setattr(shared_scorers, "TIMEOUT_S", 0.2)
    with server(b"", gate=threading.Event()) as scorer:
        look = told(scorers, scorer)
    assert look.reachable is False and "does not answer" in look.problem


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"{}", "VLMRB_SCORER_KEY"),
        (200, b"[]", "no shared scorer"),
        (200, b'{"clients": 3}', "no shared scorer"),
        (404, b"<html>", "status 404"),
    ],
)
def test_what_is_no_shared_scorer_is_said_in_words(status: int, body: bytes, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMRB_SCORER_KEY", "s3cret-key")
    with server(body, status) as scorer:
        look = told(SharedScorers(), scorer)
    assert look.reachable is False and words in look.problem and "s3cret" not in repr(look)


def test_the_key_goes_to_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store may be somebody else's, and name a server of theirs."""
    monkeypatch.setenv("VLMRB_SCORER_KEY", "s3cret-key")
    given: dict[str, str] = {}

    class Watched(Http):
        def __init__(self, base_url: str, **options: Any) -> None:
            given[base_url] = options["api_key"]
            super().__init__(base_url, **options)

    monkeypatch.setattr(shared, "Http", Watched)
    for host in ("127.0.0.1:9", "localhost:9", "[::1]:9", "127.0.0.1.example:9", "scorer.example:9", "localhost.example:9"):
        with suppress(ScorerError):
            shared.health(f"http://{host}", 0.2)
        shared.notices(f"http://{host}", ["Does the agent open a door?"], timeout_s=0.2)
    assert {url for url, key in given.items() if key} == {"http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9"}
    assert len(given) == 6


def test_strange_numbers_become_none() -> None:
    strange = HEALTH | {
        "waiting": "many", "busy": float("nan"), "clips_per_second": -1, "models": 3,
        "clients": [3, {"run": True, "name": ["x"], "answered": 10**400}, *[CLIENT] * 100],
    }  # fmt: skip
    with server(json.dumps(strange).encode()) as scorer:
        look = told(SharedScorers(), scorer)
    assert (look.waiting, look.busy, look.clips_per_second, look.models) == (0, 0.0, 0.0, ())
    assert len(look.clients) == 50 and look.clients[1].run is None and look.clients[0].answered == 0


def test_only_shared_members_are_asked() -> None:
    scorers = SharedScorers()
    assert scorers.look(None) == scorers.look("embedded") == scorers.look("vote:oracle|reward") == []
    with server(json.dumps(HEALTH).encode()) as scorer:
        assert [look.scorer for look in scorers.look(f"vote:{scorer}|oracle|{scorer}@frames=4")] == [scorer]
        assert told(scorers, scorer).reachable
