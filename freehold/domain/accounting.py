"""What a session has used: time and tokens, added up as they are spent (BEHAVIOUR 5.2, 10)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from freehold.domain.draft import Draft
from freehold.domain.session import Head, SessionState
from freehold.ids import parse_timestamp
from freehold.ports import Usage
from freehold.wire.events import CacheCreationUsage, SessionUsageSnapshot, SpanModelUsage
from freehold.wire.usage import ServerToolUsage


def book_time(draft: Draft, head: Head) -> None:
    """Adds the running period that ends now to the thread and to the session's sum."""
    if head.running_since is None:
        return
    spent = microseconds(head.running_since, draft.now)
    draft.set(head.thread_id, active_us=head.active_us + spent)
    draft.set_session(threads_active_us=draft.session.threads_active_us + spent)


def book_tokens(draft: Draft, thread_id: str, usage: Usage, cost: int) -> None:
    """Adds a request's tokens to the thread and to the session."""
    head = draft.heads[thread_id]
    spent = {name: getattr(usage, name) for name in Usage.__slots__}
    booked = {name: head.usage.get(name, 0) + tokens for name, tokens in spent.items()}
    draft.set(thread_id, usage={**head.usage, **booked})
    session = {name: getattr(draft.session, name) + n for name, n in spent.items()}
    draft.set_session(**session, spend=draft.session.spend + cost)


def context_of(usage: Usage) -> int:
    """Tokens of a request and its reply together: what the conversation has."""
    return sum(getattr(usage, name) for name in Usage.__slots__)


def total(usages: Iterable[Usage]) -> Usage:
    """All of them together."""
    found = list(usages)
    return Usage(*(sum(getattr(u, name) for u in found) for name in Usage.__slots__))


def book_searches(draft: Draft, thread_id: str, count: int) -> None:
    """Adds answered searches to the thread and to the session."""
    if not count:
        return
    usage = draft.heads[thread_id].usage
    booked = {**usage, "web_searches": usage.get("web_searches", 0) + count}
    draft.set(thread_id, usage=booked)
    draft.set_session(web_searches=draft.session.web_searches + count)


def server_tool_use(searches: int) -> ServerToolUsage:
    """Fetches are not metered (BEHAVIOUR 10)."""
    return ServerToolUsage(web_search_requests=searches)


def microseconds(since: str, now: datetime) -> int:
    """Time passed, never negative: clocks may step."""
    return max(0, round((now - parse_timestamp(since)).total_seconds() * 1e6))


def usage_of(session: SessionState) -> SessionUsageSnapshot:
    """The session's totals as the API reports them."""
    return SessionUsageSnapshot(
        input_tokens=session.input_tokens,
        output_tokens=session.output_tokens,
        cache_read_input_tokens=session.cache_read_input_tokens,
        cache_creation=CacheCreationUsage(
            ephemeral_5m_input_tokens=session.cache_creation_5m,
            ephemeral_1h_input_tokens=session.cache_creation_1h,
        ),
        active_seconds=session.active_us / 1e6,
        server_tool_use=server_tool_use(session.web_searches),
    )


def span_usage(usage: Usage) -> SpanModelUsage:
    """One request's tokens as `span.model_request_end` reports them."""
    return SpanModelUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
        cache_creation_input_tokens=usage.cache_creation_5m + usage.cache_creation_1h,
    )
