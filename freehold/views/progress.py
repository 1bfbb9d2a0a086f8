"""How far a session is, told by what it did: files, programs, pages, approvals, errors, threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freehold.views.calls import ToolCall, calls_of
from freehold.views.cost import Cost, cost_of

if TYPE_CHECKING:
    from freehold.toolset import JsonObject
    from freehold.views.thread_log import ThreadLog

_STATUS = "session.status_"
_THREAD_STATUS = "session.thread_status_"
_WRITING = ("write", "edit")


@dataclass(frozen=True, slots=True)
class FileWritten:
    """`times` counts the calls that succeeded; `at` is the last."""

    path: str
    times: int
    at: str


@dataclass(frozen=True, slots=True)
class Action:
    """Something that happened, with the time of it."""

    seq: int
    thread_id: str
    type: str
    at: str
    detail: str


@dataclass(frozen=True, slots=True)
class ThreadProgress:
    """`status` as the last status event of the thread says it: `created` before the first."""

    id: str
    agent_name: str
    parent_id: str | None
    status: str
    events: int


@dataclass(frozen=True, slots=True)
class Progress:
    """`status` is the session's; `stop_reason` why it is idle. `last_action` is null in a session
    where nothing happened yet.
    """

    status: str
    stop_reason: str | None
    last_action: Action | None
    files_written: tuple[FileWritten, ...]
    programs_run: tuple[ToolCall, ...]
    pages_read: tuple[str, ...]
    searches: tuple[str, ...]
    waiting: tuple[ToolCall, ...]
    errors: tuple[Action, ...]
    threads: tuple[ThreadProgress, ...]
    calls: int
    cost: Cost


def progress_of(threads: Sequence[ThreadLog]) -> Progress:
    """`threads` begin with the primary."""
    calls = calls_of(threads)
    done = [call for call in calls if call.outcome == "ok"]
    status, reason = _status(threads[0], _STATUS)
    actions = [action for thread in threads for action in _actions(thread)]
    return Progress(
        status=status,
        stop_reason=reason,
        last_action=max(actions, key=lambda a: (a.at, a.seq), default=None),
        files_written=_files(done),
        programs_run=tuple(call for call in calls if call.name == "bash" and _has_run(call)),
        pages_read=_each(done, "web_fetch", "url"),
        searches=_each(done, "web_search", "query"),
        waiting=tuple(call for call in calls if call.outcome == "waiting"),
        errors=tuple(action for action in actions if action.type == "session.error"),
        threads=tuple(map(_thread, threads)),
        calls=len(calls),
        cost=cost_of(threads),
    )


def _has_run(call: ToolCall) -> bool:
    return call.started_at is not None


def _files(done: Sequence[ToolCall]) -> tuple[FileWritten, ...]:
    found: dict[str, FileWritten] = {}
    for call in done:
        path = call.input.get("file_path")
        if call.name in _WRITING and isinstance(path, str):
            before = found.pop(path, None)
            times = before.times + 1 if before else 1
            found[path] = FileWritten(path, times, str(call.answered_at))
    return tuple(found.values())


def _each(done: Sequence[ToolCall], name: str, field: str) -> tuple[str, ...]:
    """What the calls of one tool were about, each once."""
    return tuple(dict.fromkeys(str(c.input.get(field)) for c in done if c.name == name))


def _status(thread: ThreadLog, prefix: str) -> tuple[str, str | None]:
    """By the last status event of that kind; of another thread's, which stand in the primary's feed
    too, none counts.
    """
    status, reason = ("idle", None) if prefix == _STATUS else ("created", None)
    for entry in thread.entries:
        for event in entry.events:
            kind = str(event["type"])
            if not kind.startswith(prefix):
                continue
            if event.get("session_thread_id", thread.thread_id) != thread.thread_id:
                continue
            stop = event.get("stop_reason")
            status = kind.removeprefix(prefix)
            reason = str(stop["type"]) if isinstance(stop, dict) else None
    return {"rescheduled": "rescheduling"}.get(status, status), reason


def _actions(thread: ThreadLog) -> list[Action]:
    """What somebody did or what went wrong; of an event that is told of twice, the
    second.
    """
    found: dict[str, Action] = {}
    for entry in thread.entries:
        for stored in entry.sequenced:
            event = stored.body
            kind = str(event["type"])
            if not kind.startswith(("agent.", "user.", "system.")) and kind != "session.error":
                continue
            at = str(event.get("processed_at") or entry.at)
            detail = _detail(event)
            found[str(event["id"])] = Action(stored.seq, thread.thread_id, kind, at, detail)
    return list(found.values())


def _detail(event: JsonObject) -> str:
    """A few words on an action: the tool, the error."""
    error = event.get("error")
    if isinstance(error, dict):
        return f"{error.get('type')}: {error.get('message')}"
    return str(event.get("name") or "")


def _thread(thread: ThreadLog) -> ThreadProgress:
    status, _ = _status(thread, _THREAD_STATUS)
    events = sum(len(entry.events) for entry in thread.entries)
    return ThreadProgress(thread.thread_id, thread.agent_name, thread.parent_id, status, events)
