"""The complete sequence of events of every way in which a turn goes wrong (BEHAVIOUR 7.8, 9), in
process and over HTTP.
"""

from __future__ import annotations

import pytest

from tests.contract.sequences import BEGIN, WORLDS, end, request, scene
from tests.contract.test_sdk import TOOLSET, message, script

MAX_ROUNDS = 2
SENT = ["user.message queued"]
FAILED = ["span.model_request_end failed"]
RESCHEDULED = ["session.status_rescheduled", "session.thread_status_rescheduled"]
RESUMED = [
    "session.status_running",
    "session.thread_status_running",
    "span.model_request_start",
]
GOOD = [*SENT, *BEGIN, *request("agent.message"), *end()]


@pytest.fixture(scope="module", params=WORLDS)
def stage(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("errors")
    with scene(request.param, directory, max_tool_rounds=MAX_ROUNDS) as found:
        yield found


@pytest.fixture
def session(stage):
    return stage.session(tools=[TOOLSET])


def error(kind, retry):
    return f"session.error {kind} {retry}"


def dead(kind):
    return [*FAILED, error(kind, "exhausted"), *end("retries_exhausted")]


def works_again(stage, session, so_far):
    """The next message begins a turn of its own, and is answered."""
    stage.play(session, script({"say": "Better."}))
    assert stage.seen(session) == [*so_far, *GOOD]


RETRIED = {
    "overloaded": "model_overloaded_error",
    "rate_limited": "model_rate_limited_error",
    "failed": "model_request_failed_error",
}


@pytest.mark.parametrize("name", RETRIED)
def test_a_failure_that_passes_is_retried_and_answered(stage, session, name):
    stage.play(session, script({"error": name, "times": 1, "retry_after": 0, "say": "Better."}))
    assert stage.seen(session) == [
        *SENT,
        *BEGIN,
        *FAILED,
        error(RETRIED[name], "retrying"),
        *RESCHEDULED,
        *RESUMED,
        *request("agent.message"),
        *end(),
    ]


@pytest.mark.parametrize("name", RETRIED)
def test_a_failure_that_stays_exhausts_the_retries(stage, session, name):
    kind = RETRIED[name]
    stage.play(session, script({"error": name}))
    so_far = [
        *SENT,
        *BEGIN,
        *FAILED,
        error(kind, "retrying"),
        *RESCHEDULED,
        *RESUMED,
        *dead(kind),
    ]
    assert stage.seen(session) == so_far
    works_again(stage, session, so_far)


def test_a_stream_cut_in_the_middle_is_asked_for_again(stage, session):
    stage.play(session, script({"say": "A whole sentence.", "cut": True, "times": 1}))
    assert stage.seen(session) == [
        *SENT,
        *BEGIN,
        *FAILED,
        error("model_request_failed_error", "retrying"),
        *RESCHEDULED,
        *RESUMED,
        *request("agent.message"),
        *end(),
    ]


AT_ONCE = {
    "billing": "billing_error",
    "unauthorized": "model_request_failed_error",
    "forbidden": "model_request_failed_error",
    "not_found": "model_request_failed_error",
    "invalid": "model_request_failed_error",
    "too_long": "model_request_failed_error",
}


@pytest.mark.parametrize("name", AT_ONCE)
def test_a_failure_that_no_retry_helps_is_exhausted_at_once(stage, session, name):
    stage.play(session, script({"error": name}))
    so_far = [*SENT, *BEGIN, *dead(AT_ONCE[name])]
    assert stage.seen(session) == so_far
    works_again(stage, session, so_far)


def test_messages_queued_behind_a_dead_turn_are_flushed(stage, session):
    """The second message arrives while the only attempt is under way."""
    slow = {"say": "One.", "tool": "bash", "input": {}}
    inner = stage.model.model
    stage.model.model = _Interjecting(stage, session, inner, at=2)
    stage.play(session, script(slow, {"error": "billing"}))
    so_far = [
        *SENT,
        *BEGIN,
        *request("agent.message", "agent.tool_use"),
        "agent.tool_result",
        "span.model_request_start",
        "user.message queued",
        *FAILED,
        error("billing_error", "exhausted"),
        "user.message",
        *end("retries_exhausted"),
    ]
    assert stage.seen(session) == so_far
    works_again(stage, session, so_far)
    said = [
        block.get("text")
        for turn in stage.model.requests[-1].messages
        for block in turn["content"]
        if turn["role"] == "user"
    ]
    assert "Flushed." not in said


class _Interjecting:
    """Sends a message while the request number `at` is about to be made."""

    def __init__(self, stage, session, inner, *, at):
        self._stage, self._session, self._inner, self._left = stage, session, inner, at

    def open(self, request):
        self._left -= 1
        if not self._left:
            self._stage.model.model = self._inner
            self._stage.send(self._session, message("Flushed."))
        return self._inner.open(request)


def test_a_refusal_says_why_and_the_next_message_works(stage, session):
    details = {"category": "cyber", "explanation": "Because."}
    stage.play(session, script({"say": "No.", "refuse": details}))
    so_far = [*SENT, *BEGIN, *request("agent.message"), *end("refusal")]
    assert stage.seen(session) == so_far
    idle = list(stage.client.beta.sessions.events.list(session.id))[-1]
    assert idle.stop_details.to_dict() == {"type": "refusal", **details}
    works_again(stage, session, so_far)


@pytest.mark.parametrize("reason", ["max_tokens", "model_context_window_exceeded"])
def test_a_reply_without_room_ends_the_turn_with_what_it_said(stage, session, reason):
    stage.play(session, script({"say": "As far as I", "stop_reason": reason}))
    assert stage.seen(session) == GOOD
    works_again(stage, session, GOOD)


def test_a_paused_reply_is_resumed_within_the_turn(stage, session):
    stage.play(session, script({"say": "One,", "stop_reason": "pause_turn"}, {"say": "two."}))
    so_far = [
        *SENT,
        *BEGIN,
        *request("agent.message"),
        "span.model_request_start",
        *request("agent.message"),
        *end(),
    ]
    assert stage.seen(session) == so_far
    works_again(stage, session, so_far)


def test_tool_rounds_have_a_limit(stage, session):
    calls = [{"tool": "bash", "input": {"command": str(n)}} for n in range(MAX_ROUNDS + 2)]
    stage.play(session, script(*calls))
    round_ = [*request("agent.tool_use"), "agent.tool_result", "span.model_request_start"]
    so_far = [
        *SENT,
        *BEGIN,
        *round_ * MAX_ROUNDS,
        *request("agent.tool_use"),
        error("tool_use_limit_reached_error", "exhausted"),
        "agent.tool_result failed",
        *end("retries_exhausted"),
    ]
    assert stage.seen(session) == so_far
    works_again(stage, session, so_far)


def test_the_list_shows_what_a_stream_shows_without_the_first_sightings(stage, session):
    stage.play(session, script({"error": "overloaded"}))
    seen = [word for word in stage.seen(session) if not word.endswith("queued")]
    assert stage.listed(session) == seen
