"""Conversations through the official SDK, strict, with calls that ask: in this process, or over
HTTP with a stream open from the first event to the last.

The model is Claude's adapter in front of the Messages API double, which refuses every transcript
that the API would refuse; a refusal ends the turn and no scenario expects it.
"""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import anthropic
import httpx2
import pytest
from pydantic import SecretStr

from freehold.adapters.claude import ClaudeApi, ClaudeModel
from freehold.adapters.subprocess_sandbox import Probe
from freehold.testing.messages_server import MessagesServer
from freehold.testing.script import script
from freehold.toolset import INTERRUPTED, ToolResult
from tests.contract.relations import check_relations
from tests.contract.test_sdk import known, new_session
from tests.servers import Server, server_in_process, server_in_thread, wait_for
from tests.unit.sessions import Echo

KEY = "sk-double"
WORLDS = ["in process", "over HTTP"]
RUNNING = ["session.status_running", "session.thread_status_running"]
INTERRUPT = {"type": "user.interrupt"}
ASKING = {
    "type": "agent_toolset_20260401",
    "configs": [
        {"name": name, "permission_policy": {"type": "always_ask"}} for name in ("write", "edit")
    ]
    + [{"name": "grep", "enabled": False}],
}
"""`bash` runs at once, `write` and `edit` ask, `grep` is not there."""
LOOKUP = {
    "type": "custom",
    "name": "lookup",
    "description": "Looks an order up.",
    "input_schema": {
        "type": "object",
        "properties": {"q": {"type": "string"}},
        "required": ["q"],
        "additionalProperties": False,
    },
}


def idle(reason="end_turn", *names):
    """What ends a running period; `names` are the calls that the session waits for."""
    why = " ".join([reason, *names])
    return [f"session.thread_status_idle {why}", "session.usage", f"session.status_idle {why}"]


def asked_again(*names):
    """The session's idle after some of the answers."""
    return ["session.usage", f"session.status_idle {' '.join(['requires_action', *names])}"]


def request(*said):
    """One model request and what its reply held."""
    return ["span.model_request_start", *said, "span.model_request_end"]


def says(*elements):
    """A message that is a script of the model's replies."""
    content = [{"type": "text", "text": script(*elements)}]
    return {"type": "user.message", "content": content}


def call(name, **given):
    return {"tool": name, "input": given}


class Sandbox(Echo):
    """As `Echo`, and a call of `wait` stands still until the test lets it go or it is cancelled."""

    def __init__(self):
        super().__init__()
        self.reset()

    def reset(self):
        """As it was before any call."""
        self.calls = []
        self.waiting = threading.Event()
        self.go = threading.Event()
        self.cancelled = False

    def usable(self):
        return Probe("bubblewrap", ())

    def execute(self, sandbox, boot_id, call):
        if call.input.get("command") == "wait":
            self.waiting.set()
            assert self.go.wait(20)
        if self.cancelled:
            return ToolResult.text(INTERRUPTED, is_error=True)
        return super().execute(sandbox, boot_id, call)

    def cancel(self, sandbox, boot_id, calls):
        del sandbox, boot_id, calls
        self.cancelled = True
        self.go.set()


@dataclass
class Place:
    """A server, and what it works with."""

    server: Server
    api: MessagesServer
    sandbox: Sandbox
    is_streaming: bool


@dataclass
class Conversation:
    """One session, its client, and what has been seen of it."""

    place: Place
    client: anthropic.Anthropic
    session_id: str
    earlier_requests: int
    streamed: list[Any] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    # ------------------------------------------------------------ the client
    def send(self, *events):
        sent = self.client.beta.sessions.events.send(self.session_id, events=list(events))
        return known(sent).data

    def refused(self, *events):
        """The words of the 400 that these events meet; nothing of them is stored."""
        before = self.ids()
        with pytest.raises(anthropic.BadRequestError) as refused:
            self.send(*events)
        assert self.ids() == before
        error = refused.value.body["error"]
        assert error["type"] == "invalid_request_error"
        return error["message"]

    def allow(self, name):
        return self._confirm(name, result="allow")

    def deny(self, name, message=None):
        more = {} if message is None else {"deny_message": message}
        return self._confirm(name, result="deny", **more)

    def _confirm(self, name, **given):
        return {"type": "user.tool_confirmation", "tool_use_id": self.use(name), **given}

    def result(self, name, text=None, **given):
        """The result of a custom tool; content of its own in `content`."""
        content = {} if text is None else {"content": [{"type": "text", "text": text}]}
        use_id = {"custom_tool_use_id": self.use(name)}
        return {"type": "user.custom_tool_result", **use_id, **content, **given}

    # ------------------------------------------------------------ what is seen
    def events(self):
        """The history."""
        listed = self.client.beta.sessions.events.list(self.session_id, limit=1000)
        return known(list(listed))

    def ids(self):
        return [event.id for event in self.events()]

    def use(self, name):
        """The id of the latest call of a tool."""
        uses = [e for e in self.events() if e.type.endswith("tool_use") and e.name == name]
        return uses[-1].id

    def when(self, kind, times=1):
        """Waits until an event of a kind is there, and answers it."""

        def look():
            found = [event for event in self.events() if event.type == kind]
            return found[times - 1] if len(found) >= times else None

        return wait_for(look)

    def when_idle(self, times=1):
        """Waits until the session has idled so many times, and answers the history in short."""
        self.when("session.status_idle", times)
        return self.told()

    def told(self):
        return self.short(self.events())

    def short(self, events):
        """Each event in a few words; calls go by the name of their tool."""
        self.names |= {e.id: e.name for e in events if e.type.endswith("tool_use")}
        return [" ".join(self._words(event)) for event in events]

    def _words(self, event):
        words = [event.type]
        if event.processed_at is None:
            words.append("queued")
        if event.type == "user.tool_confirmation":
            words += [event.result, self.names[event.tool_use_id]]
        elif event.type.endswith("tool_use"):
            words += [event.name, *filter(None, [getattr(event, "evaluated_permission", None)])]
        elif event.type == "agent.tool_result":
            words += [self.names[event.tool_use_id], *["failed"] * bool(event.is_error)]
        elif event.type == "user.custom_tool_result":
            words += [self.names[event.custom_tool_use_id], *["failed"] * bool(event.is_error)]
        elif event.type.endswith("status_idle"):
            reason = event.stop_reason
            words += [reason.type, *(self.names[i] for i in getattr(reason, "event_ids", ()))]
        elif event.type == "span.model_request_end" and event.is_error:
            words.append("failed")
        return words

    # ------------------------------------------------------------ the model
    @property
    def requests(self):
        """The model requests of this conversation."""
        return self.place.api.requests[self.earlier_requests :]

    @property
    def last_turn(self):
        """What the last request to the model ended with."""
        last = self.requests[-1].json["messages"][-1]
        assert last["role"] == "user"
        return [{k: v for k, v in b.items() if k != "cache_control"} for b in last["content"]]


@contextmanager
def place(world, directory, *, sandbox=None, **settings):
    """`world` is `in process` or `over HTTP`."""
    is_streaming = world == "over HTTP"
    start = server_in_thread if is_streaming else server_in_process
    sandbox = sandbox or Sandbox()
    given = {"retry_base_seconds": 0.0, "ping_seconds": 0.2, **settings}
    with (
        MessagesServer(api_key=KEY) as api,
        closing(ClaudeModel(ClaudeApi(SecretStr(KEY), api.url))) as model,
        start(directory, model=model, sandboxes=sandbox, settings=given) as server,
    ):
        yield Place(server, api, sandbox, is_streaming)


@contextmanager
def conversation(place, *, tools=(ASKING, LOOKUP), **fields):
    """A new session. At the end every transcript was accepted, and the stream told the history,
    each queued event once more before.
    """
    client = place.server.client()
    session_id = new_session(client, tools=list(tools), **fields).id
    place.sandbox.reset()
    talk = Conversation(place, client, session_id, len(place.api.requests))
    if place.is_streaming:
        with _watched(talk):
            yield talk
    else:
        yield talk
    check_relations(talk.events())
    assert HTTPStatus.BAD_REQUEST not in [recorded.status for recorded in talk.requests]


@contextmanager
def _watched(talk):
    """A stream in a thread of its own."""
    with talk.client.beta.sessions.events.stream(talk.session_id) as stream:
        reader = threading.Thread(target=_follow, args=(stream, talk.streamed))
        reader.start()
        try:
            yield
            last = talk.ids()[-1:]
            wait_for(lambda: set(last) <= {event.id for event in talk.streamed})
        finally:
            stream.close()
            reader.join(20)
    processed = [event.id for event in talk.streamed if event.processed_at is not None]
    assert processed == talk.ids()
    queued = {event.id for event in talk.streamed if event.processed_at is None}
    kinds = {event.type for event in talk.streamed if event.id in queued}
    assert kinds <= {"user.message", "user.interrupt"}


def _follow(stream, seen):
    try:
        for event in stream:
            seen.append(known(event))
    except (httpx2.HTTPError, anthropic.APIConnectionError):
        return  # closed from this side
