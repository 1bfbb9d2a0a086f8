"""After a session is deleted and purged, nothing that was said, done or set in it lies in the data
directory: database, write-ahead log, blobs, workspaces, sandboxes (BEHAVIOUR 5.6).
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from freehold import keys
from freehold.engine import recovery
from tests.contract.test_sdk import TOOLSET, message, new_agent, new_environment, script, when_idle
from tests.servers import server_in_process, wait_for

MARKER = "a-marker-nobody-else-writes"
LARGE = "x" * 400_000
"""More than an item holds, so that it becomes a blob."""
WIDE = chr(0x10348)
"""Four bytes of one character: a system prompt's length is counted in characters."""


def places_of(marker, directory):
    """Where below a directory the marker stands, in a file or in a name."""
    found = set()
    for path in directory.rglob("*"):
        place = str(path.relative_to(directory))
        if marker in place:
            found.add(place)
        try:
            if path.is_file() and marker.encode() in path.read_bytes():
                found.add(place)
        except FileNotFoundError:
            continue  # it went while we looked
    return found


def test_a_purged_session_leaves_no_trace_of_itself(tmp_path):
    with server_in_process(tmp_path) as server:
        client = server.client()
        session = fill(client)
        before = {place.split("/")[0].split(".db")[0] for place in places_of(MARKER, tmp_path)}
        assert {"freehold", "blobs", "workspaces", "outputs"} <= before
        other = fill(client, marker="another")
        client.beta.sessions.delete(session)
        assert recovery.sweep(server.app).visited == 1
        wait_for(lambda: not places_of(MARKER, tmp_path))
        assert not places_of(session, tmp_path)
        assert places_of("another", tmp_path)
        assert client.beta.sessions.retrieve(other).status == "idle"
    assert not places_of(MARKER, tmp_path)


class Stuck:
    """Sandboxes of which one cannot be removed."""

    def __init__(self, sandboxes, session_id):
        self._sandboxes = sandboxes
        self._session_id = session_id

    def __getattr__(self, name):
        return getattr(self._sandboxes, name)

    def remove(self, ref):
        if ref.session_id == self._session_id:
            raise PermissionError("of another user")
        self._sandboxes.remove(ref)


def test_a_session_that_cannot_be_purged_holds_up_no_other_and_is_told_of(tmp_path, caplog):
    with server_in_process(tmp_path) as server:
        first, *others = [server.new_session() for _ in range(3)]
        for session in (first, *others):
            server.client().beta.sessions.delete(session)
        app = replace(server.app, sandboxes=Stuck(server.app.sandboxes, first))
        with pytest.raises(PermissionError):
            recovery.sweep(app)
        (left,) = app.records.due("purge/")
        assert keys.parse_session(left.pk).session_id == first
        (told,) = [line for line in caplog.records if line.msg == "visit_failed"]
        assert told.session_id == first
        assert recovery.sweep(server.app).visited == 1


def fill(client, marker=MARKER):
    """A session with the marker in all that can be written to it. Its id."""
    large = f"{marker}-{LARGE}"
    given = {
        "type": "agent_with_overrides",
        "id": new_agent(client, tools=[TOOLSET]).id,
        "system": f"{marker} {WIDE * 99_000}",
    }
    sessions = client.beta.sessions
    session = sessions.create(
        agent=given,
        environment_id=new_environment(client).id,
        title=f"{marker}-title",
        metadata={f"{marker}-key": f"{marker}-value"},
    )
    operator = {"type": "system.message", "content": [{"type": "text", "text": large}]}
    command = f"printf %s {marker} | tee /workspace/{marker} > /mnt/session/outputs/{marker}"
    long = f"echo {marker}; seq 40000"
    calls = [{"tool": "bash", "input": {"command": c}} for c in (command, long)]
    reply = {"think": f"{marker}-thought", "say": f"{marker}-said"}
    sessions.events.send(
        session.id, events=[message(large), script(*calls, {**reply}, {}), operator]
    )
    when_idle(client, session.id)
    events = list(sessions.events.list(session.id))
    assert sum(event.type == "agent.tool_result" for event in events) == len(calls)
    assert not any(getattr(event, "is_error", False) for event in events)
    sessions.update(session.id, title=f"{marker}-other", agent={"tools": []})
    return session.id
