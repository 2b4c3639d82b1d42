"""The studio as a whole, over HTTP: no header and no value makes it fail, and it serves nothing but its own pages."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app.address import parse_address
from app.front import Front
from app.gate import COOKIE, Login
from app.server import make_server
from app.studio import Studio
from tests.ending import end_jobs
from tests.store.samples import filled
from vlmrb import Store

HOME = "http://127.0.0.1:7860"
PAGES = ("/", "/launch", "/studies", "/run", "/clips", "/prompts", "/compare")
LONG = "9" * 5_000
HUGE = 10**4_200  # as long as JSON can be read
LOGIN = Login("studio", "correct horse")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    path = tmp_path_factory.mktemp("serving") / "runs.db"
    with Store(str(path)) as store:
        filled(store)
    studio = Studio.open(str(path))
    yield studio
    end_jobs(studio.store)  # values of fields can launch runs
    studio.close()


def server_of(studio: Studio, **options: Any) -> FastAPI:
    async def make() -> FastAPI:  # without a loop, Gradio makes several and leaves them open
        return make_server(studio, **options)

    return asyncio.run(make())


@pytest.fixture(scope="module")
def server(studio: Studio) -> FastAPI:
    return server_of(studio)


@pytest.fixture(scope="module")
def guarded(studio: Studio) -> FastAPI:
    """Reachable from other machines, with a login."""
    return server_of(studio, host="0.0.0.0", login=LOGIN)


@pytest.fixture(scope="module")
def behind(studio: Studio) -> FastAPI:
    """Behind a proxy; the path is also that of the studio's own files."""
    return server_of(studio, address=parse_address("https://lab.example/studio"))


@pytest.fixture
def client(server: FastAPI) -> TestClient:
    return client_of(server)


def client_of(server: FastAPI) -> TestClient:
    return TestClient(server, base_url=HOME, raise_server_exceptions=False, follow_redirects=False)


def gradio_of(server: FastAPI) -> Any:
    return next(route.app for route in server.routes if isinstance(getattr(route, "app", None), gr.routes.App))


def functions_of(client: TestClient) -> dict[str, int]:
    """The components that have each function of the pages' scripts."""
    components = client.get("/config").json()["components"]
    return {name: each["id"] for each in components for name in each["props"].get("server_fns") or []}


def call(client: TestClient, component: Any, name: Any, data: Any, session: str = "test") -> Any:
    body = json.dumps({"session_hash": session, "component_id": component, "fn_name": name, "data": data})
    return client.post("/gradio_api/component_server/", content=body)


VALUES = ["", "[", "[::1", "127.0.0.1:x", "127.0.0.1:99999", f"127.0.0.1:{LONG}", b"\xff\xfe", "a@b", "http://[::1", "null", LONG,
          "999.999.999.999", "xn--", "a=b; ;=;;\"", f"bytes=0-{LONG}", f"bytes={LONG}-", "bytes=5-1,3-2", "-1", "br;q=x",
          "text/html; charset=utf-99", "multipart/form-data", "http://" + "a" * 3_000]  # fmt: skip
HEADERS = ("Origin", "Cookie", "Range", "If-Range", "If-None-Match", "If-Modified-Since", "Content-Type", "Accept",
           "Accept-Encoding", "Accept-Language", "Referer", "User-Agent", "Forwarded", "X-Forwarded-Host",
           "X-Forwarded-Proto", "X-Forwarded-For", "X-Forwarded-Prefix", "X-Gradio-Server")  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: str(value)[:20])
def test_no_value_of_a_header_makes_the_studio_fail(client: TestClient, guarded: FastAPI, value: str | bytes) -> None:
    headers = dict.fromkeys(HEADERS, value)
    for path in ("/run", "/studio/assets/studio.js"):
        assert client.get(path, headers=headers).status_code == 200
    assert client.get("/theme.css", headers={"Host": value}).status_code in (400, 403)
    public = client_of(guarded)
    public.auth = (LOGIN.user, LOGIN.password)
    assert public.get("/theme.css", headers={"Host": value} | dict.fromkeys(HEADERS[:-1], value)).status_code < 500
    assert client_of(guarded).get("/theme.css", headers={"Authorization": value}).status_code in (401, 429)


@pytest.mark.parametrize(
    "path",
    [f"/studio/clip/{LONG}/sheet", f"/studio/clip/1/{LONG}", "/studio/clip/%00/sheet", "/studio/clip/١/sheet",
     "/studio/assets/%00", "/studio/assets/" + "a" * 300, "/assets/%00", "/assets/" + "a" * 300, "/static/" + "b/" * 900,
     "/svelte/%00", "/%00", "//",
     "/" + "x" * 9_000, "/gradio_api/file=%00", "/?deep_link=%00", "/?page=x", "/config?selected_page=x",
     "/config?deep_link=../x", f"/run?run={LONG}", f"/clips?page={LONG}", f"/studio/export?runs={LONG}",
     f"/studio/export?runs=1&metric={LONG}",
     f"/studio/export?runs=1&statistic={LONG}", f"/studio/export?runs=1&format={LONG}", "/studio/export?runs=%ff%fe",
     f"/studio/labelled?runs={LONG}", "/studio/labelled?runs=%ff%fe",
     "/studio/export?runs=1&metric=%00", "/studio/export?runs=1&metric=%ed%a0%80"],
)  # fmt: skip
def test_no_address_makes_the_studio_fail(client: TestClient, path: str) -> None:
    assert client.get(path).status_code < 500


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"1", b"null", LONG.encode(), b"[" * 100_000, b"\xff", b"x" * 2_000_000, b'{"component_id":1e999}',
     b'{"component_id":' + b"9" * 4_000 + b',"fn_name":"table"}', b'{"component_id":[],"fn_name":{}}', b'{"fn_name":"\\ud800"}'],
)  # fmt: skip
def test_a_malformed_call_is_refused_in_words(client: TestClient, body: bytes) -> None:
    reply = client.post("/gradio_api/component_server", content=body)
    assert reply.status_code in (400, 404, 413)
    assert reply.text.endswith(".")


REQUEST = {"run": 1, "runs": [1], "ids": [1], "clip_id": 10_000_001, "prompt": "Is it?", "scorer": "oracle",
           "methods": ["uniform"], "seeds": "0", "settings": {}, "study": "replay-8x8", "name": "mine", "text": "Is it?",
           "trial": 1, "control": 1,
           "agrees": True, "press": "1", "action": "tag"}  # fmt: skip
FIELDS = (*REQUEST, "page", "min_step", "min_p", "label", "event", "note", "seen", "sample", "frames", "threshold", "vary",
          "values", "limit", "known", "since", "step", "weight", "metric", "at", "steps", "tags", "set_name", "clip_ids",
          "prompt_id")  # fmt: skip
STRANGE = [HUGE, -HUGE, LONG, "1e999", "\ud800", "\0", [], {}, [HUGE], {"a": HUGE}, {LONG: LONG}, {"env": "os:x"}, {"seed": LONG}]


@pytest.mark.slow
@pytest.mark.parametrize("value", STRANGE, ids=lambda value: str(value)[:20])
def test_no_value_of_a_field_makes_a_function_fail(client: TestClient, value: Any) -> None:
    for name, component in functions_of(client).items():
        for field in FIELDS:
            reply = call(client, component, name, {**REQUEST, "press": field, field: value})
            assert reply.status_code == 200, (name, field)
            assert "made a mistake" not in str(reply.json().get("error")), (name, field)
        assert call(client, component, name, value).status_code == 200, name


def test_a_bug_in_a_function_is_told_in_words(server: FastAPI, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    component = functions_of(client)["table"]

    def broken(request: Any) -> float:
        return 1 / 0

    broken._is_server_fn = True  # type: ignore[attr-defined]
    monkeypatch.setattr(gradio_of(server).get_blocks().blocks[component], "table", broken)
    assert "see the terminal for details" in call(client, component, "table", {}).json()["error"]


def test_visitors_leave_nothing_in_memory(server: FastAPI, client: TestClient) -> None:
    component = functions_of(client)["table"]
    for session in range(50):
        assert "answer" in call(client, component, "table", {}, f"session {session}").json()
        client.get("/", headers={"Cookie": f"session={session}"})
    assert len(gradio_of(server).state_holder.session_data) == 0


@pytest.mark.parametrize(
    "path",
    ["queue/join", "queue/data", "run/x", "call/x", "api/x", "reset", "cancel", "heartbeat/x", "stream/x", "proxy=http://127.0.0.1:1/",
     "upload_progress", "user", "token", "dev/reload", "deep_link", "process_recording", "run-history/buckets"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_gradio_offers_beyond_the_pages_is_not_there(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, f"/gradio_api/{path}").status_code == 404


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:9999", "http://localhost:7860", "http://localhost:3000", "null", "http://evil.example"]
)
def test_no_page_of_another_origin_may_read_answers(client: TestClient, origin: str) -> None:
    for path in (
        "/",
        "/config",
        "/gradio_api/info",
        "/studio/export?runs=1",
        "/studio/labelled",
        "/studio/assets/studio.js",
        "/theme.css",
    ):
        reply = client.get(path, headers={"Origin": origin})
        assert not [name for name in reply.headers if name.startswith("access-control")], path
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    reply = client.options("/gradio_api/component_server", headers=asked)
    assert reply.status_code == 403
    assert not [name for name in reply.headers if name.startswith("access-control")]


# -- behind a proxy


@pytest.mark.parametrize("page", PAGES)
def test_a_page_takes_its_address_from_the_browser(client: TestClient, page: str) -> None:
    text = client.get(page).text
    assert '"root":new URL(".", location.href)' in text
    assert "studio.invalid" not in text and HOME not in text
    assert not re.findall(r"""(?:src|href)="/""", text)


def test_a_proxy_may_remove_the_path_or_leave_it(behind: FastAPI) -> None:
    client = client_of(behind)
    component = functions_of(client)["table"]
    body = json.dumps({"component_id": component, "fn_name": "table", "data": {}})
    built = re.search(r'src="\./(assets/[^"]+)"', client.get("/").text)
    assert built
    for start in ("", "/studio"):
        for path in ("/", "/clips", "/theme.css", "/studio/assets/studio.js", "/studio/plotly.js", f"/{built[1]}"):
            assert client.get(start + path).status_code == 200, start + path
        assert "answer" in client.post(f"{start}/gradio_api/component_server/", content=body).json()
        assert client.get(f"{start}/secrets").status_code == 404
        assert client.get(f"{start}/clips/").headers["Location"] == "../clips"
    assert client.get("/studio").headers["Location"] == "studio/"  # the addresses in a page need the slash


@pytest.mark.parametrize("prefix", ["/vlmrb", "/user/ada/proxy/7860", "/studio"])
def test_the_path_of_a_proxy_is_removed_once(prefix: str) -> None:
    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.url.path)

    inner = Starlette(routes=[Route("/{path:path}", page)])
    client = TestClient(Front(inner, pages=["", "run"], prefix=prefix), base_url=HOME, follow_redirects=False)
    for path in ("/", "/run", "/theme.css", "/assets/index.js", "/studio/assets/studio.js"):
        assert client.get(path).text == client.get(prefix + path).text == path
    for path in (f"{prefix}{prefix}/run", f"{prefix}run", f"{prefix}/x", f"/x{prefix}/run"):
        assert client.get(path).status_code == 404
    assert client.get(prefix).headers["Location"] == f"{prefix.rpartition('/')[2]}/"


def test_the_studios_own_page_behind_a_proxy_may_change_things(behind: FastAPI) -> None:
    client = client_of(behind)
    component = functions_of(client)["table"]
    body = json.dumps({"component_id": component, "fn_name": "table", "data": {}})
    for headers in (
        {"Origin": "https://lab.example"},
        {"Origin": "https://lab.example", "Host": "lab.example"},
        {"Origin": "https://other.example", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://other.example", "X-Forwarded-Host": "other.example"},
    ):
        assert client.post("/studio/gradio_api/component_server", content=body, headers=headers).status_code == 200, headers
    for headers in ({"Origin": "https://other.example"}, {"Origin": "https://other.example", "Sec-Fetch-Site": "same-site"}):
        reply = client.post("/studio/gradio_api/component_server", content=body, headers=headers)
        assert reply.status_code == 403 and "--root-path" in reply.text
    reply = client.get("/", headers={"Host": "other.example"})
    assert reply.status_code == 403 and "--root-path" in reply.text


# -- the login


def test_a_browser_that_has_logged_in_is_not_kept_out_by_one_who_tries_passwords(guarded: FastAPI) -> None:
    owner, attacker = client_of(guarded), client_of(guarded)
    owner.auth, attacker.auth = (LOGIN.user, LOGIN.password), (LOGIN.user, "wrong password")
    assert COOKIE in owner.get("/theme.css").cookies
    refused = [attacker.get("/theme.css").status_code for _ in range(6)]
    gate = guarded.middleware_stack.app  # type: ignore[union-attr]
    while not hasattr(gate, "_attempts"):
        gate = gate.app
    while gate._attempts.reserve("testclient") is not None:  # as if many more came at once
        pass
    assert set(refused) == {401}
    reply = attacker.get("/theme.css")
    assert reply.status_code == 429 and int(reply.headers["Retry-After"]) <= 10
    assert owner.get("/theme.css").status_code == 200
    stranger = client_of(guarded)
    stranger.auth = owner.auth
    assert stranger.get("/theme.css", headers={"Cookie": f"{COOKIE}=made-up"}).status_code == 429
    assert owner.get("/theme.css", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 200


# -- environments


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module that can be imported and has not been."""
    (tmp_path / "unasked.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield "unasked"
    sys.modules.pop("unasked", None)


def test_typing_an_environment_imports_no_module_that_the_user_has_not_named(
    client: TestClient, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = functions_of(client)

    def problems(env: str, name: str = "check_form") -> dict[str, str]:
        request = {**REQUEST, "press": env, "settings": {"env": env, "scorer": "none"}}
        return call(client, functions[name], name, request).json()["answer"]["problems"]

    for env in (
        f"{module}:X-v0",
        f"{module}.part:X-v0",
        "__main__:X-v0",
        "os:X-v0",
        "antigravity:X-v0",
        ":X-v0",
        f" {module}:X-v0",
    ):
        for name in ("check_form", "launch"):
            assert "VLMRB_STUDIO_MODULES" in problems(env, name)["env"], env
    vary = {**REQUEST, "vary": "env", "values": f"DoorKey-5x5, {module}:X-v0", "settings": {"scorer": "none"}}
    assert (
        "VLMRB_STUDIO_MODULES" in call(client, functions["check_form"], "check_form", vary).json()["answer"]["problems"]["values"]
    )
    assert module not in sys.modules
    monkeypatch.setenv("VLMRB_STUDIO_MODULES", f"others, {module}")
    for env in (f"{module}:X-v0", f"{module}.part:X-v0"):  # then it is tried, and there is none
        assert "X-v0" in problems(env)["env"] and "VLMRB_STUDIO_MODULES" not in problems(env)["env"]
    assert "VLMRB_STUDIO_MODULES" in problems(f"{module}ed:X-v0")["env"]
