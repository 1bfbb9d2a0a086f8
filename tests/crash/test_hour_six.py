"""The sixth hour of a workflow: six hundred turns in one session, through the official SDK, with
what happens to a session in so long a time. It must end idle, complete and verified.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

import anthropic
import httpx2
import pytest

from freehold.cli.server_process import ServerProcess
from freehold.testing.messages_faults import Cut, Fail, Refuse
from freehold.testing.messages_server import MessagesServer
from freehold.testing.script import script
from tests.crash.victims import EFFECTS, KEY, append
from tests.servers import wait_for

TASKS, ROUNDS = 40, 14
"""Tasks of so many rounds of tools and a last word: fifteen turns each."""
PADDING = "x" * 2000
WINDOW = 60_000
"""Tokens, so that a few tasks fill it."""
APPROVAL, INTERRUPT = {10, 32}, {20}
KILLED_IN_TOOL, KILLED_IN_REQUEST = {15}, {30}
TROUBLE = {
    5: (Refuse(529, "overloaded_error", "Overloaded"),),
    17: (Cut(3),),
    25: (Fail(2), Refuse(500)),
}
TOOLS = [
    {
        "type": "agent_toolset_20260401",
        "configs": [{"name": "write", "permission_policy": {"type": "always_ask"}}],
    }
]


class Workflow:
    """One session of a client that survives its server."""

    def __init__(self, data_dir, environment):
        self.data_dir = data_dir
        self._environment = environment
        self._http = httpx2.Client(trust_env=False, timeout=60)
        self.acknowledged = []
        self.process = None
        self.client = None
        self.id = None

    def start(self):
        self.process = ServerProcess(
            self.data_dir, options=["--model", "anthropic"], environment=self._environment
        )
        self.client = anthropic.Anthropic(
            base_url=self.process.url,
            api_key=KEY,
            http_client=self._http,
            max_retries=2,
            _strict_response_validation=True,
        )

    def kill(self):
        """SIGKILL, and another server over the same data."""
        os.kill(self.process.process.pid, signal.SIGKILL)
        self.process.process.wait(10)
        self.process.__exit__(None, None, None)
        self.start()

    def close(self):
        self.process.__exit__(None, None, None)
        self._http.close()

    def open(self):
        beta = self.client.beta
        agent = beta.agents.create(
            name="Worker", model="claude-opus-5", system="Work in small steps.", tools=TOOLS
        )
        environment = beta.environments.create(name="hour-six")
        self.id = beta.sessions.create(agent=agent.id, environment_id=environment.id).id

    def send(self, *events):
        sent = self.client.beta.sessions.events.send(self.id, events=events)
        self.acknowledged += [event.id for event in sent.data]

    def status(self):
        return self.client.beta.sessions.retrieve(self.id).status

    def until_idle(self):
        wait_for(lambda: self.status() == "idle", seconds=90, every=0.05)

    def newest(self, **filters):
        """The type of the newest event, or the newest event of the wanted types."""
        listed = self.client.beta.sessions.events.list(self.id, order="desc", limit=1, **filters)
        event = next(iter(listed))
        return event if filters else event.type

    def effects(self):
        (found,) = (self.data_dir / "workspaces").glob(f"{self.id}/**/{EFFECTS}")
        return Counter(found.read_text().splitlines())


def message(text):
    return {"type": "user.message", "content": [{"type": "text", "text": text}]}


def task(n):
    """Rounds with one effect each. What is slow or asks is in the second of them."""
    rounds = [{"say": f"Step {k}. {PADDING}", **append(f"{n}-{k}")} for k in range(ROUNDS)]
    if n in APPROVAL:
        rounds[1] = {"tool": "write", "input": {"path": f"/workspace/{n}.txt", "content": "yes"}}
    if n in KILLED_IN_TOOL:
        rounds[1] = append(f"{n}-1", seconds=0.5)
    if n in INTERRUPT or n in KILLED_IN_REQUEST:
        rounds[1] = {**rounds[1], "delay_ms": 60_000 if n in INTERRUPT else 500}
    return script(*rounds, {"say": f"Task {n} is done."})


@contextmanager
def workflow(data_dir, api):
    opened = Workflow(
        data_dir,
        {
            "FREEHOLD_API_KEY": KEY,
            "ANTHROPIC_API_KEY": api.api_key,
            "ANTHROPIC_BASE_URL": api.url,
            "FREEHOLD_CONTEXT_WINDOW": str(WINDOW),
        },
    )
    opened.start()
    try:
        opened.open()
        yield opened
    finally:
        opened.close()


def work_through(work, api, n):
    """One task, with what happens in it."""
    api.fail_next(*TROUBLE.get(n, ()))
    effects = len(work.effects()) if n else 0
    work.send(message(task(n)))
    if n in KILLED_IN_TOOL:
        wait_for(lambda: len(work.effects()) == effects + 2, seconds=60, every=0.01)
        work.kill()
    if n in KILLED_IN_REQUEST | INTERRUPT:
        wait_for(lambda: len(work.effects()) == effects + 1, seconds=60, every=0.01)
        wait_for(lambda: work.newest() == "span.model_request_start", seconds=60, every=0.01)
    if n in KILLED_IN_REQUEST:
        work.kill()
    if n in INTERRUPT:
        work.send({"type": "user.interrupt"})
    work.until_idle()
    if n in APPROVAL:
        idle = work.newest(types=["session.status_idle"])
        (asked,) = idle.stop_reason.event_ids
        work.send({"type": "user.tool_confirmation", "tool_use_id": asked, "result": "allow"})
        work.until_idle()


@pytest.mark.timeout(900)
def test_six_hundred_turns_end_idle_complete_and_verified(tmp_path):
    with MessagesServer(window=WINDOW) as api, workflow(tmp_path / "data", api) as work:
        for n in range(TASKS):
            work_through(work, api, n)
        events = list(work.client.beta.sessions.events.list(work.id, limit=1000))
        check(work, events)
        verified = freehold("audit", "verify", work.id, "--data-dir", tmp_path / "data")
        assert verified.returncode == 0, verified.stdout + verified.stderr


def freehold(*arguments):
    command = [sys.executable, "-m", "freehold.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def check(work, events):
    kinds = Counter(event.type for event in events)
    ids = [event.id for event in events]
    assert set(work.acknowledged) <= set(ids)
    assert len(set(ids)) == len(ids)
    assert events[-1].type == "session.status_idle"
    assert events[-1].stop_reason.type == "end_turn"
    replies = [e for e in events if e.type == "span.model_request_end" and not e.is_error]
    assert len(replies) >= TASKS * (ROUNDS + 1) - ROUNDS
    assert kinds["session.error"] >= 3
    assert kinds["agent.thread_context_compacted"] >= 3
    results = Counter(e.tool_use_id for e in events if e.type == "agent.tool_result")
    assert results == Counter(e.id for e in events if e.type == "agent.tool_use")
    assert set(work.effects().values()) == {1}
    check_last_words(events)


def check_last_words(events):
    """Each task but the interrupted one came to its end, in order."""
    said = [e.content[0].text for e in events if e.type == "agent.message"]
    done = [text for text in said if text.startswith("Task ")]
    assert done == [f"Task {n} is done." for n in range(TASKS) if n not in INTERRUPT]
