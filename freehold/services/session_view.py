"""The session as the API shows it (BEHAVIOUR 5.2, 5.3)."""

from __future__ import annotations

from freehold.domain import accounting
from freehold.domain.session import Head, SessionState
from freehold.ids import parse_timestamp
from freehold.ports import App
from freehold.session_doc import SessionDoc
from freehold.wire.sessions import Session, SessionStats, SessionStatus, SessionUsage


def render(app: App, doc: SessionDoc, state: SessionState, primary: Head) -> Session:
    """Status is derived, never stored."""
    now = app.clock()
    end = parse_timestamp(state.archived_at) if state.archived_at else now
    running_us = accounting.running_us(state, now)
    return Session(
        id=doc.id,
        agent=doc.agent,
        environment_id=doc.environment_id,
        title=doc.title,
        status=status_of(state, primary),
        metadata=doc.metadata,
        resources=[],
        vault_ids=[],
        outcome_evaluations=[],
        stats=SessionStats(
            active_seconds=(state.threads_active_us + running_us) / 1e6,
            duration_seconds=max(0.0, (end - parse_timestamp(doc.created_at)).total_seconds()),
        ),
        usage=accounting.usage_of(state, now, SessionUsage),
        budget=accounting.budget_of(state),
        created_at=doc.created_at,
        updated_at=max(doc.updated_at, state.updated_at),
        archived_at=state.archived_at,
    )


def status_of(state: SessionState, primary: Head) -> SessionStatus:
    """`running` if any thread runs; parked and paused sessions are idle (BEHAVIOUR 5.3)."""
    if state.archived_at is not None or primary.status == "terminated":
        return "terminated"
    if state.running:
        return "rescheduling" if state.rescheduled else "running"
    return "idle"
