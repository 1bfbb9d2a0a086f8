"""What a model request cost at list prices: that of the model that served it (BEHAVIOUR 10)."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from freehold.domain.accounting import Spent
from freehold.domain.step import Failure, Reply, Summary
from freehold.ports import App, Usage
from freehold.wire.sessions import SessionAgent

T = TypeVar("T", bound=Reply | Summary | Failure)


def priced(app: App, agent: SessionAgent, result: T) -> T:
    """The same with its cost."""
    usage = served(agent, result.usage)
    return replace(result, usage=usage, cost=app.settings.prices.cost_of(usage))


def spent_by(app: App, agent: SessionAgent, usage: Usage) -> Spent:
    """A request that a tool made."""
    usage = served(agent, usage, speed="")
    return Spent(usage, app.settings.prices.cost_of(usage))


def served(agent: SessionAgent, usage: Usage, speed: str | None = None) -> Usage:
    """Where the endpoint does not say who answered, it was who was asked."""
    asked = (agent.model.speed or "") if speed is None else speed
    return replace(usage, model=usage.model or agent.model.id, speed=usage.speed or asked)
