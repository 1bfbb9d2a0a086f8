"""An interrupt in every window of a turn, alone and with a message in the same request.

A window is a stand-still of the world: between two transactions, in the middle of one, in the
stream, at the sandbox. Every case asserts the whole feed, both sightings of what was queued, and a
message afterwards shows that the transcript is one that the model takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.protocol import clients
from tests.protocol.world import World

RUNNING = ["session.status_running", "session.thread_status_running"]
REQUEST = ["span.model_request_start", "agent.message", "span.model_request_end"]
IDLE = ["session.thread_status_idle", "session.usage", "session.status_idle"]
TEXT, TOOL, ASK, FULL = ("text",), ("allow", "text"), ("mixed", "text"), ("full", "text")
COMPACTED = [
    "span.model_request_start",
    "span.model_request_end",
    "agent.thread_context_compacted",
]


def started(world):
    """A message is accepted and its run not begun."""
    clients.message(world).finish()
    (execution,) = world.open.values()
    return execution


def turned(world, at):
    """The first turn stands at a place."""
    return world.invoke(started(world)).until(at)


def replied(world):
    """The first turn is over; its tools are not begun."""
    execution = started(world)
    world.invoke(execution).finish()
    world.conclude(execution)
    return execution


def called(world, at):
    """The tools of the first reply stand at a place."""
    return world.invoke(replied(world)).until(at)


def before_the_claim(world):
    started(world)


def in_the_claim(world):
    turned(world, "write")


def in_the_stream(world):
    turned(world, "model")


def in_the_replys_commit(world):
    turned(world, "model").step()
    assert world.workers[-1].at == "write"


def before_the_tools(world):
    replied(world)


def in_the_mark(world):
    called(world, "write")


def before_the_call(world):
    called(world, "dispatch")


def in_the_results_commit(world):
    called(world, "dispatch").step()
    assert world.workers[-1].at == "write"


def before_the_next_turn(world):
    execution = replied(world)
    world.invoke(execution).finish()
    world.conclude(execution)
    assert execution.stage == "turn"


def in_the_wait(world):
    execution = started(world)
    world.invoke(execution).until("model").step("error")
    execution.worker.finish()
    world.conclude(execution)
    assert world.primary.status == "rescheduling"


def while_parked(world):
    clients.message(world).finish()
    world.settle()
    assert world.primary.status == "requires_action"


def while_idle(world):
    clients.message(world).finish()
    world.settle()
    assert world.primary.status == "idle"


def in_the_request_for_a_summary(world):
    before_the_next_turn(world)
    (execution,) = world.open.values()
    world.invoke(execution).until("model")


def in_the_checkpoints_commit(world):
    in_the_request_for_a_summary(world)
    world.workers[-1].step()
    assert world.workers[-1].at == "write"


class Window(NamedTuple):
    """A stand-still of a session, and what an interrupt does there.

    `closes`: what it ends, before it is processed itself; `unread`: the first message is not taken
    in yet; `resolved`: at once, in the transaction that accepts it.
    """

    reach: Callable[[World], object]
    replies: tuple[str, ...] = TEXT
    closes: tuple[str, ...] = ()
    unread: bool = False
    resolved: bool = False


SPAN, RESULT = ("span.model_request_end failed",), ("agent.tool_result failed",)
WINDOWS = [
    Window(before_the_claim, unread=True),
    Window(in_the_claim, unread=True),
    Window(in_the_stream, closes=SPAN),
    Window(in_the_replys_commit, closes=SPAN),
    Window(before_the_tools, TOOL, closes=RESULT),
    Window(in_the_mark, TOOL, closes=RESULT),
    Window(before_the_call, TOOL, closes=RESULT),
    Window(in_the_results_commit, TOOL, closes=("agent.tool_result",)),
    Window(before_the_next_turn, TOOL),
    Window(in_the_request_for_a_summary, FULL, closes=SPAN),
    Window(in_the_checkpoints_commit, FULL, closes=SPAN),
    Window(in_the_wait, resolved=True),
    Window(while_parked, ASK, closes=(*RESULT, "user.custom_tool_result failed"), resolved=True),
    Window(while_idle, resolved=True),
]


def told(world):
    """The feed, an event a line."""
    feed = world.feeds[world.snapshot.session.primary_id]
    return [_line(event) for entry in feed.entries for event in entry.events]


def _line(event):
    words = [event["type"]]
    words += ["queued"] if event["processed_at"] is None else []
    words += ["failed"] if event.get("is_error") else []
    return " ".join(words)


def expected(window, *, says):
    """What the feed tells after the interrupt was accepted."""
    queued = ["user.message queued"] * says
    events = ["user.interrupt queued", *([] if window.resolved else queued), *window.closes]
    events += ["user.interrupt", *([] if window.reach is while_idle else IDLE)]
    events += queued if window.resolved else []
    read = ["user.message"] * (window.unread + says)
    shortened = COMPACTED if window.replies is FULL else []
    return [*events, *RUNNING, *shortened, *read, *REQUEST, *IDLE] if read else events


@pytest.mark.parametrize("says", [False, True], ids=["alone", "with a message"])
@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.reach.__name__)
def test_an_interrupt_ends_the_turn_and_what_was_said_is_answered(tmp_path, window, says):
    world = World(tmp_path, replies=(window.replies,), bell=True, window=1000)
    window.reach(world)
    before = told(world)
    clients.interrupt(world, "instead" if says else None).finish()
    world.settle()
    after = told(world)
    assert after[: len(before)] == before
    assert after[len(before) :] == expected(window, says=says)
    assert world.stopped_requests == (window.reach in (in_the_stream, in_the_request_for_a_summary))
    assert len(world.cancelled) == (window.reach is before_the_call)
    clients.message(world, "after").finish()
    world.settle()
    assert told(world)[-len(IDLE) - len(REQUEST) :] == [*REQUEST, *IDLE]


@pytest.mark.parametrize("says", [False, True], ids=["alone", "with a message"])
@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.reach.__name__)
def test_an_interrupt_that_no_bell_tells_of_is_found_in_the_log(tmp_path, window, says):
    """The turn goes on to its next transaction, and no further."""
    world = World(tmp_path, replies=(window.replies,), bell=False, window=1000)
    window.reach(world)
    before = told(world)
    clients.interrupt(world, "instead" if says else None).finish()
    world.settle()
    finished = window._replace(closes=("agent.tool_result",))
    late = finished if window.reach is before_the_call else window
    assert told(world)[len(before) :] == expected(late, says=says)
    clients.message(world, "after").finish()
    world.settle()
    assert told(world)[-len(IDLE) - len(REQUEST) :] == [*REQUEST, *IDLE]
