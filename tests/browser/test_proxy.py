"""The studio behind a reverse proxy that serves it under a path."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect


@contextmanager
def proxy(studio: str, path: str, *, removes_path: bool, keeps_host: bool) -> Iterator[str]:
    """A small reverse proxy; gives its address."""
    target = urlsplit(studio).netloc

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            if not f"{self.path}/".startswith(f"{path}/"):
                self.send_error(404)
                return
            asked = (self.path.removeprefix(path) or "/") if removes_path else self.path
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
            upstream = http.client.HTTPConnection(target, timeout=60)
            upstream.request(self.command, asked, body, headers | {"Host": self.headers["Host"] if keeps_host else target})
            reply = upstream.getresponse()
            answer = reply.read()
            upstream.close()
            self.send_response(reply.status)
            for name, value in reply.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{path}"
        server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize(("removes_path", "keeps_host"), [(True, False), (True, True), (False, True)])
def test_the_pages_work_behind_a_proxy(page, store_copy, start_studio, removes_path: bool, keeps_host: bool) -> None:
    studio = start_studio(store_copy, 0, *([] if removes_path else ["--root-path", "/lab/vlmrb"]))
    failed: list[str] = []
    page.on("response", lambda reply: failed.append(reply.url) if reply.status >= 400 else None)
    with proxy(studio.url, "/lab/vlmrb", removes_path=removes_path, keeps_host=keeps_host) as address:
        page.goto(address)  # without a slash at its end
        expect(page.get_by_text("DoorKey-5x5 dqn uniform s0").first).to_be_visible()
        page.goto(f"{address}/run?run=3")
        expect(page.get_by_text("DoorKey-5x5 dqn vlm").first).to_be_visible()
        with page.expect_response(lambda reply: "/studio/clip/" in reply.url and "thumbnail" in reply.url) as picture:
            page.goto(f"{address}/clips")
        assert picture.value.ok and picture.value.url.startswith(f"{address}/")
        expect(page.get_by_role("link", name=re.compile("^Clip [0-9]+")).first).to_be_visible()
        # until the page has added the missing slash, the browser may ask for its files one folder higher, where nothing is
        assert [url for url in failed if url.startswith(f"{address}/")] == []
