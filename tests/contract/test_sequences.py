"""The sequences of BEHAVIOUR 7 and the tests that hold them, each with the complete list of events,
in this process and over HTTP; and those that no other module has.
"""

from __future__ import annotations

import ast
from pathlib import Path

import anthropic
import pytest

from freehold.ids import new_id
from tests.contract.conversations import (
    ASKING,
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
from tests.contract.coverage import Done, NotYet
from tests.contract.relations import check_relations

HERE = Path(__file__)
COUNT = {
    "type": "custom",
    "name": "count",
    "description": "Counts.",
    "input_schema": {"type": "object"},
}
ALLOW = {
    "type": "agent_toolset_20260401",
    "configs": [{"name": "grep", "enabled": False}],
}


def _in(module, *tests):
    return [Done(f"tests/contract/test_sequences{module}.py::test_{test}") for test in tests]


_COMPACTION = "tests/contract/test_sdk_compaction.py"
SEQUENCES = {
    "7.1 plain turn": [
        *_in("", "a_plain_turn_event_by_event"),
        *_in("_session", "a_session_with_initial_events_is_born_running"),
        Done("tests/contract/test_streams.py::test_previews_where_asked_for"),
    ],
    "7.2 one call, allowed": _in("_permissions", "a_call_that_is_always_allowed_says_so"),
    "7.2 words before a call, parallel calls, several rounds": _in("", "rounds_of_parallel_calls"),
    "7.2 a tool that is not enabled": _in(
        "_permissions", "a_tool_that_is_disabled_or_unknown_is_answered_without_a_pause"
    ),
    "7.2 limit on rounds": _in("_errors", "tool_rounds_have_a_limit"),
    "7.2 web tools": [
        Done(f"tests/contract/test_sdk_web.py::test_{test}")
        for test in (
            "a_turn_in_which_the_model_fetches_a_page",
            "a_fetch_that_asks_is_made_once_it_is_allowed",
        )
    ],
    "7.3 allow": _in("_permissions", "an_allowed_call_runs_and_the_turn_goes_on"),
    "7.3 deny": _in("_permissions", "a_denied_call_is_answered_with_the_clients_words"),
    "7.3 several answers in a request": _in(
        "_permissions", "several_answers_in_one_request_show_no_idle_in_between"
    ),
    "7.3 partial answers": _in("_permissions", "some_answers_repeat_the_idle_with_what_remains"),
    "7.3 mixed response": _in("_permissions", "the_allowed_calls_of_a_reply_run_before_it_waits"),
    "7.3 interrupt while parked": _in(
        "_permissions",
        "an_interrupt_closes_the_calls_and_asks_no_model",
        "an_interrupt_and_a_message_in_one_request_unpark_and_go_on",
    ),
    "7.3 parked: what is refused": _in(
        "_permissions",
        "a_message_to_a_parked_session_is_refused_with_the_ids_it_waits_for",
        "only_what_asks_is_answered_and_only_once",
        "an_answer_behind_an_interrupt_refuses_the_whole_request",
    ),
    "7.3 policy `auto`": [NotYet("permission_policy: auto")],
    "7.4 result after the idle": _in("_permissions", "a_custom_tool_is_run_by_the_client"),
    "7.4 result before the idle": _in(
        "_permissions", "answers_that_come_while_other_calls_run_need_no_idle"
    ),
    "7.4 failed result": _in("", "a_failed_result_of_a_custom_tool"),
    "7.5 MCP tools": [NotYet("mcp_servers")],
    "7.6 mid-stream": _in(
        "_interrupts",
        "an_interrupt_drops_the_models_connection_at_once",
        "a_message_beside_the_interrupt_is_the_next_turn",
        "two_interrupts_end_one_turn",
    ),
    "7.6 running calls": _in(
        "_interrupts",
        "an_interrupt_ends_the_calls_that_run_and_those_that_wait",
        "after_an_interrupted_call_the_message_is_answered",
        "answers_and_an_interrupt_while_calls_run",
    ),
    "7.6 queued messages": _in(
        "_interrupts", "messages_queued_before_the_interrupt_are_answered_after_it"
    ),
    "7.6 waiting for a retry": _in(
        "_interrupts", "an_interrupt_ends_the_wait_for_a_model_that_is_overloaded"
    ),
    "7.6 idle": _in(
        "_interrupts", "an_interrupt_of_an_idle_session_is_recorded_and_changes_nothing"
    ),
    "7.6 of one thread": _in("", "an_interrupt_names_a_thread_of_the_session"),
    "7.6 at the budget cap": _in(
        "_budgets", "an_interrupt_at_the_cap_is_accepted_and_not_recorded"
    ),
    "7.6 with an outcome": [NotYet("user.define_outcome")],
    "7.7 queued while a call runs": _in(
        "_interrupts", "messages_sent_while_a_call_runs_are_read_together_without_an_idle"
    ),
    "7.7 queued while the model replies": _in(
        "_session", "messages_queued_while_the_model_works_are_one_further_request"
    ),
    "7.7 queued behind calls that wait": _in(
        "_permissions", "a_message_sent_while_calls_run_waits_behind_the_answers"
    ),
    "7.7 queued while a retry is waited for": _in("", "a_message_during_the_wait_for_a_retry"),
    "7.7 flushed": _in("_errors", "messages_queued_behind_a_dead_turn_are_flushed"),
    "7.8 retried": _in(
        "_errors",
        "a_failure_that_passes_is_retried_and_answered",
        "a_stream_cut_in_the_middle_is_asked_for_again",
    ),
    "7.8 exhausted": _in(
        "_errors",
        "a_failure_that_stays_exhausts_the_retries",
        "a_failure_that_no_retry_helps_is_exhausted_at_once",
    ),
    "7.8 other ends of a reply": _in(
        "_errors",
        "a_refusal_says_why_and_the_next_message_works",
        "a_reply_without_room_ends_the_turn_with_what_it_said",
        "a_paused_reply_is_resumed_within_the_turn",
    ),
    "7.9 compaction": [
        Done(f"{_COMPACTION}::test_a_session_that_outgrows_the_window_is_summarized_and_goes_on"),
        Done("tests/unit/test_compaction.py::test_summaries_in_a_row_have_a_limit"),
    ],
    "7.10 budget pause": _in(
        "_budgets",
        "a_turn_pauses_before_the_next_request_and_a_raise_resumes_it",
        "a_removal_resumes_the_turn",
        "a_turn_that_crosses_and_finishes_says_end_turn",
        "a_call_that_asks_outranks_the_cap_and_may_be_answered",
    ),
    "7.11 update": _in(
        "_session",
        "an_update_tells_what_changed_and_applies_from_the_next_turn",
        "a_running_sessions_agent_is_not_changed_but_its_title_is",
    ),
    "7.11 update while parked": _in("", "a_parked_session_is_changed_and_answered"),
    "7.11 archive": _in("_session", "an_archived_session_is_read_and_takes_nothing_more"),
    "7.11 archive while parked": _in("", "a_parked_session_is_archived"),
    "7.11 delete": [
        *_in("_session", "a_deleted_session_is_gone_and_what_it_was_made_of_is_not"),
        *_in("", "a_deletion_is_the_last_event"),
    ],
    "7.12 delegation": [NotYet("multiagent")],
    "5.7 system.message": _in(
        "_session",
        "a_system_message_is_taken_in_with_the_message_it_accompanies",
        "a_system_message_alone_starts_nothing_and_lasts",
        "a_system_message_in_mid_turn_waits_for_the_next_request",
        "a_system_message_during_the_last_reply_is_taken_in_without_another",
    ),
}
"""Each sequence and its sub-rules, with its tests or the feature it waits for."""


def test_every_sequence_has_a_test_that_exists_or_waits_for_a_feature():
    sections = {name.split()[0] for name in SEQUENCES}
    assert {f"7.{n}" for n in range(1, 13)} <= sections
    root = HERE.parents[2]
    waiting = (root / "docs/divergences.md").read_text().partition("## Not yet")[2]
    waiting = waiting.partition("## ")[0]
    for name, statuses in SEQUENCES.items():
        for status in statuses:
            if isinstance(status, NotYet):
                assert status.feature in waiting, name
            else:
                path, _, test = status.test.partition("::")
                tree = ast.parse((root / path).read_text())
                assert test in {getattr(node, "name", "") for node in tree.body}, test


def _wrong_histories():
    """A history without the event at a place, or with it twice under another id."""
    for at in (2, 3, 4, 6, 8):
        yield lambda events, n=at: [*events[:n], *events[n + 1 :]]
    for at in (2, 4, 5, 6):
        yield lambda events, n=at: [
            *events[: n + 1],
            events[n].model_copy(update={"id": new_id("sevt")}),
            *events[n + 1 :],
        ]


def test_the_look_at_relations_sees_what_is_wrong(tmp_path):
    with place("in process", tmp_path / "data") as somewhere, conversation(somewhere) as talk:
        talk.send(says(call("bash", command="x"), {"say": "Done."}))
        talk.when_idle()
        events = talk.events()[1:]
    kinds = ["thread_status_running", "message", "request_start", "tool_use", "request_end"]
    kinds += ["tool_result", "request_start", "message", "request_end"]
    assert [event.type.split(".")[1].removeprefix("model_") for event in events[:9]] == kinds
    check_relations(events)
    for wrong in _wrong_histories():
        with pytest.raises((AssertionError, KeyError)):
            check_relations(wrong(events))


@pytest.fixture(scope="module", params=WORLDS)
def somewhere(request, tmp_path_factory):
    with place(request.param, tmp_path_factory.mktemp("sequences")) as found:
        yield found


@pytest.fixture
def talk(somewhere):
    with conversation(somewhere) as talk:
        yield talk


ANSWERED = [*RUNNING, "user.message", *request("agent.message"), *idle()]


# ---------------------------------------------------------------- 7.1
def test_a_plain_turn_event_by_event(talk):
    (sent,) = talk.send(says({"think": "Hm.", "say": "Hello."}))
    assert sent.processed_at is None
    assert talk.when_idle() == [
        *RUNNING,
        "user.message",
        *request("agent.thinking", "agent.message"),
        *idle(),
    ]
    running, thread, said, start, _, message, end, thread_idle, usage, rests = talk.events()
    assert (said.id, said.content[0].text) == (sent.id, sent.content[0].text)
    (primary,) = talk.client.beta.sessions.threads.list(talk.session_id)
    for event in (thread, thread_idle):
        assert (event.session_thread_id, event.agent_name) == (primary.id, primary.agent.name)
    assert message.content[0].text == "Hello."
    assert (end.model_request_start_id, end.is_error) == (start.id, False)
    assert end.model_usage.output_tokens == usage.usage.output_tokens > 0
    assert usage.budget is None
    assert thread_idle.stop_reason.type == rests.stop_reason.type == "end_turn"
    assert rests.stop_details is None
    assert running.processed_at <= thread.processed_at <= said.processed_at
    session = talk.client.beta.sessions.retrieve(talk.session_id)
    assert (session.status, session.usage.output_tokens) == ("idle", usage.usage.output_tokens)


# ---------------------------------------------------------------- 7.2
def test_rounds_of_parallel_calls(somewhere):
    calls = [call("bash", command=word) for word in ("one", "two")]
    with conversation(somewhere, tools=[ALLOW]) as talk:
        talk.send(
            says(
                {"think": "Hm.", "say": ["First.", "Second."], "tools": calls},
                {"tools": [call("write", command="three"), call("grep")]},
                {"say": "{result}"},
            )
        )
        two = ["agent.tool_use bash allow", "agent.tool_use bash allow"]
        assert talk.when_idle() == [
            *RUNNING,
            "user.message",
            *request("agent.thinking", "agent.message", *two),
            "agent.tool_result bash",
            "agent.tool_result bash",
            *request("agent.tool_use write allow", "agent.tool_use grep deny"),
            "agent.tool_result grep failed",
            "agent.tool_result write",
            *request("agent.message"),
            *idle(),
        ]
        words = [block.text for block in talk.when("agent.message").content]
        assert words == ["First.", "Second."]
        uses = [e.id for e in talk.events() if e.type == "agent.tool_use"]
        results = [e for e in talk.events() if e.type == "agent.tool_result"]
        assert [r.tool_use_id for r in results] == [*uses[:2], uses[3], uses[2]]
        assert [r.content[0].text for r in results[:2]] == ["one", "two"]


# ---------------------------------------------------------------- 7.4
def test_a_failed_result_of_a_custom_tool(talk):
    talk.send(says(call("lookup", q="x"), {"say": "I see: {result}"}))
    parked = [
        *RUNNING,
        "user.message",
        *request("agent.custom_tool_use lookup"),
        *idle("requires_action", "lookup"),
    ]
    assert talk.when_idle() == parked
    talk.send(talk.result("lookup", "no such order", is_error=True))
    assert talk.when_idle(2) == [
        *parked,
        "user.custom_tool_result lookup failed",
        *RUNNING,
        *request("agent.message"),
        *idle(),
    ]
    assert talk.when("agent.message").content[0].text == "I see: no such order"


# ---------------------------------------------------------------- 7.6
def test_an_interrupt_names_a_thread_of_the_session(talk):
    (primary,) = talk.client.beta.sessions.threads.list(talk.session_id)
    foreign = {**INTERRUPT, "session_thread_id": new_id("sthr")}
    with pytest.raises(anthropic.NotFoundError):
        talk.send(foreign)
    assert talk.events() == []
    talk.send(says({"say": "Never.", "delay_ms": 60_000}))
    reply = talk.when("span.model_request_start")
    with pytest.raises(anthropic.NotFoundError):
        talk.send(foreign, says({"say": "Not stored."}))
    (sent,) = talk.send({**INTERRUPT, "session_thread_id": primary.id})
    assert sent.session_thread_id == primary.id
    assert talk.when_idle() == [
        *RUNNING,
        "user.message",
        "span.model_request_start",
        "span.model_request_end failed",
        "user.interrupt",
        *idle(),
    ]
    end = talk.when("span.model_request_end")
    assert end.model_request_start_id == reply.id
    assert end.model_usage.output_tokens == 0


# ---------------------------------------------------------------- 7.7
def test_a_message_during_the_wait_for_a_retry(talk):
    talk.send(says({"error": "overloaded", "retry_after": 1, "times": 1, "say": "Never."}))
    talk.when("session.thread_status_rescheduled")
    talk.send(says({"say": "Both read."}))
    failed = [
        *RUNNING,
        "user.message",
        "span.model_request_start",
        "span.model_request_end failed",
        "session.error",
        "session.status_rescheduled",
        "session.thread_status_rescheduled",
    ]
    assert talk.told()[: len(failed)] == failed
    assert talk.when_idle() == [
        *failed,
        *RUNNING,
        "user.message",
        *request("agent.message"),
        *idle(),
    ]
    assert talk.when("agent.message").content[0].text == "Both read."


# ---------------------------------------------------------------- 7.11
def test_a_parked_session_is_changed_and_answered(talk):
    """Its title, its metadata, and its tools; the call that waits is answered as it was made."""
    talk.send(says(call("write", command="kept"), {"say": "It wrote {result}"}))
    parked = talk.when_idle()
    changed = talk.client.beta.sessions.update(
        talk.session_id, title="T", metadata={"a": "1"}, agent={"tools": [COUNT]}
    )
    assert [tool.type for tool in changed.agent.tools] == ["custom"]
    talk.send(talk.allow("write"))
    assert talk.when_idle(2) == [
        *parked,
        "session.updated",
        "user.tool_confirmation allow write",
        *RUNNING,
        "agent.tool_result write",
        *request("agent.message"),
        *idle(),
    ]
    assert talk.when("agent.message").content[0].text == "It wrote kept"
    assert [tool["name"] for tool in talk.requests[-1].json["tools"]] == ["count"]
    told = talk.when("session.updated")
    assert (told.title, told.metadata, told.agent) == ("T", {"a": "1"}, changed.agent)


def test_a_parked_session_is_archived(talk):
    """Its calls are never answered."""
    talk.send(says({"tools": [call("write"), call("lookup")]}))
    parked = talk.when_idle()
    archived = talk.client.beta.sessions.archive(talk.session_id)
    assert (archived.status, archived.archived_at is None) == ("terminated", False)
    assert talk.told() == [
        *parked,
        "session.thread_status_terminated",
        "session.status_terminated",
    ]
    for event in (talk.allow("write"), talk.result("lookup", "late"), INTERRUPT):
        assert talk.refused(event).startswith("Cannot send events to archived session")


def test_a_deletion_is_the_last_event(tmp_path_factory):
    """Only a stream that is open shows it."""
    with place("over HTTP", tmp_path_factory.mktemp("deletion")) as somewhere:
        client = somewhere.server.client()
        agent = client.beta.agents.create(name="A", model="claude-sonnet-5-5", tools=[ASKING])
        environment = client.beta.environments.create(name="e")
        session = client.beta.sessions.create(agent=agent.id, environment_id=environment.id)
        seen = []
        with client.beta.sessions.events.stream(session.id) as stream:
            client.beta.sessions.events.send(session.id, events=[says(call("write"))])
            for event in stream:
                seen.append(event.type)
                if event.type == "session.status_idle":
                    client.beta.sessions.delete(session.id)
        parked = [
            *RUNNING,
            "user.message",
            *request("agent.tool_use"),
            "session.thread_status_idle",
            "session.usage",
            "session.status_idle",
        ]
        assert seen == ["user.message", *parked, "session.deleted"]
