"""Threads of a session as answers show them (BEHAVIOUR 12.1)."""

from typing import Annotated, Literal

from pydantic import Field

from freehold.wire.base import Omittable, WireModel
from freehold.wire.multiagent import Advisor
from freehold.wire.session_agent import InlineAgent, SessionThreadAgent
from freehold.wire.usage import SessionThreadUsage

__all__ = [
    "SessionThread",
    "SessionThreadAgent",
    "SessionThreadStats",
    "SessionThreadStatus",
    "SessionThreadUsage",
    "ThreadPage",
]

SessionThreadStatus = Literal["running", "idle", "rescheduling", "terminated"]


class SessionThreadStats(WireModel):
    """Time in seconds: active, since creation, and until it first ran (0 for children)."""

    active_seconds: Omittable[float] = None
    duration_seconds: Omittable[float] = None
    startup_seconds: Omittable[float] = None


class SessionThread(WireModel):
    """A thread. `stats` is null until its first status change, `usage` until its first idle."""

    id: str
    type: Literal["session_thread"] = "session_thread"
    session_id: str
    parent_thread_id: str | None
    agent: Annotated[SessionThreadAgent | Advisor | InlineAgent, Field(discriminator="type")]
    status: SessionThreadStatus
    usage: SessionThreadUsage | None
    stats: SessionThreadStats | None
    workflow_run_id: str | None
    created_at: str
    updated_at: str
    archived_at: str | None


class ThreadPage(WireModel):
    """A page of threads."""

    data: list[SessionThread]
    next_page: Omittable[str] = None
