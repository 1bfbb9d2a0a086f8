"""Real servers for tests: in a process of its own, and in this process without a socket."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import anthropic
import httpx2
import uvicorn

from freehold import bootstrap
from freehold.cli.server_process import ServerProcess
from freehold.local.readiness import Readiness
from freehold.local.runs import LocalRuns
from freehold.local.web import Web
from freehold.settings import Settings
from freehold.testing.lambda_transport import LambdaTransport
from functions.api.handler import make_handler
from functions.reaper.handler import make_handler as make_reaper
from functions.run_tools.handler import make_handler as make_run_tools
from functions.run_turn.handler import make_handler as make_run_turn

HEADERS = {"anthropic-beta": "managed-agents-2026-04-01", "anthropic-version": "2023-06-01"}


@dataclass(frozen=True)
class Server:
    """Somewhere to send requests to. `process` is None for one in this process."""

    url: str
    key: str
    http: httpx2.Client
    process: ServerProcess | None = None
    app: object = None
    web: Web | None = None
    stop: Callable[[], None] | None = None

    def client(self, **options):
        """The official SDK, strict, without retries unless asked for."""
        return anthropic.Anthropic(
            base_url=self.url,
            http_client=self.http,
            _strict_response_validation=True,
            **{"api_key": self.key, "max_retries": 0, **options},
        )

    def request(self, method, path, *, key=None, headers=None, **options):
        """A plain request with key and beta header, unless `headers` sets one to None."""
        given = {"x-api-key": key or self.key, **HEADERS, **(headers or {})}
        sent = {name: value for name, value in given.items() if value is not None}
        return self.http.request(method, self.url + path, headers=sent, **options)

    def post(self, path, body):
        """The answer's JSON, which must be a 200."""
        answer = self.request("POST", path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def new_session(self, **fields):
        """The id of a session of a new agent without tools, or with `tools`."""
        agent = self.post(
            "/v1/agents",
            {"name": "A", "model": "claude-sonnet-5-5", "tools": fields.pop("tools", [])},
        )
        environment = self.post("/v1/environments", {"name": f"e-{secrets.token_hex(8)}"})
        body = {"agent": agent["id"], "environment_id": environment["id"], **fields}
        return self.post("/v1/sessions", body)["id"]

    def say(self, session_id, text):
        """Sends a message; answers its event."""
        message = {"type": "user.message", "content": [{"type": "text", "text": text}]}
        return self.post(f"/v1/sessions/{session_id}/events", {"events": [message]})["data"][0]

    def events(self, session_id):
        """The whole history, over all of its pages."""
        place = f"/v1/sessions/{session_id}/events"
        page = self.request("GET", place).json()
        found = page["data"]
        while page.get("next_page"):
            page = self.request("GET", place, params={"page": page["next_page"]}).json()
            found += page["data"]
        return found

    def until_idle(self, session_id):
        """The history once the session is idle after work."""

        def look():
            events = self.events(session_id)
            return events if events and events[-1]["type"] == "session.status_idle" else None

        return wait_for(look)


@contextmanager
def server_process(
    data_dir: Path, *, model="scripted", sandbox="auto", environment=None, options=()
):
    """`freehold serve` on a free port, ready when entered, stopped by its pid."""
    key = secrets.token_urlsafe(16)
    given = {"FREEHOLD_API_KEY": key, **(environment or {})}
    options = ["--model", model, "--sandbox", sandbox, *options]
    with (
        ServerProcess(data_dir, options=options, environment=given) as process,
        httpx2.Client(trust_env=False, timeout=30) as http,
    ):
        yield Server(process.url, given["FREEHOLD_API_KEY"], http, process)


@contextmanager
def server_in_process(data_dir: Path, **overrides):
    """The functions and the state machine in this process, the store on disk. No streams."""
    key = secrets.token_urlsafe(16)
    data_dir.mkdir(parents=True, exist_ok=True)
    settings = Settings(data_dir=data_dir, api_key=key, **overrides.pop("settings", {}))
    runs = LocalRuns()
    app = bootstrap.local(settings, runs=runs, **overrides)
    runs.open(
        {
            "run_turn": make_run_turn(app),
            "run_tools": make_run_tools(app),
            "reaper": make_reaper(app),
        }
    )
    transport = LambdaTransport(make_handler(app))
    try:
        with httpx2.Client(transport=transport, trust_env=False) as http:
            yield Server("http://freehold.invalid", key, http, app=app)
    finally:
        runs.close(5)
        bootstrap.close(app)


def wait_for(condition, seconds=20, every=0.005):
    """Polls until `condition` answers something true, and answers it."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(every)


@contextmanager
def server_in_thread(data_dir: Path, **overrides):
    """A listening server in a thread of this process: settings and adapters are the test's own."""
    with server_in_process(data_dir, **overrides) as local:
        web = Web(local.app, Readiness(local.app, local.app.sandboxes.usable()))
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(web.asgi, lifespan="off", log_config=None, ws="websockets-sansio")
        server = uvicorn.Server(config)
        loops = []

        async def main():
            loops.append(asyncio.get_running_loop())
            await server.serve(sockets=[listener])

        def stop():
            server.should_exit = True
            if thread.is_alive():
                loops[0].call_soon_threadsafe(web.hub.close)

        thread = threading.Thread(target=lambda: asyncio.run(main()), name="test-server")
        thread.start()
        wait_for(lambda: server.started)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with httpx2.Client(trust_env=False, timeout=30) as http:
                yield replace(local, url=url, http=http, web=web, stop=stop)
        finally:
            stop()
            thread.join(20)
            assert not thread.is_alive(), "the server did not stop"
            listener.close()
            web.close()
