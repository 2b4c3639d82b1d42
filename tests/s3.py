"""Object stores on loopback: moto's S3, one that refuses, and a line to one that can be cut."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "a-key-for-tests",
    "AWS_SECRET_ACCESS_KEY": "a-secret-for-tests",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}

_reached = ""


def reach(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and those that it starts find that S3."""
    import s3fs

    global _reached
    if _reached != endpoint:  # connections are kept for as long as the process lives
        s3fs.S3FileSystem.clear_instance_cache()
        _reached = endpoint
    for name, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": endpoint}).items():
        monkeypatch.setenv(name, value)


@contextmanager
def running() -> Iterator[str]:
    """An S3 in this process; its URL."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def make_bucket(endpoint: str) -> str:
    """A new bucket's URL."""
    import boto3

    name = f"bucket-{uuid.uuid4().hex[:8]}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket=name)
    client.close()
    return f"s3://{name}"


@contextmanager
def refusing(status: int, code: str, message: str) -> Iterator[str]:
    """An S3 that answers everything with this error; its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # else it would not say "100 Continue", for which the client waits
        disable_nagle_algorithm = True  # headers and body are sent apart

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Line:
    """A TCP line to a server that breaks when `allowed` more bytes have gone towards it; None for never.

    Attributes:
        sent, received: bytes towards the server and back.
    """

    def __init__(self, endpoint: str) -> None:
        host, port = endpoint.removeprefix("http://").split(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.allowed: int | None = None
        self.sent = self.received = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, allowed: int | None) -> None:
        """Break everything once so many more bytes have been sent, and refuse until this is called again."""
        with self._lock:
            self.allowed = allowed

    def close(self) -> None:
        self._listener.close()
        self._break()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.allowed is not None and self.allowed <= 0:
                near.close()
                continue
            far = socket.create_connection(self._target)
            self._open |= {near, far}
            threading.Thread(target=self._pass, args=(near, far, self._count_sent), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, self._count_received), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, count: Callable[[int], int]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                passed = count(len(data))
                target.sendall(data[:passed])
                if passed < len(data):
                    self._break()
                    return
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._open.discard(end)

    def _count_sent(self, size: int) -> int:
        with self._lock:
            passed = size if self.allowed is None else max(0, min(size, self.allowed))
            if self.allowed is not None:
                self.allowed -= size
            self.sent += passed
            return passed

    def _count_received(self, size: int) -> int:
        with self._lock:
            self.received += size
            return size

    def _break(self) -> None:
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._open.clear()
