"""A server that is killed with SIGKILL in the middle of a session, and the oracle of what must
still be true.

Each session appends markers to a file in its sandbox, one a tool use, so that an effect that
happened twice shows as a line that is there twice.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from freehold.cli.server_process import ServerProcess
from freehold.testing.script import script

KEY = "a-key-of-the-crash-tests"
HEADERS = {
    "x-api-key": KEY,
    "anthropic-beta": "managed-agents-2026-04-01",
    "anthropic-version": "2023-06-01",
}
EFFECTS = "effects.txt"


def append(marker: str, seconds: float = 0.0) -> dict[str, object]:
    """A tool use with one effect, visible as a line."""
    command = f"echo {marker} >> /workspace/{EFFECTS}" + (f"; sleep {seconds}" if seconds else "")
    return {"tool": "bash", "input": {"command": command}}


def work(tag: str) -> str:
    """Three rounds with tools, two of them at once in the second, and a last word."""
    return script(
        {"say": "One.", "delay_ms": 15, **append(f"{tag}-1", 0.03)},
        {"think": "Two at once.", "tools": [append(f"{tag}-2"), append(f"{tag}-3", 0.02)]},
        {"say": "Three.", "delay_ms": 10, **append(f"{tag}-4")},
        {"say": "Done."},
    )


@dataclass(frozen=True)
class Phase:
    """Kill `jitter` seconds at most after the n-th event of a type was seen."""

    name: str
    event: str
    nth: int
    jitter: float


PHASES = (
    Phase("after the post", "", 0, 0.02),
    Phase("model request open", "span.model_request_start", 1, 0.02),
    Phase("second model request", "span.model_request_start", 2, 0.01),
    Phase("first tool, cold sandbox", "agent.tool_use", 1, 0.4),
    Phase("parallel tools", "agent.tool_use", 3, 0.06),
    Phase("results committed", "agent.tool_result", 1, 0.005),
    Phase("between turns", "span.model_request_end", 2, 0.005),
    Phase("settling", "session.thread_status_idle", 1, 0.0),
    Phase("recovery", "healthz", 0, 0.15),
)


@dataclass
class Victim:
    """One data directory whose server is started and killed again and again. With an even seed its
    sandboxes have a network, and it a proxy, which takes it longer to start.
    """

    data_dir: Path
    seed: int
    kills: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.http = httpx2.Client(trust_env=False, timeout=30, headers=HEADERS)
        self.url = ""
        self.process: ServerProcess | None = None

    # ------------------------------------------------------------ the server
    def start(self) -> None:
        environment = {"FREEHOLD_API_KEY": KEY}
        network = "off" if self.seed % 2 else "on"
        options = ["--model", "scripted", "--network", network]
        self.process = ServerProcess(self.data_dir, options=options, environment=environment)
        self.url = self.process.url

    def kill(self, phase: Phase) -> None:
        """SIGKILL, and nothing else: no handler runs, nothing is flushed."""
        assert self.process is not None
        os.kill(self.process.process.pid, signal.SIGKILL)
        self.process.process.wait(10)
        self.process.__exit__(None, None, None)
        self.kills[phase.name] += 1

    def stop(self) -> None:
        if self.process is not None:
            self.process.__exit__(None, None, None)
        self.http.close()

    def request(self, method: str, path: str, body: object = None) -> dict[str, object]:
        answer = self.http.request(method, self.url + path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    # ------------------------------------------------------------ one round
    def session(self) -> Session:
        tools = [{"type": "agent_toolset_20260401"}]
        agent = self.request("POST", "/v1/agents", {"name": "A", "model": "m", "tools": tools})
        name = f"e-{time.time_ns()}"
        environment = self.request("POST", "/v1/environments", {"name": name})
        body = {"agent": agent["id"], "environment_id": environment["id"]}
        return Session(self, str(self.request("POST", "/v1/sessions", body)["id"]))

    def round(self, phase: Phase) -> Session:
        """Speaks to a new session, kills the server in the phase, starts it again and checks."""
        session = self.session()
        watcher = Watcher(self, session, phase)
        session.say(work(session.id[-6:]))
        watcher.wait()
        time.sleep(self.rng.uniform(0.0, phase.jitter))
        self.kill(phase)
        watcher.close()
        self.start()
        if phase.event == "healthz":
            time.sleep(self.rng.uniform(0.0, phase.jitter))
            self.kill(phase)
            self.start()
        session.check(watcher.seen)
        return session


class Session:
    """A session and everything the server acknowledged about it."""

    def __init__(self, victim: Victim, session_id: str) -> None:
        self.victim = victim
        self.id = session_id
        self.acknowledged: list[str] = []

    def say(self, text: str) -> None:
        message = {"type": "user.message", "content": [{"type": "text", "text": text}]}
        path = f"/v1/sessions/{self.id}/events"
        sent = self.victim.request("POST", path, {"events": [message]})
        self.acknowledged += [event["id"] for event in sent["data"]]

    def events(self) -> list[dict[str, object]]:
        return self.victim.request("GET", f"/v1/sessions/{self.id}/events?limit=1000")["data"]

    def until_idle(self) -> list[dict[str, object]]:
        """The history once the turn has ended. Polls a condition; fails by a deadline."""
        deadline = time.monotonic() + 30
        while True:
            events = self.events()
            if events and events[-1]["type"] == "session.status_idle":
                return events
            assert time.monotonic() < deadline, [event["type"] for event in events]
            time.sleep(0.01)

    def check(self, seen: list[str]) -> None:
        """The oracle."""
        events = self.until_idle()
        ids = [str(event["id"]) for event in events]
        assert ids[: len(seen)] == seen, "what a client saw before is not a prefix of what is there"
        assert set(self.acknowledged) <= set(ids), "an acknowledged event is gone"
        assert events[-1]["stop_reason"] == {"type": "end_turn"}
        uses = {e["id"]: e for e in events if e["type"] == "agent.tool_use"}
        results = Counter(e["tool_use_id"] for e in events if e["type"] == "agent.tool_result")
        assert results == Counter(list(uses)), "a tool use without exactly one result"
        self._check_effects(events, uses)

    def _check_effects(self, events, uses) -> None:
        lines = Counter(self.effects())
        for event in events:
            if event["type"] != "agent.tool_result":
                continue
            command = str(uses[event["tool_use_id"]]["input"]["command"])
            happened = lines[command.split()[1]]
            text = json.dumps(event["content"])
            assert happened <= 1, f"an effect happened {happened} times"
            if not event["is_error"]:
                assert happened == 1, "a successful call without its effect"
            else:
                assert "unknown" in text, text

    def effects(self) -> list[str]:
        found = list((self.victim.data_dir / "workspaces").glob(f"{self.id}/**/{EFFECTS}"))
        return found[0].read_text().splitlines() if found else []


class Watcher:
    """A client on the stream: which stamped events it saw, in order, and when the phase begins."""

    def __init__(self, victim: Victim, session: Session, phase: Phase) -> None:
        self.seen: list[str] = []
        self._phase = phase
        self._count = 0
        self._reached = threading.Event()
        self._opened = threading.Event()
        self._http = httpx2.Client(trust_env=False, timeout=30, headers=HEADERS)
        url = f"{victim.url}/v1/sessions/{session.id}/events/stream"
        self._thread = threading.Thread(target=self._follow, args=(url,), daemon=True)
        self._thread.start()
        assert self._opened.wait(10)
        if phase.event in ("", "healthz"):
            self._reached.set()

    def _follow(self, url: str) -> None:
        try:
            with self._http.stream("GET", url) as answer:
                self._opened.set()
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        self._read(json.loads(line[6:]))
        except httpx2.HTTPError:
            return  # the server was killed under it

    def _read(self, event: dict[str, object]) -> None:
        if event.get("processed_at"):
            self.seen.append(str(event["id"]))
        if event["type"] == self._phase.event:
            self._count += 1
            if self._count >= self._phase.nth:
                self._reached.set()

    def wait(self) -> None:
        """Until the phase begins."""
        assert self._reached.wait(30), f"{self._phase.name}: never reached"

    def close(self) -> None:
        self._thread.join(10)
        self._http.close()
