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
    """Takes all that is pending into the conversation, in order; a client's event gets its stamped
    sighting.

    `consumed` in the commit is what the transcript is built from: position in the feed is not
    transcript order.
    """
    head = draft.heads[thread_id]
    for pending in head.pending:
        if pending.type.startswith("user."):
            draft.add(thread_id, stamped(draft, thread_id, pending.event_id))
    ids = [pending.event_id for pending in head.pending]
    draft.note(thread_id, "consumed", ids)
    draft.set(thread_id, pending=(), taken=(*head.taken, *ids))


def accept(draft: Draft, thread_id: str, event_id: str, event_type: str, seq: int) -> None:
    """Puts an event into `pending`: accepted, unprocessed."""
    pending = (*draft.heads[thread_id].pending, Pending(event_id, event_type, seq))
    draft.set(thread_id, pending=pending)


def stamped(draft: Draft, thread_id: str, event_id: str) -> JsonObject:
    """The second sighting of a queued event: the same event with `processed_at` set. Needs the
    event in `draft.inputs`.
    """
    return {**draft.inputs[event_id], "processed_at": draft.stamp(thread_id)}
