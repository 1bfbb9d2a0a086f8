"""The agent a session runs with: a snapshot that no later version changes (BEHAVIOUR 5.2, 12.1)."""

from typing import Annotated, Literal, Self

from pydantic import Field

from freehold.wire.agent_definition import AgentDefinition
from freehold.wire.base import WireModel
from freehold.wire.multiagent import (
    Advisor,
    InlineAgents,
    MultiagentAdvisor,
    MultiagentSubagentsDisabled,
    MultiagentWorkflowsDisabled,
)


class SessionThreadAgent(AgentDefinition):
    """An agent as one of its threads knows it; delegation is the session's affair."""

    id: str
    type: Literal["agent"] = "agent"
    version: int

    @classmethod
    def of(cls, agent: "SessionAgent") -> Self:
        """The thread's view of the session's agent."""
        return cls(**{name: getattr(agent, name) for name in cls.model_fields})


class InlineAgent(AgentDefinition):
    """An agent that another agent made up; it has no resource."""

    type: Literal["inline"] = "inline"


class SessionMultiagentCoordinator(WireModel):
    """`coordinator`, with its agents in full."""

    type: Literal["coordinator"] = "coordinator"
    agents: list[Annotated[SessionThreadAgent | Advisor, Field(discriminator="type")]]


class SessionMultiagentSubagentsEnabled(WireModel):
    """Subagents, in full."""

    type: Literal["enabled"] = "enabled"
    inline_agents: InlineAgents
    predefined_agents: list[SessionThreadAgent]


class SessionMultiagentWorkflowsEnabled(WireModel):
    """Workflow agents, in full."""

    type: Literal["enabled"] = "enabled"
    inline_agents: InlineAgents
    predefined_agents: list[SessionThreadAgent]


class SessionMultiagent20261001(WireModel):
    """`multiagent_20261001`, with its agents in full."""

    type: Literal["multiagent_20261001"] = "multiagent_20261001"
    subagents: Annotated[
        SessionMultiagentSubagentsEnabled | MultiagentSubagentsDisabled,
        Field(discriminator="type"),
    ]
    workflows: Annotated[
        SessionMultiagentWorkflowsEnabled | MultiagentWorkflowsDisabled,
        Field(discriminator="type"),
    ]
    advisor: MultiagentAdvisor


class SessionAgent(AgentDefinition):
    """The session's agent; `id` and `version` name what it was made from."""

    id: str
    type: Literal["agent"] = "agent"
    version: int
    multiagent: Annotated[
        SessionMultiagentCoordinator | SessionMultiagent20261001 | None,
        Field(discriminator="type"),
    ]
