"""Each plan of the log, composed on a `Stage`: what it answers, and its draft."""

from __future__ import annotations

from freehold.domain import append, calls, turn
from freehold.ids import new_id
from freehold.toolset import ToolResult
from freehold.wire.events import (
    UserCustomToolResultEvent,
    UserInterruptEvent,
    UserMessageEvent,
    UserToolConfirmationEvent,
)
from tests.protocol.stage import ERROR, LEASE, LIMITS, text_reply


def begin_turn(stage, n=0, **run):
    draft = stage.draft(n)
    return turn.begin_turn(draft, stage.run(n, **run), LEASE), draft


def begin_tools(stage, boot="boot", **run):
    draft = stage.draft()
    return calls.begin_tools(draft, stage.run(**run), LEASE, boot), draft


def finish_turn(stage, reply=None, limits=LIMITS, n=0, **run):
    draft = stage.draft(n)
    given = reply or text_reply()
    return turn.finish_turn(draft, stage.run(n, **run), "me", given, limits), draft


def fail_turn(stage, failure=ERROR, limits=LIMITS, n=0, **run):
    draft = stage.draft(n)
    return turn.fail_turn(draft, stage.run(n, **run), "me", failure, limits), draft


def finish_tools(stage, results=None, *, spent=(), cancelled=False, limits=LIMITS, **run):
    draft = stage.draft()
    given = {event_id: ToolResult.text(text) for event_id, text in (results or {}).items()}
    run_ = stage.run(**run)
    answer = calls.finish_tools(draft, run_, "me", given, limits, spent=spent, cancelled=cancelled)
    return answer, draft


def release(stage, *, failed=False, limits=LIMITS, **run):
    draft = stage.draft()
    return calls.release(draft, stage.run(**run), limits, failed=failed), draft


def message(text="Hi."):
    content = [{"type": "text", "text": text}]
    return UserMessageEvent(id=new_id("sevt"), content=content, processed_at=None)


def interrupt(thread_id=None):
    return UserInterruptEvent(id=new_id("sevt"), session_thread_id=thread_id, processed_at=None)


def answer(asked, result="allow", **fields):
    return UserToolConfirmationEvent(
        id=new_id("sevt"), tool_use_id=asked.event_id, result=result, processed_at=None, **fields
    )


def result(asked, **fields):
    return UserCustomToolResultEvent(
        id=new_id("sevt"), custom_tool_use_id=asked.event_id, processed_at=None, **fields
    )


def send(stage, *events):
    draft = stage.draft()
    return append.append_events(draft, events), draft


def in_model(stage, n=0, **changes):
    given = {"pending": (), "taken": ("sevt_read",), "span": "sevt_span"}
    return stage.running(n, **{**given, **changes}).claimed(n=n)


def in_calls(stage, *uses, **changes):
    return stage.running(pending=(), uses=uses, **changes).claimed()


def parked(stage, *uses, n=0):
    stage.head(n, status="requires_action", epoch=1, uses=uses)
    session = stage.read().session
    asked = [u.event_id for u in uses if u.state == "ask"]
    return stage.session(asks=session.asks + 1, asked=[*session.asked, *asked])


def is_untouched(draft):
    return not draft.touched and not draft.extra
