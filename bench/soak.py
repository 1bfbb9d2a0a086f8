"""Sessions followed over WebSockets for minutes while the store throttles, the table's stream
repeats, reorders and delays its records, posts fail and clients come and go: nothing may be lost,
nothing skipped.

The functions `api`, `websocket`, `fan_out`, `run_turn` and the state machine run in this process,
on SQLite with the stream of a table. It ends with an error where an event is missing.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import secrets
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from bench.report import machine, percentile
from bench.unreliable_cloud import Cloud
from freehold.ids import now
from freehold.keys import SessionKey
from freehold.testing.lambda_transport import LambdaTransport

_HEADERS = {"anthropic-beta": "managed-agents-2026-04-01", "anthropic-version": "2023-06-01"}
_PATIENCE = 60
_READERS = 2
"""Of each session; the first one speaks too."""


@dataclass
class Reader:
    """A client of one session that comes back with the last number it has."""

    cloud: Cloud
    key: str
    session_id: str
    last: int = 0
    ids: list[str] = field(default_factory=list)
    heard_at: dict[str, float] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    repeated: int = 0
    skipped: int = 0
    connection_id: str = ""
    changed: threading.Condition = field(default_factory=threading.Condition)

    def hear(self, text: str) -> None:
        """One message, on whichever thread posts it."""
        frame = json.loads(text)
        with self.changed:
            if frame["type"] in ("event", "event_stub"):
                self._take(frame)
            elif frame["type"] != "preview":
                self.answers[self.connection_id] = frame
            self.changed.notify_all()

    def _take(self, frame: Any) -> None:
        if frame["seq"] <= self.last:
            self.repeated += 1
            return
        self.skipped += frame["seq"] - self.last - 1
        self.last = frame["seq"]
        self.ids.append(frame["event"]["id"])
        self.heard_at.setdefault(frame["event"]["id"], time.monotonic())

    # ------------------------------------------------------------ connections
    def come(self) -> None:
        """A new connection, subscribed after what it has; again until it stands."""
        while True:
            self.connection_id = secrets.token_hex(8)
            self.cloud.gateway.open(self.connection_id, self.hear)
            headers = {"x-api-key": [self.key]}
            if self._event("CONNECT", multiValueHeaders=headers)["statusCode"] == 200:
                place = {"session_id": self.session_id, "after_seq": self.last}
                if self._is_granted("subscribe", **place):
                    return
            self.leave()

    def leave(self) -> None:
        """The gateway may not tell."""
        self.cloud.gateway.close(self.connection_id)
        if random.random() < 0.5:
            self._event("DISCONNECT")

    def stay(self) -> None:
        """Comes back where it was cut off."""
        if not self.cloud.gateway.is_open(self.connection_id):
            self.come()

    def say(self, text: str) -> str:
        """Sends a message until it is accepted, once; its event's id."""
        once = secrets.token_hex(8)
        content = [{"type": "text", "text": text}]
        events = [{"type": "user.message", "content": content}]
        while True:
            self.stay()
            answer = self._ask(
                "send", session_id=self.session_id, events=events, idempotency_key=once
            )
            if answer is not None and answer["type"] == "sent":
                return str(answer["data"][0]["id"])

    def _is_granted(self, action: str, **fields: Any) -> bool:
        """Whether what has no answer of its own was not refused."""
        answer = self._ask(action, **fields)
        return answer is None and self.cloud.gateway.is_open(self.connection_id)

    def _ask(self, action: str, **fields: Any) -> Any:
        self.answers.pop(self.connection_id, None)
        done = self._event("MESSAGE", body=json.dumps({"action": action, **fields}))
        if done["statusCode"] != 200:
            return {"type": "error"}
        return self.answers.pop(self.connection_id, None)

    def _event(self, kind: str, **fields: Any) -> Any:
        about = {"eventType": kind, "connectionId": self.connection_id}
        try:
            return self.cloud.websocket({"requestContext": about, **fields}, None)
        except Exception:  # noqa: BLE001 - API Gateway answers 500
            return {"statusCode": 500}


class Soak:
    """One run."""

    def __init__(self, cloud: Cloud, key: str, sessions: int, seconds: float) -> None:
        self._cloud = cloud
        self._key = key
        self._seconds = seconds
        self._http = httpx2.Client(transport=LambdaTransport(cloud.api), trust_env=False)
        self.readers = [self._readers() for _ in range(sessions)]
        self.latencies: list[float] = []
        self.turns = 0
        self._lock = threading.Lock()

    def run(self) -> None:
        """Works for the time given, then lets everything arrive."""
        end = time.monotonic() + self._seconds
        threads = [threading.Thread(target=self._work, args=(rs, end)) for rs in self.readers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._cloud.weather.is_calm = True
        deadline = time.monotonic() + _PATIENCE
        while (self._is_at_work() or self.missing()) and time.monotonic() < deadline:
            for reader in self._all():
                reader.stay()
            time.sleep(0.05)

    def _work(self, readers: list[Reader], end: float) -> None:
        speaker = readers[0]
        for reader in readers:
            reader.come()
        while time.monotonic() < end:
            said_at = time.monotonic()
            said_id = speaker.say("hello")
            self._wait(readers, said_id)
            for reader in readers:
                heard_at = reader.heard_at.get(said_id)
                if heard_at is not None:
                    with self._lock:
                        self.latencies.append(heard_at - said_at)
                if random.random() < 0.1:
                    reader.leave()
                    self._cloud.weather.count("clients came back")
            self.turns += 1

    def _wait(self, readers: list[Reader], event_id: str) -> None:
        """Until each has it, or is to come back for it."""
        deadline = time.monotonic() + _PATIENCE
        for reader in readers:
            while event_id not in reader.heard_at and time.monotonic() < deadline:
                reader.stay()
                with reader.changed:
                    reader.changed.wait(0.2)

    def missing(self) -> int:
        """Events that a reader does not have, or has in another order."""
        missing = 0
        for readers in self.readers:
            expected = self._logged(readers[0].session_id)
            for reader in readers:
                missing += len(expected) - len(reader.ids)
                missing += sum(a != b for a, b in zip(expected, reader.ids, strict=False))
        return missing

    def _is_at_work(self) -> bool:
        """Whether any session may still log something."""
        keys = [SessionKey("wrkspc_default", readers[0].session_id) for readers in self.readers]
        return any(self._cloud.log.read(key).session.running for key in keys)

    def _logged(self, session_id: str) -> list[str]:
        log = self._cloud.log
        key = SessionKey("wrkspc_default", session_id)
        thread_id = log.read(key).session.primary_id
        return [str(e.body["id"]) for e in log.scan(key, thread_id, beyond=0)]

    def _all(self) -> list[Reader]:
        return [reader for readers in self.readers for reader in readers]

    def _readers(self) -> list[Reader]:
        agent = self._post("/v1/agents", {"name": "A", "model": "claude-sonnet-5-5"})
        environment = self._post("/v1/environments", {"name": secrets.token_hex(8)})
        body = {"agent": agent, "environment_id": environment}
        session_id = self._post("/v1/sessions", body)
        return [Reader(self._cloud, self._key, session_id) for _ in range(_READERS)]

    def _post(self, path: str, body: Any) -> str:
        """The id of what it makes, asked for until it is there."""
        headers = {"x-api-key": self._key, "idempotency-key": secrets.token_hex(8), **_HEADERS}
        while True:
            answer = self._http.post("http://soak.invalid" + path, json=body, headers=headers)
            if answer.status_code == 200:
                return str(answer.json()["id"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--n", type=int, help="this many sessions for three seconds")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    logging.getLogger("freehold").addHandler(logging.NullHandler())  # failures are counted
    logging.getLogger("freehold").propagate = False
    sessions, seconds = (given.n, 3.0) if given.n else (given.sessions, given.seconds)
    key = secrets.token_urlsafe(16)
    with tempfile.TemporaryDirectory() as directory:
        cloud = Cloud(Path(directory), key)
        soak = Soak(cloud, key, sessions, seconds)
        soak.run()
        found = _figures(soak, cloud, sessions, seconds)
        cloud.close()
    if given.json:
        print(json.dumps(found))
    else:
        print(f"{machine()}, {now():%Y-%m-%d}")
        for name, value in found.items():
            print(f"{name:<28} {value}")
    if found["lost"] or found["skipped"]:
        sys.exit(1)


def _figures(soak: Soak, cloud: Cloud, sessions: int, seconds: float) -> dict[str, Any]:
    readers = [reader for readers in soak.readers for reader in readers]
    return {
        "machine": machine(),
        "n": sessions,
        "seconds": seconds,
        "turns": soak.turns,
        "events read": sum(len(reader.ids) for reader in readers),
        "events repeated": sum(reader.repeated for reader in readers),
        "lost": soak.missing(),
        "skipped": sum(reader.skipped for reader in readers),
        "p50_ms": round(percentile(soak.latencies, 50) * 1000, 2),
        "p99_ms": round(percentile(soak.latencies, 99) * 1000, 2),
        "p50_bound_ms": None,
        **dict(sorted(cloud.weather.counts.items())),
    }


if __name__ == "__main__":
    main()
