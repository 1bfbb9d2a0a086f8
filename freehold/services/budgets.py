"""Which agents a budget can be kept for: whose every model has a list price (BEHAVIOUR 10)."""

from __future__ import annotations

from collections.abc import Iterator

from freehold.errors import InvalidRequest
from freehold.ports import App
from freehold.wire.agent_definition import AgentDefinition
from freehold.wire.multiagent import Advisor
from freehold.wire.session_agent import (
    SessionAgent,
    SessionMultiagent20261001,
    SessionMultiagentCoordinator,
)


def require_list_prices(app: App, agent: SessionAgent) -> None:
    """Raises InvalidRequest for a model that the session may ask and nobody listed a price of."""
    for model, speed in _models(agent):
        if not app.settings.prices.has(model, speed):
            at = f" at speed {speed}" if speed else ""
            raise InvalidRequest(
                f"budget: no list price is available for the model {model}{at}"
                " (model_not_budgetable)",
                details={"error_code": "model_not_budgetable"},
            )


def _models(agent: SessionAgent) -> Iterator[tuple[str, str | None]]:
    """Every model that a session of this agent may ask, with its speed."""
    yield agent.model.id, agent.model.speed
    team = agent.multiagent
    if isinstance(team, SessionMultiagentCoordinator):
        yield from map(_member, team.agents)
    elif isinstance(team, SessionMultiagent20261001):
        for group in (team.subagents, team.workflows):
            yield from map(_member, getattr(group, "predefined_agents", ()))
        if team.advisor.type == "enabled":
            yield team.advisor.model, None


def _member(member: AgentDefinition | Advisor) -> tuple[str, str | None]:
    if isinstance(member, Advisor):
        return member.model, None
    return member.model.id, member.model.speed
