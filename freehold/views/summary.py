"""A session as a row of a list, from the items that the log keeps beside itself: to read a thousand
logs for a list would take minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freehold.domain.accounting import usage_of
from freehold.wire.usage import SessionUsageSnapshot

if TYPE_CHECKING:
    from datetime import datetime

    from freehold.domain.session import Head, SessionState
    from freehold.session_doc import SessionDoc
    from freehold.toolset import JsonObject


@dataclass(frozen=True, slots=True)
class Summary:
    """`last_at` is when its log last grew, `waiting` how many answers it waits for; `usage` is as
    `session.usage` has it, with the list cost where prices are known.
    """

    id: str
    workspace_id: str
    title: str | None
    agent_id: str
    agent_name: str
    status: str
    created_at: str
    last_at: str
    waiting: int
    usage: JsonObject


def summary_of(
    workspace_id: str,
    doc: SessionDoc,
    state: SessionState,
    primary: Head,
    status: str,
    now: datetime,
) -> Summary:
    """`status` is the API's word for it."""
    return Summary(
        id=doc.id,
        workspace_id=workspace_id,
        title=doc.title,
        agent_id=doc.agent.id,
        agent_name=doc.agent.name,
        status=status,
        created_at=doc.created_at,
        last_at=max(state.updated_at, primary.updated_at, doc.created_at),
        waiting=len(state.asked),
        usage=usage_of(state, now, SessionUsageSnapshot).model_dump(),
    )
