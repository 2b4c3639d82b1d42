"""What visitors cost the studio's process in memory: nothing that stays, however slow they are and however long they look.

Slow. `VLMRB_TICKS` sets another number of requests.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psutil
import pytest

from tests.store.samples import filled
from tests.studio_process import studio
from tests.waiting import wait_until
from vlmrb.store import Store

TICKS = int(os.environ.get("VLMRB_TICKS", "3000"))
TICKS_OF_A_VISIT = 25
CLIENTS = 200
PAGES = ("/", "/launch", "/studies", "/run", "/clips", "/prompts", "/compare")
POLLED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("activity", {}), ("table", {"known": {}}), ("facts", {"run": 1}), ("family", {"run": 1}), ("reasons", {"run": 1}),
    ("version", {"runs": [1]}), ("find", {"page": 1}), ("listed", {}), ("log", {"run": 1}),
)  # fmt: skip
"""What open pages ask for again and again."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_000)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, psutil.Process]]:
    """The port and the process of a studio that has drawn each page once."""
    path = str(tmp_path_factory.mktemp("memory") / "runs.db")
    with Store(path) as store:
        filled(store)
    with studio(path) as (port, process):
        wait_until(lambda: answers(port), "the studio to answer", 900)
        for _ in range(2):
            visit(port, 60)
        yield port, process


def answers(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        try:
            return get(connection, "/studio/assets/favicon.svg") != b""
        except OSError:
            return False


def get(connection: http.client.HTTPConnection, path: str, body: str | None = None) -> bytes:
    connection.request("GET" if body is None else "POST", path, body)
    reply = connection.getresponse()
    assert reply.status == 200, path
    return reply.read()


def visit(port: int, ticks: int) -> None:
    """Somebody opens every page, looks for some time, and goes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    session = f"session-{time.monotonic_ns()}"
    for page in PAGES:
        get(connection, page)
    components = json.loads(get(connection, "/config"))["components"]
    functions = {name: each["id"] for each in components for name in each["props"].get("server_fns") or []}
    for tick in range(ticks):
        name, request = POLLED[tick % len(POLLED)]
        body = {"session_hash": session, "component_id": functions[name], "fn_name": name, "data": request}
        assert "answer" in json.loads(get(connection, "/gradio_api/component_server/", json.dumps(body))), name
    connection.close()


def settled(process: psutil.Process) -> int:
    """Its memory in bytes, once it has stopped changing."""
    seen: list[int] = []

    def is_still() -> bool:
        time.sleep(0.5)
        seen.append(process.memory_info().rss)
        return len(seen) >= 6 and max(seen[-6:]) - min(seen[-6:]) < 2**20

    wait_until(is_still, lambda: f"its memory to stop changing: {seen[-6:]}", 300)
    return seen[-1]


def slow_sender(port: int) -> tuple[socket.socket, Iterator[bytes]]:
    """Somebody who sends a request byte by byte, and what is left to send."""
    body = json.dumps({"component_id": 1, "fn_name": "table", "data": {"known": "x" * 5_000}})
    request = f"POST /gradio_api/component_server HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    return socket.create_connection(("127.0.0.1", port), 60), (bytes([each]) for each in request.encode())


def slow_reader(port: int, path: str) -> socket.socket:
    """Somebody who asks for a large file and hardly takes it."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    reader.settimeout(60)
    reader.connect(("127.0.0.1", port))
    reader.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    return reader


def flood(port: int, process: psutil.Process) -> int:
    """Two hundred slow clients come and go; return the memory in bytes while they are there."""
    senders = [slow_sender(port) for _ in range(CLIENTS // 2)]
    readers = [slow_reader(port, "/studio/plotly.js" if number % 2 else "/config") for number in range(CLIENTS // 2)]
    for _ in range(40):
        for sender, request in senders:
            sender.sendall(next(request))
        for reader in readers:
            assert reader.recv(1)
    during = settled(process)
    assert answers(port)
    for client in (*(sender for sender, _ in senders), *readers):
        client.close()
    wait_until(lambda: not any(each.status == psutil.CONN_ESTABLISHED for each in process.net_connections()), "them to be gone")
    return during


def test_slow_clients_cost_little_and_leave_nothing_behind(running: tuple[int, psutil.Process]) -> None:
    port, process = running
    flood(port, process)  # what is read for the first time stays in memory
    before = settled(process)
    during = flood(port, process)
    after = settled(process)
    print(f"{before / 2**20:.1f} MiB before, {during / 2**20:.1f} during, {after / 2**20:.1f} after {CLIENTS} slow clients")
    assert after < 1.1 * before
    assert during - before < CLIENTS * 2**20 / 2


def test_a_day_of_polling_adds_nothing(running: tuple[int, psutil.Process]) -> None:
    port, process = running
    for _ in range(TICKS // TICKS_OF_A_VISIT // 4):
        visit(port, TICKS_OF_A_VISIT)
    sizes = [settled(process)]
    for _ in range(2):
        for _ in range(TICKS // TICKS_OF_A_VISIT // 2):
            visit(port, TICKS_OF_A_VISIT)
        sizes.append(settled(process))
    print(f"{[round(size / 2**20, 1) for size in sizes]} MiB at the beginning, in the middle and at the end of {TICKS} requests")
    assert sizes[2] - sizes[1] < 3 * 2**20
