"""Recovery: the server is killed with SIGKILL in the middle of a turn and started again. From the
answer of `/healthz` to the answer that shows the next commit of the interrupted session.
"""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from bench.api import HEADERS, KEY, Api, message, until
from bench.report import Bounds, options, percentile, report
from freehold.cli.server_process import ServerProcess
from freehold.testing.script import script

_OPEN = message(script({"say": "Done.", "delay_ms": 120_000}))
"""A model request that outlasts the round: no commit but recovery's can follow the kill."""
_INTERRUPT = {"events": [{"type": "user.interrupt"}]}
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Outage:
    """Seconds to the interrupted session's next commit: since `/healthz` answered, and since the
    kill.
    """

    since_healthy: float
    since_kill: float


def measure(data_dir: Path, n: int) -> list[Outage]:
    """`n` kills of servers on one data directory, a session each."""
    found: list[Outage] = []
    server = _start(data_dir)
    try:
        while len(found) < n:
            api = Api(server.url)
            session = api.session(tools=False)
            last = _begin_turn(api, session)
            killed = time.perf_counter()
            server.process.kill()
            server.stop()
            server = _start(data_dir)
            found.append(_recover(server.url, session, last, killed))
    finally:
        server.stop()
    return found


def _start(data_dir: Path) -> ServerProcess:
    chosen = ["--model", "scripted", "--sandbox", "none"]
    return ServerProcess(data_dir, options=chosen, environment={"FREEHOLD_API_KEY": KEY})


def _begin_turn(api: Api, session: str) -> str:
    """The id of the session's last event, once its model request is open."""
    with api.stream(session) as frames:
        api.begin_post(f"/v1/sessions/{session}/events", _OPEN)
        api.end_post()
        return str(until(frames, "span.model_request_start").data["id"])


def _recover(url: str, session: str, last: str, killed: float) -> Outage:
    """Polls for the next commit; then ends the turn, so that the next kill finds none but its
    own.
    """
    address = url.removeprefix("http://")
    with closing(HTTPConnection(address, timeout=_SECONDS)) as connection:
        _get(connection, "/healthz")
        healthy = time.perf_counter()
        while _last_event(connection, session)["id"] == last:
            _check_deadline(healthy)
        at = time.perf_counter()
        Api(url).post(f"/v1/sessions/{session}/events", _INTERRUPT)
        while _last_event(connection, session)["type"] != "session.status_idle":
            _check_deadline(at)
    return Outage(at - healthy, at - killed)


def _last_event(connection: HTTPConnection, session: str) -> dict[str, Any]:
    page = _get(connection, f"/v1/sessions/{session}/events?order=desc&limit=1")
    newest: dict[str, Any] = page["data"][0]
    return newest


def _get(connection: HTTPConnection, path: str) -> dict[str, Any]:
    """The answer's JSON. Raises RuntimeError when it is not a 200."""
    connection.request("GET", path, None, HEADERS)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise RuntimeError(f"{response.status} {body!r}")
    answer: dict[str, Any] = json.loads(body)
    return answer


def _check_deadline(since: float) -> None:
    if time.perf_counter() - since > _SECONDS:
        raise RuntimeError(f"the session did not go on within {_SECONDS:.0f} s")


def main() -> None:
    given = options(__doc__, n=30)
    with tempfile.TemporaryDirectory(prefix="freehold-bench-") as directory:
        found = measure(Path(directory), given.n)
    healthy = [outage.since_healthy for outage in found]
    report("kill -9: healthy to next commit", healthy, Bounds(p50=500, p99=500), as_json=given.json)
    if not given.json:
        whole = [outage.since_kill for outage in found]
        shown = f"p50 {percentile(whole, 50):.2f} s, p99 {percentile(whole, 99):.2f} s"
        print(f"from the kill, a start of the server included: {shown}")


if __name__ == "__main__":
    main()
