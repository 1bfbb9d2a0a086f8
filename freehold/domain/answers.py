"""Answers of clients to the calls a thread waits for: confirmations, and results of custom tools
(BEHAVIOUR 5.7, 7.3, 7.4).

An answer finds its thread by the id of the call and is processed on receipt. One to a child's call
also stands in the primary's feed, like the call itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from freehold.domain import lifecycle
from freehold.domain.draft import Draft
from freehold.domain.session import Head, Use, UseState
from freehold.errors import InvalidRequest
from freehold.wire.events import (
    Event,
    SessionRequiresAction,
    UserCustomToolResultEvent,
    UserToolConfirmationEvent,
)

Answer: TypeAlias = UserToolConfirmationEvent | UserCustomToolResultEvent

_LONGEST_ID = 64
"""Of what a refusal repeats."""


def resolve_first(draft: Draft, events: Sequence[Event]) -> bool:
    """Whether the request answers a parked thread that an interrupt has not reached yet. That
    interrupt is resolved alone, whatever else is asked for.
    """
    for event in _answers(events):
        found = _find_use(draft, _use_id(event))
        if found is not None and _is_behind(draft, found[0]):
            lifecycle.stop_turn(draft, found[0].thread_id, by_append=True)
            return True
    return False


def settle_use(draft: Draft, event: Answer, position: int) -> None:
    """Answers one call. Raises InvalidRequest for one that does not wait for this kind of answer,
    or not any more, be it for an interrupt of this very request.
    """
    is_result = isinstance(event, UserCustomToolResultEvent)
    found = _find_use(draft, _use_id(event))
    if (
        found is None
        or found[1].state != "ask"
        or found[1].custom != is_result
        or _is_behind(draft, found[0])
    ):
        kind = "custom tool use" if is_result else "tool use"
        wanted = "a result" if is_result else "confirmation"
        raise InvalidRequest(
            f"Invalid {event.type} event at events[{position}]: "
            f"no {kind} {_use_id(event)[:_LONGEST_ID]} is waiting for {wanted}"
        )
    head, use = found
    draft.need("gen")
    _post(draft, head, event)
    _mark(draft, head, use, event)
    if head.status == "requires_action":
        draft.need("asked")
        draft.set_session(asked=tuple(a for a in draft.session.asked if a != use.event_id))


def _post(draft: Draft, head: Head, event: Answer) -> None:
    """The stored copy names the thread it went to, where that is not the primary."""
    places = [head.thread_id]
    if head.parent_id is not None:
        event = event.model_copy(update={"session_thread_id": head.thread_id})
        places.append(draft.session.primary_id)
    for place in places:
        draft.add(place, event.model_copy(update={"processed_at": draft.stamp(place)}))


def _mark(draft: Draft, head: Head, use: Use, event: Answer) -> None:
    state: UseState = "done"
    if isinstance(event, UserToolConfirmationEvent):
        if event.result == "allow":
            state = "allow"
        else:
            lifecycle.deny_use(draft, head.thread_id, use, event.deny_message)
    uses = tuple(replace(u, state=state) if u is use else u for u in head.uses)
    draft.set(head.thread_id, uses=uses)


def conclude(draft: Draft, events: Sequence[Event]) -> None:
    """The last answer starts a parked thread. Where calls remain, the session's idle is repeated
    with those, once a request.
    """
    ids = [_use_id(event) for event in _answers(events)]
    threads = dict.fromkeys(found[0].thread_id for i in ids if (found := _find_use(draft, i)))
    parked = [t for t in threads if draft.heads[t].status == "requires_action"]
    complete = [t for t in parked if not lifecycle.asked(draft.heads[t])]
    for thread_id in complete:
        draft.need("asks")
        draft.set_session(asks=draft.session.asks - 1)
        lifecycle.start(draft, thread_id)
    if len(complete) < len(parked):
        remaining = SessionRequiresAction(event_ids=list(draft.session.asked))
        lifecycle.session_idle(draft, remaining)


def _answers(events: Sequence[Event]) -> list[Answer]:
    return [
        event
        for event in events
        if isinstance(event, UserToolConfirmationEvent | UserCustomToolResultEvent)
    ]


def _use_id(event: Answer) -> str:
    if isinstance(event, UserToolConfirmationEvent):
        return event.tool_use_id
    return event.custom_tool_use_id


def _find_use(draft: Draft, event_id: str) -> tuple[Head, Use] | None:
    return next(
        ((h, use) for h in draft.heads.values() for use in h.uses if use.event_id == event_id), None
    )


def _is_behind(draft: Draft, head: Head) -> bool:
    return head.status == "requires_action" and head.gen < draft.session.gen
