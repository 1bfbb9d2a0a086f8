"""What the transactions of RunTurn and RunTools share: who may write, and what follows a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from freehold.domain import lifecycle
from freehold.domain.draft import Draft
from freehold.domain.session import Use
from freehold.errors import ModelError
from freehold.ports import Run, Usage
from freehold.toolset import JsonObject
from freehold.wire.base import WireModel
from freehold.wire.events import (
    AgentCustomToolUseEvent,
    AgentMessageEvent,
    AgentThinkingEvent,
    AgentToolUseEvent,
    SessionRequiresAction,
)

ReplyEvent = AgentMessageEvent | AgentThinkingEvent | AgentToolUseEvent | AgentCustomToolUseEvent
CUT_SHORT = "cut_short"
"""Stop reason of a reply that was cut for lack of time: a further request goes on."""
PAUSED = "pause_turn"
"""Stop reason of a reply that the model's provider paused: sent back as it is, it is resumed."""

Next = Literal["tools", "turn", "wait", "idle", "successor", "taken"]


@dataclass(frozen=True, slots=True)
class Lease:
    """Who claims, and until when."""

    holder: str
    until: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete model reply as events, in order, with what only the model may see again.

    `uses` are the tool uses that need an answer; `denied` maps the id of a refused use to the text
    of its result. `children` are threads this reply creates, each with its task. `cost` is None
    where the model that served it has no list price.
    """

    events: tuple[ReplyEvent, ...]
    uses: tuple[Use, ...]
    blocks: tuple[JsonObject, ...]
    usage: Usage
    stop_reason: str
    stop_details: WireModel | None = None
    denied: Mapping[str, str] = field(default_factory=dict)
    children: tuple[tuple[str, str], ...] = ()
    cost: int | None = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the model says of the conversation that it was asked to summarize."""

    text: str
    usage: Usage
    cost: int | None = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A model request that gave no reply, and what was metered until it ended. `of_summary`: it
    asked for a summary.
    """

    error: ModelError
    usage: Usage
    of_summary: bool = False
    cost: int | None = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """Numbers a plan needs from Settings."""

    leg_turns: int
    max_retries: int
    max_tool_rounds: int
    max_compactions: int


@dataclass(frozen=True, slots=True)
class DayReached:
    """The workspace has spent what the operator allows it in a day: which, and in words."""

    day: str
    message: str


def is_taken(draft: Draft, run: Run, lease: Lease) -> bool:
    """Whether the thread has moved on from this execution, or another invocation holds it."""
    claim = draft.snapshot.claims.get(run.thread_id)
    if not lifecycle.may_work(draft.snapshot, run.thread_id, run.epoch, run.leg):
        return True
    return claim is not None and claim.holder != lease.holder and not claim.has_lapsed(draft.at)


def fenced(draft: Draft, run: Run, holder: str) -> bool:
    """Adds the fence of every later transaction of an invocation. False when it has lost its
    claim.
    """
    head = draft.heads.get(run.thread_id)
    claim = draft.snapshot.claims.get(run.thread_id)
    if head is None or draft.snapshot.session.dead or head.status != "running":
        return False
    if (head.epoch, head.leg) != (run.epoch, run.leg) or not claim or claim.holder != holder:
        return False
    draft.fence(run.thread_id, holder)
    draft.need("gen")
    draft.claims[run.thread_id] = None
    return True


def after(
    draft: Draft,
    run: Run,
    limits: Limits,
    reason: WireModel,
    stop_details: WireModel | None = None,
    report: str = "",
) -> Next:
    """What follows a finished step, decided on the head the transaction conditions on; settles
    where nothing is left.
    """
    thread_id = run.thread_id
    head = draft.heads[thread_id]
    if head.is_runnable:
        return "tools"
    if head.is_blocked:
        waiting = SessionRequiresAction(event_ids=list(lifecycle.asked(head)))
        lifecycle.settle(draft, thread_id, "requires_action", waiting)
        return "idle"
    if not head.has_unread_input:
        lifecycle.settle(draft, thread_id, "idle", reason, stop_details=stop_details, report=report)
        return "idle"
    if limits.leg_turns and head.turns >= limits.leg_turns:
        draft.set(thread_id, leg=head.leg + 1, turns=0)
        return "successor"
    return "turn"
