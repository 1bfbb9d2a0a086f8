"""Sequences of BEHAVIOUR 7.2 to 7.4: calls that ask, custom tools, and what may be sent meanwhile.

Every scenario asserts the whole list of events, in this process and over HTTP.
"""

from __future__ import annotations

import anthropic
import pytest

from tests.contract.conversations import (
    ASKING,
    INTERRUPT,
    LOOKUP,
    RUNNING,
    WORLDS,
    asked_again,
    call,
    conversation,
    idle,
    place,
    request,
    says,
)
from tests.contract.test_sdk import new_agent, unknown_fields

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module", params=WORLDS)
def somewhere(request, tmp_path_factory):
    with place(request.param, tmp_path_factory.mktemp("permissions")) as found:
        yield found


@pytest.fixture
def talk(somewhere):
    with conversation(somewhere) as talk:
        yield talk


def opened(*said):
    """A session's first turn up to the end of its first request."""
    return [*RUNNING, "user.message", *request(*said)]


def texts(result):
    return [block["text"] for block in result["content"]]


# ---------------------------------------------------------------- 7.2 calls that need nobody
def test_a_call_that_is_always_allowed_says_so(talk):
    talk.send(says(call("bash", command="hi"), {"say": "Done."}))
    assert talk.when_idle() == [
        *opened("agent.tool_use bash allow"),
        "agent.tool_result bash",
        *request("agent.message"),
        *idle(),
    ]
    assert talk.when("agent.tool_use").evaluation.type == "always_allow"


@pytest.mark.parametrize("name", ["grep", "teleport"])
def test_a_tool_that_is_disabled_or_unknown_is_answered_without_a_pause(talk, name):
    talk.send(says(call(name, pattern="x"), {"say": "Then not."}))
    assert talk.when_idle() == [
        *opened(f"agent.tool_use {name} deny"),
        f"agent.tool_result {name} failed",
        *request("agent.message"),
        *idle(),
    ]
    assert talk.when("agent.tool_use").evaluation is None
    said = talk.when("agent.tool_result").content[0].text
    assert said == f"Permission to use {name} has been denied."
    assert talk.place.sandbox.calls == []


# ---------------------------------------------------------------- 7.3 confirmations
def test_an_allowed_call_runs_and_the_turn_goes_on(talk):
    talk.send(says(call("write", command="kept"), {"say": "It wrote {result}"}))
    parked = [*opened("agent.tool_use write ask"), *idle("requires_action", "write")]
    assert talk.when_idle() == parked
    assert talk.when("agent.tool_use").evaluation.type == "always_ask"
    assert talk.client.beta.sessions.retrieve(talk.session_id).status == "idle"
    assert talk.place.sandbox.calls == []
    (sent,) = talk.send(talk.allow("write"))
    assert sent.processed_at is not None
    assert not {"deny_message", "session_thread_id"} & sent.to_dict().keys()
    assert talk.when_idle(2) == [
        *parked,
        "user.tool_confirmation allow write",
        *RUNNING,
        "agent.tool_result write",
        *request("agent.message"),
        *idle(),
    ]
    assert talk.when("agent.message").content[0].text == "It wrote kept"


@pytest.mark.parametrize("message", [None, "not on a Friday"])
def test_a_denied_call_is_answered_with_the_clients_words(talk, message):
    talk.send(says(call("write"), {"say": "I see."}))
    parked = talk.when_idle()
    talk.send(talk.deny("write", message))
    assert talk.when_idle(2) == [
        *parked,
        "user.tool_confirmation deny write",
        "agent.tool_result write failed",
        *RUNNING,
        *request("agent.message"),
        *idle(),
    ]
    said = "Permission to use write has been rejected."
    said += f" Rejection message: {message}" if message else ""
    assert talk.when("agent.tool_result").content[0].text == said
    assert [(texts(r), r["is_error"]) for r in talk.last_turn] == [([said], True)]
    assert talk.place.sandbox.calls == []


def test_some_answers_repeat_the_idle_with_what_remains(talk):
    calls = [call("write", command="w"), call("edit", command="e"), call("lookup", q="q")]
    talk.send(says({"tools": calls}, {"say": "All done."}))
    parked = [
        *opened(
            "agent.tool_use write ask", "agent.tool_use edit ask", "agent.custom_tool_use lookup"
        ),
        *idle("requires_action", "write", "edit", "lookup"),
    ]
    assert talk.when_idle() == parked
    talk.send(talk.allow("edit"))
    first = [
        *parked,
        "user.tool_confirmation allow edit",
        *asked_again("write", "lookup"),
    ]
    assert talk.told() == first
    talk.send(talk.result("lookup", "found"))
    second = [*first, "user.custom_tool_result lookup", *asked_again("write")]
    assert talk.told() == second
    talk.send(talk.deny("write"))
    assert talk.when_idle(4) == [
        *second,
        "user.tool_confirmation deny write",
        "agent.tool_result write failed",
        *RUNNING,
        "agent.tool_result edit",
        *request("agent.message"),
        *idle(),
    ]
    given = [(texts(r)[0], r["is_error"]) for r in talk.last_turn]
    rejected = "Permission to use write has been rejected."
    assert given == [(rejected, True), ("e", False), ("found", False)]


def test_several_answers_in_one_request_show_no_idle_in_between(talk):
    talk.send(says({"tools": [call("write", command="w"), call("edit", command="e")]}))
    parked = talk.when_idle()
    talk.send(talk.allow("edit"), talk.allow("write"))
    assert talk.when_idle(2) == [
        *parked,
        "user.tool_confirmation allow edit",
        "user.tool_confirmation allow write",
        *RUNNING,
        "agent.tool_result write",
        "agent.tool_result edit",
        *request("agent.message"),
        *idle(),
    ]


def test_the_allowed_calls_of_a_reply_run_before_it_waits(talk):
    calls = [call("edit"), call("bash", command="ran"), call("grep"), call("lookup")]
    talk.send(says({"say": "Four.", "tools": calls}, {"say": "Done."}))
    assert talk.when_idle() == [
        *opened(
            "agent.message",
            "agent.tool_use edit ask",
            "agent.tool_use bash allow",
            "agent.tool_use grep deny",
            "agent.custom_tool_use lookup",
        ),
        "agent.tool_result grep failed",
        "agent.tool_result bash",
        *idle("requires_action", "edit", "lookup"),
    ]
    assert [call.name for call in talk.place.sandbox.calls] == ["bash"]


def test_the_answers_and_a_message_in_one_request(talk):
    talk.send(says(call("write", command="w"), {"say": "Never reached."}))
    parked = talk.when_idle()
    talk.send(says({"say": "Both."}), talk.allow("write"))
    assert talk.when_idle(2) == [
        *parked,
        "user.tool_confirmation allow write",
        *RUNNING,
        "agent.tool_result write",
        "user.message",
        *request("agent.message"),
        *idle(),
    ]
    kinds = [block["type"] for block in talk.last_turn]
    assert kinds == ["tool_result", "text"]
    assert talk.when("agent.message").content[0].text == "Both."


# ---------------------------------------------------------------- what a parked session refuses
def test_a_message_to_a_parked_session_is_refused_with_the_ids_it_waits_for(talk):
    talk.send(says({"tools": [call("write"), call("lookup")]}))
    talk.when_idle()
    ids = f"{talk.use('write')}, {talk.use('lookup')}"
    assert talk.refused(says({"say": "Hm?"})) == (
        f"Invalid user.message event at events[0]: waiting on responses to events [{ids}]; only "
        "`user.tool_confirmation`, `user.custom_tool_result`, `user.tool_result`, or "
        "`user.interrupt` may be sent"
    )
    said = talk.refused(talk.allow("write"), says({"say": "Hm?"}))
    assert (
        f"user.message event at events[1]: waiting on responses to events [{talk.use('lookup')}]"
        in said
    )


def test_only_what_asks_is_answered_and_only_once(talk):
    talk.send(says({"tools": [call("write"), call("bash"), call("grep"), call("lookup")]}))
    talk.when_idle()
    confirmation = "Invalid user.tool_confirmation event at events[0]: no tool use"
    result = "Invalid user.custom_tool_result event at events[0]: no custom tool use"
    for name in ("bash", "grep", "lookup"):
        said = talk.refused(talk.allow(name))
        assert said == f"{confirmation} {talk.use(name)} is waiting for confirmation"
    for name in ("bash", "grep", "write"):
        said = talk.refused(talk.result(name, "mine"))
        assert said == f"{result} {talk.use(name)} is waiting for a result"
    unknown = {"type": "user.tool_confirmation", "tool_use_id": "sevt_nobody", "result": "allow"}
    assert talk.refused(unknown).startswith(confirmation)
    twice = talk.refused(talk.allow("write"), talk.deny("write"))
    assert twice.startswith("Invalid user.tool_confirmation event at events[1]")
    talk.send(talk.allow("write"))
    assert talk.refused(talk.deny("write")).startswith(confirmation)
    assert talk.refused({**talk.allow("write"), "deny_message": "no"}).endswith(
        'deny_message is only allowed when result is "deny"'
    )
    talk.send(talk.result("lookup", "found"))
    talk.when("agent.message")
    assert talk.refused(talk.result("lookup", "again")).startswith(result)


def test_a_wrong_thread_beside_an_answer_changes_nothing(talk):
    """The id of the call decides (WIRE_FACTS)."""
    talk.send(says(call("write", command="w"), {"say": "Done."}))
    talk.when_idle()
    (sent,) = talk.send({**talk.allow("write"), "session_thread_id": "sthr_somebody"})
    assert "session_thread_id" not in sent.to_dict()
    assert talk.when_idle(2)[-1] == "session.status_idle end_turn"


# ---------------------------------------------------------------- 7.3 interrupts of parked threads
def test_an_interrupt_closes_the_calls_and_asks_no_model(talk):
    talk.send(says({"tools": [call("write"), call("lookup")]}, {"say": "Never."}))
    parked = talk.when_idle()
    (sent,) = talk.send(INTERRUPT)
    interrupted = [
        *parked,
        "agent.tool_result write failed",
        "user.custom_tool_result lookup failed",
        "user.interrupt",
        *idle(),
    ]
    assert talk.told() == interrupted
    assert talk.when("user.interrupt").id == sent.id
    text = "Tool execution was interrupted before completion. Please retry."
    assert talk.when("agent.tool_result").content[0].text == text
    assert talk.when("user.custom_tool_result").content[0].text == text
    assert len(talk.requests) == 1
    assert "is waiting for" in talk.refused(talk.allow("write"))
    assert "is waiting for" in talk.refused(talk.result("lookup", "late"))
    talk.send(says({"say": "Again."}))
    assert talk.when_idle(3) == [
        *interrupted,
        *RUNNING,
        "user.message",
        *request("agent.message"),
        *idle(),
    ]
    assert [b["type"] for b in talk.last_turn] == ["tool_result", "tool_result", "text"]


def test_an_interrupt_and_a_message_in_one_request_unpark_and_go_on(talk):
    talk.send(says(call("write"), {"say": "Never."}))
    parked = talk.when_idle()
    talk.send(says({"say": "Instead."}), INTERRUPT)
    assert talk.when_idle(3) == [
        *parked,
        "agent.tool_result write failed",
        "user.interrupt",
        *idle(),
        *RUNNING,
        "user.message",
        *request("agent.message"),
        *idle(),
    ]
    assert talk.when("agent.message").content[0].text == "Instead."


def test_an_answer_behind_an_interrupt_refuses_the_whole_request(talk):
    talk.send(says(call("write")))
    talk.when_idle()
    said = talk.refused(INTERRUPT, talk.allow("write"))
    assert said.startswith("Invalid user.tool_confirmation event at events[1]")


# ---------------------------------------------------------------- 7.4 custom tools
def test_a_custom_tool_is_run_by_the_client(talk):
    talk.send(says(call("lookup", q="42"), {"say": "It is {result}"}))
    parked = [*opened("agent.custom_tool_use lookup"), *idle("requires_action", "lookup")]
    assert talk.when_idle() == parked
    use = talk.when("agent.custom_tool_use")
    assert use.input == {"q": "42"}
    assert not {"evaluated_permission", "evaluation", "session_thread_id"} & use.to_dict().keys()
    (sent,) = talk.send(talk.result("lookup", "shipped"))
    assert sent.processed_at is not None
    assert talk.when_idle(2) == [
        *parked,
        "user.custom_tool_result lookup",
        *RUNNING,
        *request("agent.message"),
        *idle(),
    ]
    assert talk.when("agent.message").content[0].text == "It is shipped"
    offered = next(t for t in talk.requests[0].json["tools"] if t["name"] == "lookup")
    assert offered == {name: value for name, value in LOOKUP.items() if name != "type"}


def test_an_agent_with_custom_tools_alone_is_told_of_no_sandbox(somewhere):
    with conversation(somewhere, tools=[LOOKUP]) as talk:
        talk.send(says(call("bash", command="x"), {"say": "Then not."}))
        told = talk.when_idle()
        assert "agent.tool_use bash deny" in told
        assert "system" not in talk.requests[0].json
        assert [tool["name"] for tool in talk.requests[0].json["tools"]] == ["lookup"]


def test_a_result_of_every_kind_of_block_reaches_the_model(talk):
    content = [
        {"type": "text", "text": "Four of them."},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {
            "type": "document",
            "title": "Notes",
            "context": "of yesterday",
            "source": {"type": "text", "media_type": "text/plain", "data": "a note"},
        },
        {
            "type": "search_result",
            "source": "https://example.com/a",
            "title": "A",
            "content": [{"type": "text", "text": "a passage"}],
            "citations": {"enabled": True},
        },
    ]
    talk.send(says(call("lookup"), {"say": "Seen."}))
    talk.when_idle()
    talk.send(talk.result("lookup", content=content, is_error=False))
    talk.when_idle(2)
    stored = talk.when("user.custom_tool_result").to_dict()
    assert stored["content"] == content
    assert stored["is_error"] is False
    uncited = {**content[3], "citations": {"enabled": False}}
    assert talk.last_turn[0]["content"] == [*content[:3], uncited]


def test_a_failed_result_and_an_empty_one_are_read_as_such(talk):
    talk.send(says({"tools": [call("lookup", q="a"), call("lookup", q="b")]}, {"say": "I see."}))
    talk.when_idle()
    first, second = (e.id for e in talk.events() if e.type == "agent.custom_tool_use")
    result = {"type": "user.custom_tool_result"}
    text = [{"type": "text", "text": "no such order"}]
    talk.send(
        {**result, "custom_tool_use_id": first, "content": text, "is_error": True},
        {**result, "custom_tool_use_id": second},
    )
    talk.when_idle(2)
    given = [(texts(r), r["is_error"]) for r in talk.last_turn]
    assert given == [(["no such order"], True), (["(no output)"], False)]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "redacted"},
        {"type": "text", "text": " "},
        {
            "type": "search_result",
            "source": "s",
            "title": "t",
            "content": [],
            "citations": {"enabled": False},
        },
        {
            "type": "search_result",
            "source": "",
            "title": "t",
            "content": [{"type": "text", "text": "x"}],
            "citations": {"enabled": False},
        },
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
    ],
)
def test_content_that_the_model_could_not_read_is_refused(talk, block):
    talk.send(says(call("lookup")))
    talk.when_idle()
    talk.refused(talk.result("lookup", content=[block]))


def test_answers_that_come_while_other_calls_run_need_no_idle(talk):
    calls = [call("bash", command="wait"), call("lookup"), call("write", command="w")]
    talk.send(says({"tools": calls}, {"say": "Done."}))
    assert talk.place.sandbox.waiting.wait(20)
    talk.send(talk.result("lookup", "early"))
    talk.send(talk.allow("write"))
    begun = [
        *opened(
            "agent.tool_use bash allow", "agent.custom_tool_use lookup", "agent.tool_use write ask"
        ),
        "user.custom_tool_result lookup",
        "user.tool_confirmation allow write",
    ]
    assert talk.told() == begun
    talk.place.sandbox.go.set()
    assert talk.when_idle() == [
        *begun,
        "agent.tool_result bash",
        "agent.tool_result write",
        *request("agent.message"),
        *idle(),
    ]
    assert [texts(r)[0] for r in talk.last_turn] == ["wait", "early", "w"]


def test_a_message_sent_while_calls_run_waits_behind_the_answers(talk):
    calls = [call("bash", command="wait"), call("lookup")]
    talk.send(says({"tools": calls}, {"say": "Never."}))
    assert talk.place.sandbox.waiting.wait(20)
    talk.send(says({"say": "Both read."}))
    talk.place.sandbox.go.set()
    parked = [
        *opened("agent.tool_use bash allow", "agent.custom_tool_use lookup"),
        "user.message queued",
        "agent.tool_result bash",
        *idle("requires_action", "lookup"),
    ]
    assert talk.when_idle() == parked
    talk.send(talk.result("lookup", "found"))
    parked.remove("user.message queued")
    assert talk.when_idle(2) == [
        *parked,
        "user.custom_tool_result lookup",
        *RUNNING,
        "user.message",
        *request("agent.message"),
        *idle(),
    ]
    assert talk.when("agent.message").content[0].text == "Both read."


# ---------------------------------------------------------------- toolsets in answers
def test_toolsets_are_answered_resolved(talk):
    expected = [
        {
            "type": "agent_toolset_20260401",
            "default_config": {"enabled": True, "permission_policy": {"type": "always_allow"}},
            "configs": [
                {"type": n, "name": n, "enabled": e, "permission_policy": {"type": p}}
                for n, e, p in (
                    ("write", True, "always_ask"),
                    ("edit", True, "always_ask"),
                    ("grep", False, "always_allow"),
                )
            ],
        },
        LOOKUP,
    ]
    session = talk.client.beta.sessions.retrieve(talk.session_id)
    assert [tool.to_dict() for tool in session.agent.tools] == expected
    agent = talk.client.beta.agents.retrieve(session.agent.id)
    assert [tool.to_dict() for tool in agent.tools] == expected
    assert unknown_fields(agent) == ["answer.tools[1].input_schema.additionalProperties"]
    same = talk.client.beta.agents.update(agent.id, version=1, tools=[ASKING, LOOKUP])
    assert same.version == 1


def test_the_policy_that_judges_every_call_is_refused_by_name(talk):
    toolset = {**ASKING, "default_config": {"permission_policy": {"type": "auto"}}}
    with pytest.raises(anthropic.BadRequestError, match="permission_policy: auto"):
        new_agent(talk.client, tools=[toolset])
