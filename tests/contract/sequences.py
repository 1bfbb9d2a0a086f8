"""Whole sequences of events as a reader of a session sees them, in two worlds.

In this process, with the scripted model; and over HTTP, strict, with Claude's adapter in front of
the Messages API double.
"""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import anthropic
from pydantic import SecretStr

from freehold.adapters.claude import ClaudeApi, ClaudeModel
from freehold.keys import SessionKey
from freehold.services.keys import DEFAULT_WORKSPACE_ID
from freehold.testing.messages_server import MessagesServer
from freehold.testing.scripted_model import ScriptedModel
from tests.contract.relations import check_relations
from tests.contract.test_sdk import known, new_agent, new_environment
from tests.servers import Server, server_in_process, server_in_thread, wait_for
from tests.unit.sessions import Echo, Recorded

WORLDS = ["in process", "over HTTP"]
BEGIN = [
    "session.status_running",
    "session.thread_status_running",
    "user.message",
    "span.model_request_start",
]
"""A turn from its start to its first request."""


class EchoSandboxes(Echo):
    """As `Echo`, for a whole server."""

    def usable(self):
        return True


def end(reason="end_turn"):
    """A turn from its thread's idle to the session's."""
    return [
        f"session.thread_status_idle {reason}",
        "session.usage",
        f"session.status_idle {reason}",
    ]


def request(*said):
    """A model request after its start, with what its reply held."""
    return [*said, "span.model_request_end"]


@dataclass
class Scene:
    """A server, its client, and the model behind it."""

    server: Server
    client: anthropic.Anthropic
    model: Recorded

    def session(self, *, tools=(), agent=None, **fields):
        agent = agent or new_agent(self.client, tools=list(tools)).id
        environment = new_environment(self.client).id
        return known(
            self.client.beta.sessions.create(agent=agent, environment_id=environment, **fields)
        )

    def send(self, session, *events):
        return known(self.client.beta.sessions.events.send(session.id, events=list(events))).data

    def play(self, session, *events):
        """Sends events, and answers once the session rests."""
        self.send(session, *events)
        return self.rested(session)

    def rested(self, session):
        return self.until(session, "idle")

    def until(self, session, status):
        """The session, once it has that status."""

        def look():
            found = self.client.beta.sessions.retrieve(session.id)
            return found if found.status == status else None

        return known(wait_for(look))

    def listed(self, session):
        """The history through the client."""
        events = known(list(self.client.beta.sessions.events.list(session.id)))
        return [line(event.to_dict()) for event in events]

    def seen(self, session):
        """Every event of the session's feed from its first on, both sightings of what was queued:
        by a stream over HTTP, by the log in process.
        """
        history = list(self.client.beta.sessions.events.list(session.id))
        check_relations(history)
        last = history[-1].id
        if self.server.web is None:
            key = SessionKey(DEFAULT_WORKSPACE_ID, session.id)
            primary = self.server.app.log.read(key).session.primary_id
            events = self.server.app.log.events_after(key, primary, 0, limit=10_000)
            return [line(event.body) for event in events]
        headers = {"Last-Event-ID": "0"}
        found = []
        with self.client.beta.sessions.events.stream(session.id, extra_headers=headers) as stream:
            for event in stream:
                found.append(line(known(event).to_dict()))
                if event.id == last:
                    return found
        raise AssertionError("the stream ended before the session's last event")


def line(event: dict[str, Any]) -> str:
    """An event in a few words: its type, whether it waits, and what tells it from its like."""
    kind = event["type"]
    reason = (event.get("stop_reason") or {}).get("type")
    error = event.get("error") or {}
    words = [kind]
    if event.get("processed_at") is None:
        words.append("queued")
    if error:
        words += [error["type"], error["retry_status"]["type"]]
    if event.get("is_error"):
        words.append("failed")
    if kind == "session.updated":
        words += sorted({"agent", "metadata", "title"} & event.keys())
    return " ".join([*words, *([reason] if reason else [])])


@contextmanager
def scene(world, directory, **settings):
    """`world` is one of WORLDS. Retries do not wait. A `context_window` is the model's too."""
    window = settings.get("context_window")
    given = {"settings": {"retry_base_seconds": 0.0, "max_model_retries": 1, **settings}}
    with ExitStack() as stack:
        if world == "in process":
            model = Recorded(ScriptedModel(window))
            start = server_in_process
        else:
            api = stack.enter_context(MessagesServer(api_key="sk-test", window=window))
            claude = ClaudeModel(ClaudeApi(SecretStr("sk-test"), api.url))
            model = Recorded(stack.enter_context(closing(claude)))
            start = server_in_thread
        server = stack.enter_context(
            start(directory, model=model, sandboxes=EchoSandboxes(), **given)
        )
        yield Scene(server, server.client(), model)
