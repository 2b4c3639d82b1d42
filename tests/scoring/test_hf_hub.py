"""The hf: back end against a hub on the loopback interface: download, pinned commit, and loading without the hub."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"
LOAD = """
import sys
from vlmrb.errors import ScorerSetupError
from vlmrb.scoring.hf import HFScorer
for name in sys.argv[1:]:
    try:
        print(HFScorer(name, scorer="hf:" + name).revision)
    except ScorerSetupError as error:
        print(error)
"""


class Hub(BaseHTTPRequestHandler):
    """The few hub endpoints that loading a model uses."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are sent apart
    folder: Path

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/somebody/tiny"):
            files = [
                {"rfilename": file.name, "type": "file", "path": file.name, "size": file.stat().st_size, "oid": "0" * 40}
                for file in self.folder.iterdir()
            ]
            answer = files if "/tree/" in path else {"id": "somebody/tiny", "sha": COMMIT, "siblings": files}
            self.reply(200, json.dumps(answer).encode())
        elif path.startswith("/somebody/tiny/resolve/"):
            file = self.folder / path.rpartition("/")[2]
            if file.is_file():
                body = file.read_bytes()
                self.reply(200, body, ETag=f'"{hashlib.sha1(body).hexdigest()}"', X_Repo_Commit=COMMIT)
            else:
                self.reply(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        else:
            self.reply(401, b"", X_Error_Code="RepoNotFound")

    do_HEAD = do_GET

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Log nothing."""


@pytest.mark.slow
def test_a_hub_model_is_pinned_to_its_commit_and_loads_from_the_cache_when_the_hub_is_gone(idefics3_folder, tmp_path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("TinyHub", (Hub,), {"folder": idefics3_folder}))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_CACHE": str(tmp_path),
        "HF_HUB_DISABLE_XET": "1",
        "ALL_PROXY": "http://127.0.0.1:9",  # this machine is never reached through it
        "HTTP_PROXY": "http://127.0.0.1:9",
    }

    def load(*names: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", LOAD, *names], env=environment, capture_output=True, text=True, check=True, timeout=120
        )
        return done.stdout.splitlines()

    found, absent = load("somebody/tiny", "somebody/absent")
    assert found == COMMIT
    assert "no such model on the hub; check the spelling" in absent
    server.shutdown()
    server.server_close()
    found, absent = load("somebody/tiny", "somebody/absent")
    assert found == COMMIT
    assert "the hub cannot be reached, and the model is not in the local cache" in absent
