"""Programs of the SDK 0.121.0, as they were written for it. Runs in `.venv-sdk-0.121`;
test_sdk_0_121.py calls it and judges what it prints.

Each program follows one session from its first event on and reports, as JSON, what its stream
showed, what the history holds, and what of that the SDK's own types do not know. An exception ends
it with a traceback.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
from contextlib import contextmanager

import anthropic
import httpx
from anthropic import beta_async_tool
from anthropic.lib.sessions import accumulate_managed_agents_event
from anthropic.types.beta.sessions import (
    BetaManagedAgentsSessionEvent,
    BetaManagedAgentsStreamSessionEvents,
)
from pydantic import BaseModel, TypeAdapter, ValidationError

from tests.contract.sdk_surface import operations

LISTED = TypeAdapter(BetaManagedAgentsSessionEvent)
STREAMED = TypeAdapter(BetaManagedAgentsStreamSessionEvents)
MODEL = "claude-sonnet-5-5"
TOOLSET = {"type": "agent_toolset_20260401"}
ASKING = {**TOOLSET, "default_config": {"permission_policy": {"type": "always_ask"}}}
LOOKUP = {
    "type": "custom",
    "name": "lookup",
    "description": "Looks an order up.",
    "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
}
INTERRUPT = {"type": "user.interrupt"}
PREVIEWS = ["agent.message", "agent.thinking"]
RESTS = ("session.status_idle", "session.status_terminated", "session.deleted")
called = set()


def _note(request):
    place = re.sub(r"/[a-z]+_[0-9A-Za-z]{8,}", "/{}", request.url.path)
    called.add(f"{request.method} {place}")


client = anthropic.Anthropic(
    base_url=os.environ["FREEHOLD_URL"],
    api_key=os.environ["FREEHOLD_API_KEY"],
    max_retries=0,
    http_client=httpx.Client(trust_env=False, timeout=30, event_hooks={"request": [_note]}),
)
agents, environments, sessions = (
    client.beta.agents,
    client.beta.environments,
    client.beta.sessions,
)


# ---------------------------------------------------------------- what a program says
def message(*blocks):
    return {"type": "user.message", "content": list(blocks)}


def text(words):
    return {"type": "text", "text": words}


def says(*elements):
    """A message that is a script of the model's replies."""
    return message(text(f"script: {json.dumps(elements)}"))


def new_session(*tools, agent=None, **fields):
    agent = agent or agents.create(name="A", model=MODEL, tools=list(tools)).id
    environment = environments.create(name=f"e-{secrets.token_hex(8)}").id
    return sessions.create(agent=agent, environment_id=environment, **fields)


# ---------------------------------------------------------------- what it is shown
def line(event):
    """An event in a few words."""
    words = [event.type]
    if event.type in ("event_start", "event_delta"):
        return event.type
    if event.processed_at is None:
        words.append("queued")
    for name in ("error", "stop_reason"):
        words += [getattr(event, name).type] if getattr(event, name, None) else []
    return " ".join(words)


def unknown(value, path):
    """Every field, however deep, that the SDK's types do not know."""
    if isinstance(value, BaseModel):
        found = [f"{path}.{name}" for name in value.model_extra or ()]
        fields = type(value).model_fields
        return found + [u for n in fields for u in unknown(getattr(value, n, None), f"{path}.{n}")]
    if isinstance(value, list):
        return [u for inner in value for u in unknown(inner, f"{path}[]")]
    return []


def strange(events, adapter):
    """The events that are none of the SDK's types, which it reads all the same."""
    found = set()
    for event in events:
        try:
            adapter.validate_python(event.to_dict(mode="python", warnings=False))
        except ValidationError:
            found.add(line(event))
    return found


class Program:
    """A session, a stream of it, and what the stream showed."""

    def __init__(self, session):
        self.id = session.id
        self.seen = []
        self.stream = None

    def send(self, *events):
        return sessions.events.send(self.id, events=list(events)).data

    def follow(self, react=lambda event: ()):
        """Reads until the session rests, is waited for without an answer, or is gone. `react`
        answers what to send for an event.
        """
        for event in self.stream:
            self.seen.append(event)
            answers = list(react(event))
            if answers:
                self.send(*answers)
            elif event.type in RESTS:
                return event
        raise AssertionError("the stream ended before the session rested")

    def play(self, *events, react=lambda event: ()):
        self.send(*events)
        return self.follow(react)

    def use(self, name):
        return next(e.id for e in self.seen if e.type.endswith("tool_use") and e.name == name)


@contextmanager
def program(session, *, is_deleted=False, **options):
    """A stream that is open before the first event; at the end, `report` holds what there was."""
    made = Program(session)
    with sessions.events.stream(session.id, **options) as made.stream:
        yield made
    history = [] if is_deleted else list(sessions.events.list(session.id))
    shown = {e.id for e in made.seen if getattr(e, "processed_at", None)}
    extra = {u for e in [*made.seen, *history] for u in unknown(e, e.type)}
    made.report = {
        "streamed": [line(e) for e in made.seen],
        "listed": [line(e) for e in history],
        "lost": [line(e) for e in history if e.id not in shown],
        "strange": sorted(strange(made.seen, STREAMED) | strange(history, LISTED)),
        "fields": sorted(extra),
    }


# ---------------------------------------------------------------- the programs
def quickstart():
    with program(new_session(TOOLSET)) as it:
        end = it.play(message(text("Write a program, run it, and report.")))
        assert end.stop_reason.type == "end_turn"
    assert any(e.type == "agent.tool_result" and e.content for e in it.seen)
    assert any(e.type == "agent.message" and e.content[0].text for e in it.seen)
    return it.report


def tools():
    calls = [
        {"tool": "bash", "input": {"command": "ran"}},
        {"tool": "teleport", "input": {}},
    ]
    with program(new_session(TOOLSET)) as it:
        it.play(says({"think": "Hm.", "say": "Two.", "tools": calls}, {"say": "{result}"}))
    results = [e for e in it.seen if e.type == "agent.tool_result"]
    assert sorted(bool(r.is_error) for r in results) == [False, True]
    assert {e.evaluated_permission for e in it.seen if e.type == "agent.tool_use"} == {
        "allow",
        "deny",
    }
    return it.report


def custom_tools():
    def answer(event):
        if event.type == "agent.custom_tool_use":
            found = [text(f"order {event.input['q']}"), *BLOCKS[1:]]
            yield {
                "type": "user.custom_tool_result",
                "custom_tool_use_id": event.id,
                "content": found,
            }

    with program(new_session(LOOKUP)) as it:
        calls = [{"tool": "lookup", "input": {"q": q}} for q in "12"]
        it.play(says({"tools": calls}, {"say": "{result}"}), react=answer)
        while not any(e.type == "agent.message" for e in it.seen):
            it.follow()
    (said,) = (e for e in it.seen if e.type == "agent.message")
    assert said.content[0].text == "order 1\norder 2"
    return it.report


def tool_runner():
    """The SDK's own runner of custom tools."""
    executed = []

    @beta_async_tool(name="lookup", description="Looks an order up.")
    async def lookup(q: str) -> str:
        """Looks an order up."""
        executed.append(q)
        return f"order {q}"

    async def serve(session_id):
        options = {"base_url": client.base_url, "api_key": client.api_key, "max_retries": 0}
        async with anthropic.AsyncAnthropic(**options) as at_once:
            runner = at_once.beta.sessions.events.tool_runner(
                session_id, tools=[lookup], max_idle=0.3
            )
            return [(call.name, call.posted) async for call in runner]

    with program(new_session(LOOKUP)) as it:
        it.send(says({"tool": "lookup", "input": {"q": "7"}}, {"say": "{result}"}))
        assert asyncio.run(asyncio.wait_for(serve(it.id), 30)) == [("lookup", True)]
        while not any(e.type == "agent.message" for e in it.seen):
            it.follow()
    assert executed == ["7"]
    return it.report


def approvals():
    """The calls that ask are answered one by one."""
    calls = [{"tool": name, "input": {"command": name}} for name in ("bash", "read", "write")]
    with program(new_session(ASKING)) as it:
        waits = it.play(says({"tools": calls}, {"say": "Done."})).stop_reason
        assert (waits.type, len(waits.event_ids)) == ("requires_action", 3)
        confirm = {"type": "user.tool_confirmation"}
        denied = {"result": "deny", "deny_message": "not today"}
        waits = it.play({**confirm, "tool_use_id": it.use("read"), **denied}).stop_reason
        assert waits.event_ids == [it.use("bash"), it.use("write")]
        rest = [{**confirm, "tool_use_id": it.use(n), "result": "allow"} for n in ("bash", "write")]
        assert it.play(*rest).stop_reason.type == "end_turn"
    return it.report


def interrupt():
    """In the middle of a reply, with the next message beside it; and while the session waits."""

    def stop(event):
        if event.type == "span.model_request_start" and len(requests) == 0:
            requests.append(event)
            return [INTERRUPT, says({"say": "Instead."})]
        return []

    requests = []
    with program(new_session(ASKING)) as it:
        it.play(says({"say": "Never.", "delay_ms": 60_000}), react=stop)
        it.follow()
        it.play(says({"tool": "bash"}, {"say": "Never."}))
        assert it.play(INTERRUPT).stop_reason.type == "end_turn"
    said = [e.content[0].text for e in it.seen if e.type == "agent.message"]
    assert said == ["Instead."]
    return it.report


def overrides():
    """A session that differs from its agent, is changed while it is idle, and is told rules."""
    agent = agents.create(name="A", model=MODEL, system="Be brief.", tools=[TOOLSET])
    given = {"type": "agent_with_overrides", "id": agent.id, "version": 1, "system": "Be long."}
    session = new_session(agent=given, title="T", metadata={"a": "1"})
    assert (session.agent.system, session.agent.version) == ("Be long.", 1)
    with program(session) as it:
        changed = sessions.update(
            it.id, title="U", metadata={"a": None, "b": "2"}, agent={"tools": [LOOKUP]}
        )
        assert (changed.title, changed.metadata) == ("U", {"b": "2"})
        assert [tool.type for tool in changed.agent.tools] == ["custom"]
        it.play(says({"say": "One."}), {"type": "system.message", "content": [text("A rule.")]})
    return it.report


PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
BLOCKS = [
    text('script: [{"say": "Seen."}]'),
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    {
        "type": "document",
        "title": "Notes",
        "source": {"type": "text", "media_type": "text/plain", "data": "a note"},
    },
]


def blocks():
    """Begins with the session."""
    with program(new_session()) as it:
        it.play(message(*BLOCKS))
    (said,) = (e for e in it.seen if e.type == "user.message" and e.processed_at)
    assert [block.type for block in said.content] == ["text", "image", "document"]
    return it.report


def model_errors():
    with program(new_session(TOOLSET)) as it:
        for failing in (
            {"error": "overloaded", "times": 1, "retry_after": 0, "say": "Better."},
            {"error": "rate_limited"},
            {"error": "failed"},
            {"error": "billing"},
            {"say": "No.", "refuse": {"category": "cyber", "explanation": "Because."}},
        ):
            it.play(says(failing))
        rounds = [{"tool": "bash", "input": {"command": str(n)}} for n in range(6)]
        it.play(says(*rounds))
        assert it.play(says({"say": "Well."})).stop_reason.type == "end_turn"
    return it.report


def previews():
    """The SDK's accumulator makes of the previews what the message turns out to be."""
    with program(new_session(), event_deltas=PREVIEWS) as it:
        it.play(says({"think": "Hm.", "say": "A sentence of more than three words."}))
    whole, previewed = None, []
    for event in it.seen:
        if event.type in ("event_start", "event_delta", "agent.message"):
            whole = accumulate_managed_agents_event(whole, event)
            previewed.append(whole and "".join(block.text for block in whole.content))
    assert len(previewed) > 3
    assert previewed[-1] == previewed[-2] == "A sentence of more than three words."
    # How a reply is cut into deltas is nobody's promise.
    shown = it.report["streamed"]
    it.report["streamed"] = [
        words for n, words in enumerate(shown) if words != "event_delta" or shown[n - 1] != words
    ]
    return it.report


def compaction():
    """What has been said leaves no room for the second message."""
    with program(new_session()) as it:
        for tokens in (20_000, 8_000):
            end = it.play(message(text("x " * 2 * tokens), says({"say": "Noted."})["content"][0]))
            assert end.stop_reason.type == "end_turn"
    assert any(e.type == "agent.thread_context_compacted" for e in it.seen)
    return it.report


def thread_stream():
    session = new_session()
    (thread,) = sessions.threads.list(session.id)
    assert sessions.threads.retrieve(thread.id, session_id=session.id).status == "idle"
    with program(session) as it:
        it.stream.close()
        it.stream = sessions.threads.events.stream(thread.id, session_id=session.id)
        it.play(says({"say": "One."}))
        it.stream.close()
    listed = [line(e) for e in sessions.threads.events.list(thread.id, session_id=session.id)]
    assert listed == it.report["listed"]
    return it.report


def archived():
    with program(new_session()) as it:
        it.play(says({"say": "One."}))
        assert sessions.archive(it.id).status == "terminated"
        it.follow()
    assert sessions.retrieve(it.id).archived_at is not None
    return it.report


def deleted():
    with program(new_session(), is_deleted=True) as it:
        it.play(says({"say": "One."}))
        assert sessions.delete(it.id).type == "session_deleted"
        it.follow()
    return it.report


# ---------------------------------------------------------------- without a stream
def lists():
    """Pages and filters of every list; answers what the objects hold that the SDK does not know."""
    fetch = {"name": "web_fetch", "allowed_domains": ["example.com"]}
    toolset = {**ASKING, "configs": [fetch]}
    agent = agents.create(name="A", model=MODEL, tools=[toolset, LOOKUP], metadata={"k": "v"})
    for version in (1, 2, 3):
        agent = agents.update(agent.id, version=version, name=f"v{version + 1}")
    assert [a.version for a in agents.versions.list(agent.id, limit=2)] == [4, 3, 2, 1]
    assert agents.retrieve(agent.id, version=2).name == "v2"
    made = [new_session(agent=agent.id, title=str(n)) for n in range(5)]
    ours = {"agent_id": agent.id, "limit": 2}
    assert [s.title for s in sessions.list(**ours)] == list("43210")
    assert [s.title for s in sessions.list(**ours, order="asc")] == list("01234")
    late = sessions.list(**ours, created_at_gt=made[2].created_at, statuses=["idle"])
    assert [s.title for s in late] == list("43")
    assert made[0].environment_id in [e.id for e in environments.list(limit=2)]
    assert agent.id in [a.id for a in agents.list(limit=2, created_at_gte=agent.created_at)]
    it = Program(made[0])
    with sessions.events.stream(it.id) as it.stream:
        it.play(says({"say": "One."}))
    every = [e.id for e in sessions.events.list(it.id, limit=2)]
    assert [e.id for e in sessions.events.list(it.id, limit=2, order="desc")] == every[::-1]
    usage = sessions.events.list(it.id, types=["session.usage"])
    assert [e.type for e in usage] == ["session.usage"]
    objects = {"agent": agent, "session": sessions.retrieve(it.id)}
    objects["environment"] = environments.update(made[0].environment_id, description="d")
    objects["environment"] = environments.retrieve(made[0].environment_id)
    objects["thread"] = next(iter(sessions.threads.list(it.id)))
    assert environments.archive(made[1].environment_id).archived_at is not None
    spare = environments.create(name=f"e-{secrets.token_hex(8)}")
    assert environments.delete(spare.id).type == "environment_deleted"
    assert agents.archive(agent.id).archived_at is not None
    return {"fields": sorted({u for name, o in objects.items() for u in unknown(o, name)})}


def refusals():
    """Each as the class of exception that programs catch."""
    session = new_session()
    agent = agents.create(name="A", model=MODEL)
    agents.update(agent.id, version=1, name="B")
    stranger = client.with_options(api_key="nobody")
    attempts = [
        lambda: sessions.retrieve("sesn_011CZkZAtmR3yMPDzynEDxu7"),
        lambda: sessions.create(agent=agent.id, environment_id="env_011CZkZAtmR3yMPDzynEDxu7"),
        lambda: sessions.events.send(session.id, events=[{"type": "user.message", "content": []}]),
        lambda: agents.update(agent.id, version=1, name="C"),
        lambda: stranger.beta.sessions.retrieve(session.id),
        lambda: next(sessions.events.stream("sesn_011CZkZAtmR3yMPDzynEDxu7")),
    ]
    found = []
    for attempt in attempts:
        try:
            attempt()
        except anthropic.APIStatusError as error:
            found.append([type(error).__name__, error.body["error"]["type"], error.request_id])
    return found


PROGRAMS = [
    quickstart,
    tools,
    custom_tools,
    tool_runner,
    approvals,
    interrupt,
    overrides,
    blocks,
    model_errors,
    previews,
    compaction,
    thread_stream,
    archived,
    deleted,
]


if __name__ == "__main__":
    report = {
        "version": anthropic.__version__,
        "programs": {run.__name__: run() for run in PROGRAMS},
        "lists": lists(),
        "refusals": refusals(),
        "called": sorted(called),
        "operations": sorted(o.removesuffix("?beta=true") for o in operations()),
    }
    print(json.dumps(report))
