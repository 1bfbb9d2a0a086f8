"""One schedule for every rule of the protocol: the steps that break an implementation without it.

The name of a test is the rule. The invariants are checked after every transaction by the world
itself; what is asserted here is where the schedule must end.
"""

from __future__ import annotations

import pytest

from freehold.errors import InvalidRequest
from tests.protocol import clients
from tests.protocol.world import World

TOOL = (("allow", "text"),)
ASK = (("ask", "text"),)
BOTH = (("both", "text"),)
CHILD = (("spawn", "text"), ("text",))
CHILD_ASKS = (("spawn", "text"), ("ask", "text"))


def begin(world, label="m1"):
    """A message is accepted; answers its execution, not invoked yet."""
    clients.message(world, label).finish()
    return next(iter(world.open.values()))


def crash(world, execution, at):
    """The worker dies where it stands, and no Catch runs."""
    worker = world.invoke(execution).until(at)
    worker.step("crash")
    world.close(execution)


def use_that_asks(head):
    return next(use.event_id for use in head.uses if use.state == "ask")


def run_child_to_park(world):
    """The primary has delegated; its child stands before an ask."""
    execution = begin(world)
    world.invoke(execution).finish()
    world.settle()
    assert world.child.status == "requires_action"


def idle_once(world):
    world.settle()
    assert world.snapshot.session.running == 0
    assert not world.primary.has_unread_input


def test_exists_is_dead(tmp_path):
    world = World(tmp_path)
    execution = begin(world)
    crash(world, execution, "write")
    assert world.primary.status == "running"
    world.sweep().finish()
    assert world.primary.epoch == execution.run.epoch + 1
    idle_once(world)
    assert world.kinds().count("agent.message") == 1


def test_sweep_heads(tmp_path):
    world = World(tmp_path)
    world.lose_starts = True
    clients.message(world).finish()
    assert not world.open
    world.lose_starts = False
    world.sweep().finish()
    assert world.open
    idle_once(world)


def test_hand_over(tmp_path):
    """RunTools, the next turn and a Wait never meet a live claim of their own execution."""
    world = World(tmp_path, replies=TOOL)
    execution = begin(world)
    for stage in ("turn", "tools", "turn"):
        assert execution.stage == stage
        world.invoke(execution).finish()
        assert not world.snapshot.claims
        assert world.store.get([world.key.claim(world.primary.thread_id)]) == [None]
        world.conclude(execution)
    assert world.primary.status == "idle"


@pytest.mark.parametrize("before_the_claim", [True, False])
def test_gen_at_start(tmp_path, before_the_claim):
    """An interrupt accepted while a child runs stops that child even if its worker dies and another
    claims.
    """
    world = World(tmp_path, replies=CHILD_ASKS)
    execution = begin(world)
    world.invoke(execution).finish()
    world.conclude(execution)
    child_run = next(e for e in world.open.values() if e.run.thread_id == world.child.thread_id)
    if before_the_claim:
        clients.interrupt(world).finish()
    else:
        worker = world.invoke(child_run).until("model")
        clients.interrupt(world).finish()
        worker.step("crash")
        world.close(child_run)
    world.settle()
    feed = world.kinds(world.child.thread_id)
    first = feed.index("session.thread_status_idle")
    assert "agent.message" not in feed[:first]
    # Input that no claim had taken survives the interrupt and gets its own turn.
    assert ("agent.message" in feed) == before_the_claim
    assert world.child.status == ("requires_action" if before_the_claim else "idle")


def test_uses_unread(tmp_path):
    """Results committed, then the worker dies: the next run reads them instead of going idle."""
    world = World(tmp_path, replies=TOOL)
    execution = begin(world)
    world.invoke(execution).finish()
    world.conclude(execution)
    world.invoke(execution).finish()
    world.close(execution)
    assert [use.state for use in world.primary.uses] == ["done"]
    idle_once(world)
    assert world.kinds().count("agent.message") == 2


@pytest.mark.parametrize("decision", ["lost", "held"])
def test_look_every_try(tmp_path, decision):
    """A request whose answer was lost is found below the head of every later attempt, and never
    written twice.
    """
    world = World(tmp_path)
    worker = clients.message(world, "m1").until("write")
    worker.step(decision)
    other = clients.message(world, "m2").until("write")
    other.finish()
    for writes in list(world.flight):
        world.land(writes)
    worker.finish()
    idle_once(world)
    assert len(world.acked) == 2
    first = [e["id"] for e in _sightings(world, "m1")]
    assert len(set(first)) == 1
    assert len(first) == 2


def _sightings(world, text):
    feed = world.feeds[world.primary.thread_id]
    events = [event for entry in feed.entries for event in entry.events]
    return [e for e in events if e["type"] == "user.message" and e["content"][0]["text"] == text]


def test_status_decides(tmp_path):
    """While the head says running, an interrupt is left to the next claim, even if the claim has
    lapsed.
    """
    world = World(tmp_path, replies=TOOL)
    execution = begin(world)
    worker = world.invoke(execution).until("model")
    world.lapse()
    clients.interrupt(world).finish()
    assert world.primary.has_interrupt
    assert world.primary.status == "running"
    worker.finish()
    world.conclude(execution)
    idle_once(world)
    assert "agent.message" not in world.kinds()


def test_epoch_fence(tmp_path):
    """A worker of a released epoch cannot write, though nobody has taken its claim item's place
    yet.
    """
    world = World(tmp_path)
    execution = begin(world)
    slow = world.invoke(execution).until("model")
    world.close(execution)
    world.release(execution.run).finish()
    slow.finish()
    assert slow.result.next == "taken"
    idle_once(world)
    assert world.kinds().count("agent.message") == 1


def test_cancel_marks(tmp_path):
    """A slow worker's dispatch that arrives after the cancellation is refused."""
    world = World(tmp_path, replies=TOOL)
    execution = begin(world)
    world.invoke(execution).finish()
    world.conclude(execution)
    slow = world.invoke(execution).until("dispatch")
    world.lapse()
    clients.interrupt(world).finish()
    other = world.invoke(execution, ghost=True)
    other.finish()
    slow.finish()
    world.conclude(execution)
    idle_once(world)
    assert world.effects == []


def test_boot_checked(tmp_path):
    """A mark of an earlier boot is not executed again on this one."""
    world = World(tmp_path, replies=TOOL)
    execution = begin(world)
    world.invoke(execution).finish()
    world.conclude(execution)
    worker = world.invoke(execution).until("dispatch")
    worker.step()
    world.reboot()
    worker.step("crash")
    world.close(execution)
    idle_once(world)
    assert len(world.effects) == 1
    results = [e for e in _events(world) if e["type"] == "agent.tool_result"]
    assert [r["is_error"] for r in results] == [True]
    assert "unknown" in results[0]["content"][0]["text"]


def _events(world):
    feed = world.feeds[world.primary.thread_id]
    return [event for entry in feed.entries for event in entry.events]


def test_mark_names(tmp_path):
    """A use allowed after the mark waits for the next round; it is not dispatched by the one that
    is open.
    """
    world = World(tmp_path, replies=BOTH)
    execution = begin(world)
    world.invoke(execution).finish()
    world.conclude(execution)
    worker = world.invoke(execution).until("write")
    worker.step("held")
    world.land(world.flight[0])
    asked = use_that_asks(world.primary)
    clients.confirm(world, asked).finish()
    worker.finish()
    assert worker.result.next == "tools"
    assert world.effects != []
    assert asked not in world.effects
    world.conclude(execution)
    idle_once(world)
    assert world.effects.count(asked) == 1


def test_resolve_first(tmp_path):
    """An answer to a parked thread that an interrupt has not reached yet finds the use closed."""
    world = World(tmp_path, replies=CHILD_ASKS)
    run_child_to_park(world)
    asked = use_that_asks(world.child)
    clients.interrupt(world).finish()
    assert world.snapshot.session.todo
    answer = clients.confirm(world, asked).finish()
    assert isinstance(answer.error, InvalidRequest)
    assert world.child.status == "idle"
    idle_once(world)
    assert world.effects == []


def test_todo_mark(tmp_path):
    """The API dies after the first thread of an interrupt of all: the sweep visits the others."""
    world = World(tmp_path, replies=CHILD_ASKS)
    run_child_to_park(world)
    clients.interrupt(world).finish()
    assert world.child.status == "requires_action"
    world.sweep().finish()
    assert world.child.status == "idle"
    assert not world.snapshot.session.todo
    idle_once(world)


def test_report_in_settle(tmp_path):
    """A child's end and its parent's start are one transaction: the session does not idle in
    between.
    """
    world = World(tmp_path, replies=CHILD)
    begin(world)
    world.settle()
    kinds = world.kinds()
    assert kinds.count("session.status_idle") == 1
    assert kinds[-1] == "session.status_idle"
    assert "agent.thread_message_received" in kinds


def test_session_half(tmp_path):
    """The session says it runs only when the first thread starts."""
    world = World(tmp_path, replies=CHILD)
    execution = begin(world)
    world.invoke(execution).finish()
    assert world.snapshot.session.running == 2 or world.child.is_busy
    clients.message(world, "m2").finish()
    world.settle()
    assert world.kinds().count("session.status_running") == 1


def test_settle_rereads(tmp_path):
    """A message that arrives while the reply is on its way gets a turn of its own."""
    world = World(tmp_path)
    execution = begin(world)
    worker = world.invoke(execution).until("model")
    worker.step()
    assert worker.at == "write"
    clients.message(world, "m2").finish()
    worker.finish()
    assert worker.result.next == "turn"
    world.conclude(execution)
    idle_once(world)
    assert world.kinds().count("agent.message") == 2
    assert world.kinds().count("session.status_idle") == 1


def test_start_in_append(tmp_path):
    """The append that makes work also says so: a client that posts and polls never sees a false
    idle.
    """
    world = World(tmp_path)
    clients.message(world).finish()
    assert world.primary.status == "running"
    assert world.kinds() == [
        "user.message",
        "session.status_running",
        "session.thread_status_running",
    ]
    idle_once(world)


def test_started_first(tmp_path):
    """The mark is committed before dispatch: after a crash in between nothing runs twice across a
    reboot.
    """
    world = World(tmp_path, replies=TOOL)
    execution = begin(world)
    world.invoke(execution).finish()
    world.conclude(execution)
    worker = world.invoke(execution).until("dispatch")
    assert [use.state for use in world.primary.uses] == ["started"]
    worker.step("crash")
    world.close(execution)
    world.reboot()
    idle_once(world)
    assert world.effects == []


def test_holder_checked(tmp_path):
    """Of two invocations of one execution, only the one that holds the claim may write."""
    world = World(tmp_path)
    execution = begin(world)
    slow = world.invoke(execution, ghost=True).until("model")
    world.lapse()
    world.invoke(execution).until("model")
    slow.finish()
    assert slow.result.next == "taken"
    idle_once(world)
    assert world.kinds().count("agent.message") == 1


def test_tombstone(tmp_path):
    """Nothing is appended after a session was deleted, whoever read it before."""
    world = World(tmp_path, replies=ASK)
    begin(world)
    world.settle()
    late = clients.confirm(world, use_that_asks(world.primary)).until("write")
    clients.delete(world).finish()
    late.finish()
    assert late.error is not None
    assert world.kinds()[-1] == "session.deleted"
