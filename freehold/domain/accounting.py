"""What a session has used: time, tokens and their list cost, added up as they are spent (BEHAVIOUR
5.2, 10).

Costs are in units of `money`. Tokens and searches are booked in the transaction that ends a
request, running time where the session idles; until then it is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from freehold.domain.draft import Draft
from freehold.domain.session import TOKENS, Head, SessionState
from freehold.ids import parse_timestamp
from freehold.money import CENT
from freehold.ports import Usage
from freehold.wire.events import CacheCreationUsage, SpanModelUsage
from freehold.wire.usage import BudgetLimit, MonetaryAmount, ServerToolUsage, SessionUsageSnapshot

U = TypeVar("U", bound=SessionUsageSnapshot)


@dataclass(frozen=True, slots=True)
class Spent:
    """One request to a model. `cost` is None where the model that served it has no list price;
    `is_estimated` where it ended before its last count.
    """

    usage: Usage
    cost: int | None
    is_estimated: bool = False


def book_time(draft: Draft, head: Head) -> None:
    """Adds the running period that ends now to the thread and to the session's sum."""
    if head.running_since is None:
        return
    spent = microseconds(head.running_since, draft.now)
    draft.set(head.thread_id, active_us=head.active_us + spent)
    draft.set_session(threads_active_us=draft.session.threads_active_us + spent)


def book_session_time(draft: Draft) -> None:
    """No thread runs any more: the time since one began, in which overlaps count once."""
    session = draft.session
    if session.running_since is None:
        return
    spent = microseconds(session.running_since, draft.now)
    draft.set_session(
        running_since=None,
        active_us=session.active_us + spent,
        spend=session.spend + spent * session.time_rate,
    )


def book_request(draft: Draft, thread_id: str, spent: Spent) -> None:
    """Adds a request's tokens and cost to the thread and to the session, and notes them in the
    commit. One that was not metered at all is not noted.
    """
    tokens = {name: getattr(spent.usage, name) for name in TOKENS}
    if not any(tokens.values()) and not spent.cost:
        return
    unpriced = spent.usage.model if spent.cost is None else None
    _add(draft, thread_id, tokens, spent.cost or 0)
    draft.set_session(
        **{name: getattr(draft.session, name) + n for name, n in tokens.items()},
        unpriced=draft.session.unpriced or unpriced,
    )
    noted = {**tokens, "model": spent.usage.model, "speed": spent.usage.speed, "cost": spent.cost}
    draft.note_one(thread_id, "spent", {**noted, "estimated": spent.is_estimated})


def book_searches(draft: Draft, thread_id: str, count: int, cost: int) -> None:
    """Adds answered searches, of `cost` together, to the thread and to the session."""
    if not count:
        return
    _add(draft, thread_id, {"web_searches": count}, cost)
    draft.set_session(web_searches=draft.session.web_searches + count)
    draft.note(thread_id, "searches", {"count": count, "cost": cost})


def _add(draft: Draft, thread_id: str, amounts: dict[str, int], cost: int) -> None:
    """To the thread's counts; the cost to the session's as well."""
    before = draft.heads[thread_id].usage
    added = {**amounts, "list_cost": cost}
    booked = {name: before.get(name, 0) + amount for name, amount in added.items()}
    draft.set(thread_id, usage={**before, **booked})
    draft.set_session(spend=draft.session.spend + cost)


# ---------------------------------------------------------------- questions
def context_of(usage: Usage) -> int:
    """Tokens of a request and its reply together: what the conversation has."""
    return sum(getattr(usage, name) for name in TOKENS)


def microseconds(since: str, now: datetime) -> int:
    """Time passed, never negative: clocks may step."""
    return max(0, round((now - parse_timestamp(since)).total_seconds() * 1e6))


def running_us(session: SessionState, now: datetime) -> int:
    """Of the running period that has not ended, in microseconds."""
    return microseconds(session.running_since, now) if session.running_since is not None else 0


def consumed(session: SessionState, now: datetime) -> int:
    """The session's list cost, the time that runs included."""
    return session.spend + running_us(session, now) * session.time_rate


def is_over_budget(session: SessionState, now: datetime) -> bool:
    """The cap is reached, or a model answered that nobody listed a price of (BEHAVIOUR 10)."""
    if session.cap is None:
        return False
    return session.unpriced is not None or consumed(session, now) >= session.cap


def is_paused(session: SessionState, now: datetime) -> bool:
    """No request may begin: the session is at its cap, or the workspace at that of the day."""
    return session.paused_day is not None or is_over_budget(session, now)


def need_budget(draft: Draft) -> None:
    """What is spent is below the cap at the very moment of the claim. The time that runs is taken
    from the cap: no write is needed to count it.
    """
    draft.need("cap", "unpriced", "running_since")
    session = draft.session
    if session.cap is not None:
        draft.need_spend_below(session.cap - running_us(session, draft.now) * session.time_rate)


# ---------------------------------------------------------------- as the API shows it
def usage_of(session: SessionState, now: datetime, kind: type[U]) -> U:
    """The session's totals."""
    return kind(
        input_tokens=session.input_tokens,
        output_tokens=session.output_tokens,
        cache_read_input_tokens=session.cache_read_input_tokens,
        cache_creation=CacheCreationUsage(
            ephemeral_5m_input_tokens=session.cache_creation_5m,
            ephemeral_1h_input_tokens=session.cache_creation_1h,
        ),
        list_cost=MonetaryAmount.of(consumed(session, now)),
        active_seconds=(session.active_us + running_us(session, now)) / 1e6,
        server_tool_use=_server_tool_use(session.web_searches),
    )


def usage_of_thread(head: Head, now: datetime, kind: type[U]) -> U:
    """A thread's totals; running time is the session's cost."""
    count = head.usage
    return kind(
        input_tokens=count.get("input_tokens", 0),
        output_tokens=count.get("output_tokens", 0),
        cache_read_input_tokens=count.get("cache_read_input_tokens", 0),
        cache_creation=CacheCreationUsage(
            ephemeral_5m_input_tokens=count.get("cache_creation_5m", 0),
            ephemeral_1h_input_tokens=count.get("cache_creation_1h", 0),
        ),
        list_cost=MonetaryAmount.of(count.get("list_cost", 0)),
        active_seconds=active_seconds(head, now),
        server_tool_use=_server_tool_use(count.get("web_searches", 0)),
    )


def active_seconds(head: Head, now: datetime) -> float:
    """A thread's running time, the period that has not ended included."""
    if head.running_since is None:
        return head.active_us / 1e6
    return (head.active_us + microseconds(head.running_since, now)) / 1e6


def budget_of(session: SessionState) -> BudgetLimit | None:
    """The cap as it was set."""
    if session.cap is None:
        return None
    return BudgetLimit(max_list_cost=MonetaryAmount(amount=str(session.cap // CENT)))


def _server_tool_use(searches: int) -> ServerToolUsage:
    """Fetches are not metered (BEHAVIOUR 10)."""
    return ServerToolUsage(web_search_requests=searches)


def span_usage(usage: Usage) -> SpanModelUsage:
    """One request's tokens as `span.model_request_end` reports them."""
    return SpanModelUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
        cache_creation_input_tokens=usage.cache_creation_5m + usage.cache_creation_1h,
        speed="fast" if usage.speed == "fast" else None,
    )
