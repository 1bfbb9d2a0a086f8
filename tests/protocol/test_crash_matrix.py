"""Killed before, after and during every port call of a tool turn: the retry converges to the same
log.

*During* is a commit whose answer is lost, or that lands after its sender stopped listening. At most
one extra model request a crash, none once the reply is committed; one result a tool use; no effect
twice.
"""

from __future__ import annotations

import pytest

from tests.protocol import clients
from tests.protocol.world import World

REPLIES = (("both", "allow", "text"),)
FAULTS = {
    "write": ("crash", "crash after", "lost", "held"),
    "model": ("crash", "error"),
    "dispatch": ("crash",),
    "begin": ("crash",),
}
OUTCOME = [
    "user.message",
    "session.status_running",
    "session.thread_status_running",
    "user.message",
    "agent.message",
    "agent.tool_use",
    "agent.tool_use",
    "agent.tool_result",
    "session.thread_status_idle",
    "session.usage",
    "session.status_idle",
    "user.tool_confirmation",
    "session.status_running",
    "session.thread_status_running",
    "agent.tool_result",
    "agent.message",
    "agent.tool_use",
    "agent.tool_result",
    "agent.message",
    "session.thread_status_idle",
    "session.usage",
    "session.status_idle",
]


class Drive:
    """Runs one session to its end, doing something else at one of its stand-stills."""

    def __init__(self, world, fault_at=None, decision="ok", *, catch=True):
        self.world, self.fault_at, self.decision, self.catch = world, fault_at, decision, catch
        self.places = []

    def run(self):
        self.pump(clients.message(self.world))
        self.executions()
        asked = [u.event_id for u in self.world.primary.uses if u.state == "ask"]
        assert asked, f"{self.decision} at {self.fault_at}: {self.world.kinds()}"
        self.pump(clients.confirm(self.world, asked[0]))
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


def places(tmp_path):
    drive = Drive(World(tmp_path, replies=REPLIES)).run()
    assert essence(drive.world) == OUTCOME
    return drive.places


@pytest.mark.parametrize("catch", [True, False], ids=["catch", "sweep"])
@pytest.mark.timeout(300)
def test_every_fault_at_every_port_call_converges(tmp_path, catch):
    tried = 0
    for n, place in enumerate(places(tmp_path)):
        for decision in FAULTS[place]:
            world = World(tmp_path, replies=REPLIES)
            Drive(world, n, decision, catch=catch).run()
            assert essence(world) == OUTCOME, f"{decision} at {n} ({place})"
            assert len(world.model_requests) <= 3 + 1, f"{decision} at {n} ({place})"
            assert len(world.effects) == len(set(world.effects))
            tried += 1
    assert tried > 40


def test_no_model_request_is_repeated_once_its_reply_is_committed(tmp_path):
    for n, place in enumerate(places(tmp_path)):
        if place != "write":
            continue
        world = World(tmp_path, replies=REPLIES)
        Drive(world, n, "crash after").run()
        committed_first = world.kinds().count("span.model_request_start") == 3
        if committed_first:
            assert len(world.model_requests) == 3, f"{n} {world.kinds()}"
