"""What the operator says in mid-conversation: when it is read, where it stands in the request, and
that it lasts (BEHAVIOUR 5.7).
"""

from __future__ import annotations

import pytest

from freehold.engine.turn import run_turn
from freehold.errors import InvalidRequest
from freehold.services.events import list_events
from freehold.services.sessions import archive_session
from freehold.testing.script import script
from freehold.wire.lists import EventList
from tests.protocol.sessions import asking_agent
from tests.unit.sessions import Bench


def text(words):
    return {"type": "text", "text": words}


def said(words):
    return {"type": "user.message", "content": [text(words)]}


def ordered(words):
    return {"type": "system.message", "content": [text(words)]}


def roles(request):
    return [message["role"] for message in request.messages]


def operators_words(request):
    return [b["text"] for m in request.messages if m["role"] == "system" for b in m["content"]]


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.judge()


def interjecting(bench, *events):
    """Sends events, one a request, while the model is asked next."""
    inner = bench.model.model

    class Interjecting:
        def open(self, request):
            bench.model.model = inner
            for event in events:
                bench.send(event)
            return inner.open(request)

    bench.model.model = Interjecting()


def test_it_follows_the_message_it_accompanies_and_lasts(bench):
    bench.send(said(script({"say": "One."})), ordered("Be brief."))
    bench.runs.drain(bench.app)
    bench.say(script({"say": "Two."}))
    first, second = bench.model.requests
    assert roles(first) == ["user", "system"]
    assert roles(second) == ["user", "system", "assistant", "user"]
    assert operators_words(first) == operators_words(second) == ["Be brief."]


def test_alone_on_an_idle_session_it_starts_nothing_and_the_next_turn_reads_it(bench):
    (sent,) = bench.send(ordered("Be brief."))
    assert sent["processed_at"] is not None
    assert (bench.runs.waiting, bench.head.status, bench.head.pending) == ([], "idle", ())
    assert bench.kinds() == ["system.message"]
    bench.say(script({"say": "One."}))
    bench.send(ordered("Be long."))
    bench.send(ordered("Be kind."))
    bench.say(script({"say": "Two."}))
    first, second = bench.model.requests
    assert roles(first) == ["user", "system"]
    assert roles(second) == ["user", "system", "assistant", "user", "system"]
    assert operators_words(second) == ["Be brief.", "Be long.", "Be kind."]


def test_one_that_arrives_in_mid_turn_waits_for_the_next_request(bench):
    interjecting(bench, ordered("Use no more tools."))
    bench.say(script({"tool": "bash", "input": {"command": "true"}}, {"say": "Done."}))
    first, second = bench.model.requests
    assert roles(first) == ["user"]
    assert roles(second) == ["user", "assistant", "user", "system"]
    sightings = [e for e in bench.events if e["type"] == "system.message"]
    assert [s["processed_at"] is None for s in sightings] == [True, False]


def test_one_that_arrives_during_the_last_reply_asks_for_no_further_request(bench):
    interjecting(bench, ordered("Be brief."))
    bench.say(script({"say": "One."}))
    assert len(bench.model.requests) == 1
    assert bench.head.pending == ()
    assert bench.kinds()[-5:] == [
        "span.model_request_end",
        "system.message",
        "session.thread_status_idle",
        "session.usage",
        "session.status_idle",
    ]
    bench.say(script({"say": "Two."}))
    assert roles(bench.model.requests[1]) == ["user", "assistant", "user", "system"]


def test_messages_queued_around_it_are_one_turn_before_it(bench):
    bench.send(said("First."), ordered("Be brief."))
    bench.send(said(script({"say": "All read."})))
    bench.runs.drain(bench.app)
    (request,) = bench.model.requests
    assert roles(request) == ["user", "system"]
    assert len(request.messages[0]["content"]) == 2


def test_an_interrupt_takes_in_what_is_queued_and_starts_nothing(bench):
    interjecting(bench, ordered("Be brief."), {"type": "user.interrupt"})
    bench.say(script({"say": "Never."}))
    assert (bench.head.status, bench.head.pending) == ("idle", ())
    assert (len(bench.model.requests), "agent.message" in bench.kinds()) == (1, False)
    bench.say(script({"say": "Two."}))
    assert operators_words(bench.model.requests[1]) == ["Be brief."]


@pytest.mark.parametrize("interrupted", [False, True])
def test_one_queued_when_a_thread_parks_is_read_after_the_answer_or_the_interrupt(
    bench, interrupted
):
    interjecting(bench, ordered("Be brief."))
    bench.say(script({"tool": "write", "input": {}}, {"say": "Done."}))
    assert bench.head.status == "requires_action"
    use = next(e["id"] for e in bench.events if e["type"] == "agent.tool_use")
    answer = {"type": "user.tool_confirmation", "tool_use_id": use, "result": "allow"}
    bench.send({"type": "user.interrupt"} if interrupted else answer)
    bench.runs.drain(bench.app)
    assert (bench.head.status, bench.head.pending) == ("idle", ())
    bench.say(script({"say": "More."}))
    assert operators_words(bench.model.requests[-1]) == ["Be brief."]
    assert sum(e["type"] == "system.message" for e in bench.events) == 2


def test_a_rescheduled_turn_that_is_interrupted_takes_it_in(bench):
    bench.say(script({"error": "overloaded"}), drain=False)
    run = bench.runs.waiting.pop()
    assert run_turn(bench.app, run).next == "wait"
    bench.send(ordered("Be brief."))
    bench.send({"type": "user.interrupt"})
    assert (bench.head.status, bench.head.pending) == ("idle", ())
    bench.say(script({"say": "Two."}))
    assert operators_words(bench.model.requests[-1]) == ["Be brief."]


def test_a_parked_session_takes_none_but_behind_a_result(bench):
    bench.say(script({"tool": "write", "input": {}}))
    with pytest.raises(InvalidRequest, match=r"Invalid system.message event at events\[0\]: wait"):
        bench.send(ordered("Be brief."))
    with pytest.raises(InvalidRequest, match=r"Invalid user.message event at events\[0\]: wait"):
        bench.send(said("Hm?"), ordered("Be brief."))
    assert bench.kinds()[-1] == "session.status_idle"


def test_a_dead_turn_flushes_messages_and_keeps_the_operators_word(bench):
    interjecting(bench, said("Queued."), ordered("Be brief."))
    bench.say(script({"error": "billing"}))
    bench.say(script({"say": "Two."}))
    request = bench.model.requests[-1]
    assert operators_words(request) == ["Be brief."]
    words = [block["text"] for block in request.messages[0]["content"]]
    assert "Queued." not in words


def test_a_model_that_takes_none_is_named_with_the_code(tmp_path):
    bench = Bench(tmp_path, agent=asking_agent("claude-sonnet-4-6"))
    with pytest.raises(InvalidRequest) as refused:
        bench.send(said("Hm?"), ordered("Be brief."))
    code = "model_does_not_support_mid_conversation_system"
    assert refused.value.details == {"error_code": code}
    assert "claude-sonnet-4-6" in refused.value.message
    assert code in refused.value.message
    assert bench.events == []


def test_what_was_never_read_stays_in_the_history_of_an_archived_session(bench):
    interjecting(bench, said("Unread."), ordered("Unread too."))
    bench.say(script({"tool": "write", "input": {}}))
    archive_session(bench.app, bench.caller, bench.key.session_id)
    page = list_events(bench.app, bench.caller, bench.key.session_id, EventList())
    unread = [e["type"] for e in page.data if e["processed_at"] is None]
    assert unread == ["user.message", "system.message"]
