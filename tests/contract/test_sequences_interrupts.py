"""Sequences of BEHAVIOUR 7.6 and 7.7: interrupts, and messages that queue while a session runs.

Every scenario asserts the whole list of events, in this process and over HTTP. The windows that
need a stand-still between two transactions are in `tests/protocol/test_interrupt_windows.py`.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import pytest

from freehold.testing.script import script
from freehold.toolset import INTERRUPTED
from tests.contract.conversations import (
    INTERRUPT,
    RUNNING,
    WORLDS,
    call,
    conversation,
    idle,
    place,
    request,
    says,
)
from tests.servers import server_in_process, wait_for

LONG = 60_000
"""Milliseconds that no test waits for."""


@pytest.fixture(scope="module", params=WORLDS)
def somewhere(request, tmp_path_factory):
    with place(request.param, tmp_path_factory.mktemp("interrupts")) as found:
        yield found


@pytest.fixture
def talk(somewhere):
    with conversation(somewhere) as talk:
        yield talk


BEGUN = [*RUNNING, "user.message", "span.model_request_start"]
STOPPED = ["span.model_request_end failed", "user.interrupt", *idle()]
ANSWERED = [*RUNNING, "user.message", *request("agent.message"), *idle()]
THREE_CALLS = [
    *BEGUN,
    "agent.tool_use bash allow",
    "agent.tool_use write ask",
    "agent.custom_tool_use lookup",
    "span.model_request_end",
]


def streaming(talk):
    """The model is in the middle of its reply."""
    talk.send(says({"say": "Never.", "delay_ms": LONG}))
    return wait_for(lambda: talk.requests and talk.requests[-1])


def calling(talk, *calls):
    """A call stands still in the sandbox."""
    talk.send(says({"tools": [call("bash", command="wait"), *calls]}, {"say": "Never."}))
    assert talk.place.sandbox.waiting.wait(20)


# ---------------------------------------------------------------- in the stream
def test_an_interrupt_drops_the_models_connection_at_once(talk):
    reply = streaming(talk)
    (sent,) = talk.send(INTERRUPT)
    assert reply.left.wait(1), "the connection to the model is still open"
    assert sent.processed_at is None
    assert talk.when_idle() == [*BEGUN, *STOPPED]
    assert talk.when("user.interrupt").id == sent.id
    talk.send(says({"say": "Again."}))
    assert talk.when_idle(2) == [*BEGUN, *STOPPED, *ANSWERED]
    assert [m["role"] for m in talk.requests[-1].json["messages"]] == ["user"]


def test_a_message_beside_the_interrupt_is_the_next_turn(talk):
    streaming(talk)
    talk.send(INTERRUPT, says({"say": "Instead."}))
    assert talk.when_idle(2) == [*BEGUN, *STOPPED, *ANSWERED]
    assert talk.when("agent.message").content[0].text == "Instead."


def test_messages_queued_before_the_interrupt_are_answered_after_it(talk):
    streaming(talk)
    talk.send(says({"say": "First."}))
    talk.send(INTERRUPT, says({"say": "Both."}))
    assert talk.when_idle(2) == [
        *BEGUN,
        *STOPPED,
        *RUNNING,
        "user.message",
        "user.message",
        *request("agent.message"),
        *idle(),
    ]
    assert len(talk.requests) == 2


def test_two_interrupts_end_one_turn(talk):
    streaming(talk)
    talk.send(INTERRUPT, INTERRUPT)
    stopped = [*STOPPED[:2], *STOPPED[1:]]
    assert talk.when_idle() == [*BEGUN, *stopped]


# ---------------------------------------------------------------- in the tools
def test_an_interrupt_ends_the_calls_that_run_and_those_that_wait(talk):
    calling(talk, call("write"), call("lookup"))
    talk.send(INTERRUPT)
    assert talk.when_idle() == [
        *THREE_CALLS,
        "agent.tool_result bash failed",
        "agent.tool_result write failed",
        "user.custom_tool_result lookup failed",
        "user.interrupt",
        *idle(),
    ]
    assert len(talk.requests) == 1


def test_after_an_interrupted_call_the_message_is_answered(talk):
    calling(talk)
    talk.send(says({"say": "Queued."}))
    talk.send(INTERRUPT)
    assert talk.when_idle(2) == [
        *BEGUN,
        "agent.tool_use bash allow",
        "span.model_request_end",
        "agent.tool_result bash failed",
        "user.interrupt",
        *idle(),
        *ANSWERED,
    ]
    assert talk.when("agent.message").content[0].text == "Queued."
    assert [block["type"] for block in talk.last_turn] == ["tool_result", "text"]


def test_answers_and_an_interrupt_while_calls_run(talk):
    """The answered calls keep their answers; an allowed one that had not begun never does."""
    calling(talk, call("write"), call("lookup"))
    talk.send(talk.allow("write"), talk.result("lookup", "found"))
    talk.send(INTERRUPT)
    assert talk.when_idle() == [
        *THREE_CALLS,
        "user.tool_confirmation allow write",
        "user.custom_tool_result lookup",
        "agent.tool_result bash failed",
        "agent.tool_result write failed",
        "user.interrupt",
        *idle(),
    ]
    assert talk.place.sandbox.calls == []
    talk.send(says({"say": "Again."}))
    talk.when_idle(2)
    given = [block["content"][0]["text"] for block in talk.last_turn[:3]]
    assert given == [INTERRUPTED, INTERRUPTED, "found"]


# ---------------------------------------------------------------- waiting, and idle
def test_an_interrupt_ends_the_wait_for_a_model_that_is_overloaded(talk):
    talk.send(says({"error": "overloaded", "retry_after": 600, "times": 1, "say": "Never."}))
    talk.when("session.thread_status_rescheduled")
    waiting = [
        *BEGUN,
        "span.model_request_end failed",
        "session.error",
        "session.status_rescheduled",
        "session.thread_status_rescheduled",
    ]
    assert talk.told() == waiting
    talk.send(INTERRUPT)
    assert talk.told() == [*waiting, "user.interrupt", *idle()]
    talk.send(INTERRUPT, says({"say": "Better."}))
    assert talk.when_idle(2) == [
        *waiting,
        "user.interrupt",
        *idle(),
        "user.interrupt",
        *ANSWERED,
    ]


def test_an_interrupt_of_an_idle_session_is_recorded_and_changes_nothing(talk):
    talk.send(INTERRUPT)
    assert talk.told() == ["user.interrupt"]
    assert talk.client.beta.sessions.retrieve(talk.session_id).status == "idle"
    talk.send(INTERRUPT, says({"say": "Hello."}))
    assert talk.when_idle() == ["user.interrupt", "user.interrupt", *ANSWERED]


# ---------------------------------------------------------------- 7.7 queued messages
def test_messages_sent_while_a_call_runs_are_read_together_without_an_idle(talk):
    calling(talk)
    talk.send(says({"say": "One."}))
    talk.send(says({"say": "Two."}), says({"say": "All three."}))
    begun = [*BEGUN, "agent.tool_use bash allow", "span.model_request_end"]
    assert talk.told() == [*begun, *["user.message queued"] * 3]
    talk.place.sandbox.go.set()
    assert talk.when_idle() == [
        *begun,
        "agent.tool_result bash",
        *["user.message"] * 3,
        *request("agent.message"),
        *idle(),
    ]
    assert talk.when("agent.message").content[0].text == "All three."


# ---------------------------------------------------------------- the real sandbox
@pytest.mark.parametrize("beside", [[], ["Instead."]], ids=["alone", "with a message"])
def test_an_interrupt_kills_every_process_of_a_command_within_a_second(tmp_path, beside):
    mark = f"{4000 + secrets.randbelow(1000)}.{secrets.randbelow(10**6):06d}"
    command = f"(sleep {mark} & setsid sleep {mark} & sleep {mark}); sleep {mark}"
    with server_in_process(tmp_path / "data") as server:
        session_id = server.new_session(tools=[{"type": "agent_toolset_20260401"}])
        events = f"/v1/sessions/{session_id}/events"
        server.say(session_id, script(call("bash", command=command), {"say": "Never."}))
        wait_for(lambda: len(sleeping(mark)) >= 3)
        said = [says({"say": text}) for text in beside]
        server.post(events, {"events": [INTERRUPT, *said]})
        accepted = time.monotonic()
        wait_for(lambda: not sleeping(mark))
        assert time.monotonic() - accepted < 1
        wait_for(lambda: server.events(session_id)[-1]["type"] == "session.status_idle")
        found = server.events(session_id)
    results = [event for event in found if event["type"] == "agent.tool_result"]
    assert [(r["is_error"], r["content"][0]["text"]) for r in results] == [(True, INTERRUPTED)]


def sleeping(mark):
    """Processes of this machine that sleep for that long."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:2] == [b"sleep", mark.encode()]:
            found.append(process)
    return found
