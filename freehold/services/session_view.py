"""The session as the API shows it (BEHAVIOUR 5.2, 5.3)."""

from __future__ import annotations

from freehold.domain.accounting import server_tool_use
from freehold.domain.session import Head, SessionState
from freehold.ids import parse_timestamp
from freehold.ports import App
from freehold.session_doc import SessionDoc
from freehold.wire.events import CacheCreationUsage
from freehold.wire.sessions import Session, SessionStats, SessionStatus, SessionUsage


def render(app: App, doc: SessionDoc, state: SessionState, primary: Head) -> Session:
    """Status is derived, never stored."""
    end = parse_timestamp(state.archived_at) if state.archived_at else app.clock()
    running = 0.0
    if state.running_since is not None:
        running = max(0.0, (app.clock() - parse_timestamp(state.running_since)).total_seconds())
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
            active_seconds=state.threads_active_us / 1e6 + running,
            duration_seconds=max(0.0, (end - parse_timestamp(doc.created_at)).total_seconds()),
        ),
        usage=SessionUsage(
            input_tokens=state.input_tokens,
            output_tokens=state.output_tokens,
            cache_read_input_tokens=state.cache_read_input_tokens,
            cache_creation=CacheCreationUsage(
                ephemeral_5m_input_tokens=state.cache_creation_5m,
                ephemeral_1h_input_tokens=state.cache_creation_1h,
            ),
            active_seconds=state.active_us / 1e6 + running,
            server_tool_use=server_tool_use(state.web_searches),
        ),
        budget=None,
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
