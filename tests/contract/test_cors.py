"""Web pages of other origins read nothing, unless the operator named theirs (DESIGN 9)."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from freehold.settings import Settings
from functions.cors import Cors
from functions.stream.app import make_app
from functions.stream.hub import Hub
from tests.servers import HEADERS, server_in_process

PAGE = "https://app.example.com"
OTHER = "https://app.example.com.evil.example"
ASKED = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "x-api-key,content-type",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    settings = {"cors_origins": (PAGE, "http://localhost:3000")}
    with server_in_process(tmp_path_factory.mktemp("cors"), settings=settings) as found:
        yield found


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    with server_in_process(tmp_path_factory.mktemp("closed")) as found:
        yield found


def _cors(answer):
    return {
        n: v for n, v in answer.headers.items() if n.startswith("access-control") or n == "vary"
    }


def _preflight(server, path, origin):
    return server.http.request("OPTIONS", server.url + path, headers={"origin": origin, **ASKED})


@pytest.mark.parametrize("path", ["/v1/agents", "/v1/sessions/sesn_1/events", "/nowhere"])
def test_a_browser_is_told_what_a_page_may_send_without_a_key(server, path):
    answer = _preflight(server, path, PAGE)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "DELETE" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].split(", ")
    assert set(allowed) == {"authorization", "*"}
    assert answer.headers["vary"] == "Origin"


def test_a_page_reads_answers_and_refusals(server):
    for key, path, status in (
        (server.key, "/v1/agents", 200),
        ("wrong", "/v1/agents", 401),
        (server.key, "/v1/agents/agent_none", 400),
        (server.key, "/nowhere", 404),
        (server.key, "/v1/agents?limit=0", 400),
    ):
        answer = server.request("GET", path, key=key, headers={"origin": PAGE})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["access-control-expose-headers"] == "*"
        assert answer.headers["request-id"]
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", [OTHER, "https://APP.example.com", f"{PAGE}/", "null", "*", ""])
def test_an_origin_is_compared_whole(server, origin):
    answer = server.request("GET", "/v1/agents", headers={"origin": origin})
    assert _cors(answer) == {"vary": "Origin"}
    refused = _preflight(server, "/v1/agents", origin)
    assert refused.status_code == 405
    assert _cors(refused) == {"vary": "Origin"}


def test_without_origins_no_answer_says_a_word_of_it(closed):
    assert _cors(closed.request("GET", "/v1/agents", headers={"origin": PAGE})) == {}
    refused = _preflight(closed, "/v1/agents", PAGE)
    assert refused.status_code == 405
    assert _cors(refused) == {}


def test_options_that_asks_nothing_is_no_preflight(server):
    answer = server.request("OPTIONS", "/v1/agents", headers={"origin": PAGE})
    assert answer.status_code == 405
    assert answer.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize(
    "origin",
    [
        *("", "*", "null", "https://", "ftp://a.b", "app.example.com"),
        *(f"{PAGE}/", f"{PAGE}/path", "https://*.example.com", "https://App.example.com"),
        "https://user@app.example.com",
    ],
)
def test_what_no_browser_would_send_is_no_origin(origin):
    with pytest.raises(ValidationError):
        Settings(cors_origins=(origin,))


# ---------------------------------------------------------------- ASGI, as streams are served
def _ask(asgi, path, method, headers):
    """Status and headers of an ASGI application's answer."""
    sent = []
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(n.encode(), v.encode()) for n, v in headers.items()],
    }

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(asgi(scope, receive, send))
    start = sent[0]
    return start["status"], {n.decode(): v.decode() for n, v in start["headers"]}


@pytest.mark.parametrize("name", ["server", "closed"])
def test_streams_are_read_by_the_same_pages(request, name):
    found = request.getfixturevalue(name)
    path = "/v1/sessions/sesn_none/events/stream"
    hub = Hub(found.app)
    try:
        asgi = make_app(found.app, hub)
        status, headers = _ask(asgi, path, "OPTIONS", {"origin": PAGE, **ASKED})
        refused, shared = _ask(
            asgi, path, "GET", {"origin": PAGE, "x-api-key": found.key, **HEADERS}
        )
    finally:
        hub.release()
    is_open = name == "server"
    assert status == (204 if is_open else 405)
    assert refused == 404
    for found_headers in (headers, shared):
        assert found_headers.get("access-control-allow-origin") == (PAGE if is_open else None)


def test_an_application_behind_it_keeps_its_own_headers():
    async def page(_):
        return PlainTextResponse("said", headers={"x-own": "1"})

    asgi = Cors(Starlette(routes=[Route("/", page)]), (PAGE,))
    status, headers = _ask(asgi, "/", "GET", {"origin": PAGE})
    assert (status, headers["x-own"], headers["access-control-allow-origin"]) == (200, "1", PAGE)
    assert "access-control-allow-origin" not in _ask(asgi, "/", "GET", {"origin": OTHER})[1]
