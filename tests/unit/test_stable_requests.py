"""A request is the same bytes whoever makes it: another process, another hash seed, another
session of the same agent.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from freehold.adapters.blobs import DirectoryBlobs
from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.sqlite import SqliteRecords
from freehold.domain.transcript import messages_of
from freehold.engine.history import History
from freehold.engine.turn import request_of
from freehold.event_log import EventLog
from freehold.keys import SessionKey
from freehold.session_doc import read_doc
from freehold.settings import Settings
from freehold.testing.script import script
from freehold.wire.sessions import SessionAgent
from tests.protocol.sessions import asking_agent, seed_session
from tests.unit.sessions import Bench

_PROGRAM = """
import json, sys
from pathlib import Path
from tests.unit.test_stable_requests import request_from
print(request_from(Path(sys.argv[1]), *sys.argv[2:]))
"""
SEEDS = ("0", "1", "4711", "random")
TOOLS = ("grep", "bash", "write", "glob", "edit", "read")


class _Stored:
    """As much of an `App` as reads sessions, in a process that has just begun."""

    def __init__(self, directory):
        self.records = SqliteRecords(directory / "db")
        self.blobs = DirectoryBlobs(directory / "blobs")
        self.log = EventLog(self.records, self.blobs, LocalSecrets(directory / "key"))


def request_from(directory, workspace_id, session_id, thread_id):
    """The next request of a thread, as JSON in the order of its fields."""
    app, key = _Stored(directory), SessionKey(workspace_id, session_id)
    return _request(app, key, thread_id)


def _request(app, key, thread_id):
    history = History(app, key, thread_id)
    history.refresh()
    agent = read_doc(app.records, app.blobs, key).doc.agent
    found = request_of(agent, messages_of(history.entries), Settings())
    return json.dumps([found.tools, found.system, found.messages])


def _agent():
    agent = asking_agent(policies=dict.fromkeys(TOOLS, "always_allow"))
    body = agent.model_dump(mode="json")
    body["system"] = "Be exact."
    schema = {
        "type": "object",
        "properties": {name: {"type": "string", "description": name} for name in "zaqwsxcderfv"},
        "required": ["z", "a"],
    }
    body["tools"] += [
        {"type": "custom", "name": name, "description": "d", "input_schema": schema}
        for name in ("zeta", "alpha", "midway")
    ]
    return SessionAgent.model_validate(body)


def test_every_process_and_hash_seed_makes_the_same_request(tmp_path):
    bench = Bench(tmp_path, path=tmp_path / "db", agent=_agent())
    rounds = [{"think": "Hm.", "tool": "bash", "input": {"command": "x", "b": 1, "a": {"d": 2}}}]
    bench.say(script(*rounds, {"say": "Done."}))
    here = _request(bench.app, bench.key, bench.thread_id)
    place = [str(tmp_path), bench.key.workspace_id, bench.key.session_id, bench.thread_id]
    for seed in SEEDS:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, *place],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout.strip() == here
    assert '"thinking"' in here


def test_every_session_of_an_agent_begins_with_the_same_bytes(tmp_path):
    agent = _agent()
    bench = Bench(tmp_path, agent=agent)
    bench.say(script({"tool": "bash", "input": {"command": "x"}}, {"say": "Done."}))
    key, _ = seed_session(bench.app, agent=agent)
    thread_id = bench.app.log.read(key).session.primary_id
    here = json.loads(_request(bench.app, bench.key, bench.thread_id))
    there = json.loads(_request(bench.app, key, thread_id))
    assert json.dumps(here[:2]) == json.dumps(there[:2])
    assert here[2] != there[2]
