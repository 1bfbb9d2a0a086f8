"""Killed before, after and during every port call of a session that waits for answers: the retry
converges to the same log.

*During* is a commit whose answer is lost, or that lands after its sender stopped listening. At most
one extra model request a crash, none once the reply is committed; one result a tool use; no effect
twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.protocol import clients
from tests.protocol.world import Worker, World

FAULTS = {
    "write": ("crash", "crash after", "lost", "held"),
    "model": ("crash", "error"),
    "dispatch": ("crash",),
    "begin": ("crash",),
}
RUNNING = ["session.status_running", "session.thread_status_running"]
IDLE = ["session.thread_status_idle", "session.usage", "session.status_idle"]
COMPACTED = "agent.thread_context_compacted"
PARKED = [
    "user.message",
    *RUNNING,
    "user.message",
    "agent.message",
    "agent.tool_use",
    "agent.tool_use",
    "agent.custom_tool_use",
    "agent.tool_use",
    "agent.tool_result",
    "agent.tool_result",
    *IDLE,
]
"""A reply with a call of every kind: the allowed one has run, the denied one is answered."""


class Play(NamedTuple):
    """What clients do to a session that waits for answers, and the log that comes of it."""

    name: str
    replies: tuple[str, ...]
    answers: tuple[Callable[[World], Worker], ...]
    outcome: list[str]
    model_requests: int
    window: int | None = None


def settle(n, result="allow"):
    """Answers the n-th of the calls that ask."""

    def act(world):
        asking = [use for use in world.primary.uses if use.state == "ask"]
        return clients.settle(world, asking[n], result)

    return act


def interrupt_and_say(world):
    return clients.interrupt(world, "instead")


PLAYS = [
    Play(
        "answers",
        ("mixed", "allow", "text"),
        (settle(0), settle(0)),
        [
            *PARKED,
            *("user.tool_confirmation", "session.usage", "session.status_idle"),
            *("user.custom_tool_result", *RUNNING, "agent.tool_result"),
            *("agent.message", "agent.tool_use", "agent.tool_result"),
            *("agent.message", *IDLE),
        ],
        3,
    ),
    Play(
        "denial and failure",
        ("mixed", "text"),
        (settle(1, "deny"), settle(0, "deny")),
        [
            *PARKED,
            *("user.custom_tool_result", "session.usage", "session.status_idle"),
            *("user.tool_confirmation", "agent.tool_result", *RUNNING),
            *("agent.message", *IDLE),
        ],
        2,
    ),
    Play(
        "interrupt with a message",
        ("mixed", "text"),
        (settle(0), interrupt_and_say),
        [
            *PARKED,
            *("user.tool_confirmation", "session.usage", "session.status_idle"),
            *("user.interrupt", "agent.tool_result", "user.custom_tool_result"),
            *("user.interrupt", *IDLE, "user.message", *RUNNING),
            *("user.message", "agent.message", *IDLE),
        ],
        2,
    ),
    Play(
        "a conversation that is too long",
        ("allow", "full", "full", "text"),
        (),
        [
            *("user.message", *RUNNING, "user.message"),
            *("agent.message", "agent.tool_use", "agent.tool_result"),
            *("agent.message", "agent.tool_use", "agent.tool_result"),
            COMPACTED,
            *("agent.message", "agent.tool_use", "agent.tool_result"),
            COMPACTED,
            *("agent.message", *IDLE),
        ],
        6,
        window=1000,
    ),
]


class Drive:
    """Runs one session to its end, doing something else at one of its stand-stills."""

    def __init__(self, world, play, fault_at=None, decision="ok", *, catch=True):
        self.world, self.play, self.fault_at, self.decision, self.catch = (
            world,
            play,
            fault_at,
            decision,
            catch,
        )
        self.places = []

    def run(self):
        self.pump(clients.message(self.world))
        self.executions()
        for answer in self.play.answers:
            self.pump(answer(self.world))
            self.executions()
        self.world.settle()
        return self

    def pump(self, worker):
        """Steps a worker to its end; at the chosen place with the chosen decision. A client repeats
        what got no answer.
        """
        while not worker.done:
            here = len(self.places)
            self.places.append(worker.at)
            decision = "ok"
            if here == self.fault_at:
                is_client_crash = worker.run is None and self.decision.startswith("crash")
                decision = "ok" if is_client_crash else self.decision
            worker.step(decision)
        for writes in list(self.world.flight):
            self.world.land(writes)
        return worker

    def executions(self):
        while self.world.open:
            execution = next(iter(self.world.open.values()))
            worker = self.pump(self.world.invoke(execution))
            if worker.result is not None:
                self.world.conclude(execution)
                continue
            self.world.close(execution)
            if self.catch:
                self.world.release(execution.run).finish()
            else:
                self.world.lapse()
                self.world.sweep().finish()


def essence(world):
    """The log without what a crash may add: repeated spans, and the error, wait and running pair of
    a retried request.
    """
    kinds = [kind for kind in world.kinds() if not kind.startswith("span.")]
    while "session.error" in kinds:
        at = kinds.index("session.error")
        retry = kinds[at : at + 5]
        assert retry == [
            "session.error",
            "session.status_rescheduled",
            "session.thread_status_rescheduled",
            "session.status_running",
            "session.thread_status_running",
        ]
        del kinds[at : at + 5]
    return kinds


def world_of(tmp_path, play):
    return World(tmp_path, replies=(play.replies,), window=play.window)


def places(tmp_path, play):
    drive = Drive(world_of(tmp_path, play), play).run()
    assert essence(drive.world) == play.outcome
    assert len(drive.world.model_requests) == play.model_requests
    return drive.places


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.name)
@pytest.mark.parametrize("catch", [True, False], ids=["catch", "sweep"])
@pytest.mark.timeout(300)
def test_every_fault_at_every_port_call_converges(tmp_path, catch, play):
    tried = 0
    for n, place in enumerate(places(tmp_path, play)):
        for decision in FAULTS[place]:
            world = world_of(tmp_path, play)
            Drive(world, play, n, decision, catch=catch).run()
            told = f"{decision} at {n} ({place})"
            assert essence(world) == play.outcome, told
            assert len(world.model_requests) <= play.model_requests + 1, told
            assert len(world.effects) == len(set(world.effects))
            tried += 1
    assert tried > 30


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.name)
def test_no_model_request_is_repeated_once_its_reply_is_committed(tmp_path, play):
    for n, place in enumerate(places(tmp_path, play)):
        if place != "write":
            continue
        world = world_of(tmp_path, play)
        Drive(world, play, n, "crash after").run()
        spans = world.kinds().count("span.model_request_start")
        if spans == play.model_requests:
            assert len(world.model_requests) == play.model_requests, f"{n} {world.kinds()}"
