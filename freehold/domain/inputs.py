"""Input of a thread: accepted, queued in `pending`, stamped where it is taken into the conversation
(BEHAVIOUR 5.8).
"""

from __future__ import annotations

from freehold.domain.draft import Draft
from freehold.domain.session import Head, Pending
from freehold.toolset import JsonObject
from freehold.wire.content import TextBlock
from freehold.wire.events import AgentThreadMessageReceivedEvent


def receive(draft: Draft, thread_id: str, sender: Head, text: str) -> None:
    """A message from another thread becomes input of this one."""
    seq = draft.seq_of_next(thread_id)
    event_id = draft.emit(
        thread_id,
        AgentThreadMessageReceivedEvent,
        from_session_thread_id=sender.thread_id,
        from_agent_name=sender.agent_name,
        content=[TextBlock(text=text)],
    )
    accept(draft, thread_id, event_id, "agent.thread_message_received", seq)


def consume(draft: Draft, thread_id: str) -> None:
    """Takes all that is pending into the conversation, in order; the request that follows answers
    it.

    `consumed` in the commit is what the transcript is built from: position in the feed is not
    transcript order.
    """
    head = draft.heads[thread_id]
    ids = [pending.event_id for pending in head.pending]
    _stamp_pending(draft, thread_id)
    draft.note(thread_id, "consumed", ids)
    draft.set(thread_id, taken=(*head.taken, *ids))


def absorb(draft: Draft, thread_id: str) -> None:
    """Takes in the system messages that a thread still has when it idles: they ask for no reply,
    and the next turn reads them.
    """
    ids = [pending.event_id for pending in draft.heads[thread_id].pending]
    if ids:
        _stamp_pending(draft, thread_id)
        draft.note(thread_id, "consumed", ids)


def flush(draft: Draft, thread_id: str) -> None:
    """The turn is dead: queued messages leave the queue and the model never reads them (BEHAVIOUR
    7.7, 9). What the operator said, and what other threads report, stays in the conversation.
    """
    kept = [p.event_id for p in draft.heads[thread_id].pending if p.type != "user.message"]
    _stamp_pending(draft, thread_id)
    draft.note(thread_id, "consumed", kept)


def _stamp_pending(draft: Draft, thread_id: str) -> None:
    """Empties the queue; a client's event gets its stamped sighting."""
    for pending in draft.heads[thread_id].pending:
        if pending.type != "agent.thread_message_received":
            draft.add(thread_id, stamped(draft, thread_id, pending.event_id))
    draft.set(thread_id, pending=())


def accept(draft: Draft, thread_id: str, event_id: str, event_type: str, seq: int) -> None:
    """Puts an event into `pending`: accepted, unprocessed."""
    pending = (*draft.heads[thread_id].pending, Pending(event_id, event_type, seq))
    draft.set(thread_id, pending=pending)


def stamped(draft: Draft, thread_id: str, event_id: str) -> JsonObject:
    """The second sighting of a queued event: the same event with `processed_at` set. Needs the
    event in `draft.inputs`.
    """
    return {**draft.inputs[event_id], "processed_at": draft.stamp(thread_id)}
