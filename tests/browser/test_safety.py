"""What a running studio must refuse, tested over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from vlmrb import Store

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def client(store_copy: Path, start_studio: Callable[..., Any]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=start_studio(store_copy).url, timeout=30) as client:
        yield client


def ask(client: httpx.Client, function: str, request: Any) -> httpx.Response:
    """Call a widget's function as its script does, on the component that has it."""
    page = client.get("/config").json()
    component = next(c["id"] for c in page["components"] if function in (c["props"].get("server_fns") or []))
    body = {"session_hash": "test", "component_id": component, "fn_name": function, "data": request}
    return client.post("/gradio_api/component_server", json=body)


def test_a_running_studio_is_safe(client: httpx.Client, store_copy: Path) -> None:
    # pages are served, for this machine's own names only
    for path in ("/", "/launch", "/studies", "/run", "/clips", "/prompts", "/compare"):
        assert client.get(path).status_code == 200, path
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 403

    # no other file is served, neither by Gradio's route nor by the studio's
    secrets = [store_copy, ROOT / "pyproject.toml", Path("/etc/passwd"), ROOT / "assets" / "prompts.json"]
    for path in secrets:
        assert client.get(f"/gradio_api/file={path}").status_code == 403, path
        assert client.get(f"/studio/assets/{path}").status_code == 404, path

    # uploads are refused, and so are changes requested by another site's page
    assert client.post("/gradio_api/upload", files={"files": b"x"}).status_code == 403
    assert client.post("/gradio_api/component_server", json={}, headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.get("/gradio_api/info").json() == {"named_endpoints": {}, "unnamed_endpoints": {}}

    # the pages' functions refuse invalid values, and no other attribute of a component can be called
    for function, request in (
        ("facts", {"run": "1; DROP TABLE runs"}),
        ("find", {"label": "<script>"}),
        ("rename", {"run": 1, "name": ["x"]}),
        ("launch", {"settings": {"nonsense": "1"}}),
        ("try_prompt", {"runs": [1], "scorer": "oracle; rm -rf /", "prompt": "x"}),
        ("comparison", {"runs": [10**30]}),
        ("trial", {"trial": -1}),
        ("start", {"study": "../runs.db"}),
        ("results", {"study": ["replay-8x8"]}),
    ):
        reply = ask(client, function, request)
        assert reply.status_code == 200, function
        assert set(reply.json()) == {"error"}, function
    page = client.get("/config").json()
    component = next(c["id"] for c in page["components"] if c["props"].get("server_fns"))
    for name in ("__class__", "postprocess", "load_from_cache", "nothing"):
        body = {"session_hash": "test", "component_id": component, "fn_name": name, "data": {}}
        assert client.post("/gradio_api/component_server", json=body).status_code == 404, name
    with Store(str(store_copy)) as store:
        assert [run.run_id for run in store.runs()] == [3, 2, 1]
        assert store.jobs() == []
