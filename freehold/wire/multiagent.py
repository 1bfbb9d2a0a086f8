"""Who an agent may delegate to, as answers show it (BEHAVIOUR 12.2)."""

from typing import Annotated, Literal

from pydantic import Field

from freehold.wire.base import WireModel


class AgentReference(WireModel):
    """An agent at a version."""

    type: Literal["agent"] = "agent"
    id: str
    version: int


class Advisor(WireModel):
    """A model that is asked for advice."""

    type: Literal["advisor"] = "advisor"
    model: str


class MultiagentCoordinator(WireModel):
    """Delegation to the listed agents alone."""

    type: Literal["coordinator"] = "coordinator"
    agents: list[Annotated[AgentReference | Advisor, Field(discriminator="type")]]


class MultiagentAdvisorEnabled(WireModel):
    """There is an advisor."""

    type: Literal["enabled"] = "enabled"
    model: str


class MultiagentAdvisorDisabled(WireModel):
    """There is none."""

    type: Literal["disabled"] = "disabled"


class MultiagentInlineAgentsEnabled(WireModel):
    """The agent may make up agents as it goes."""

    type: Literal["enabled"] = "enabled"


class MultiagentInlineAgentsDisabled(WireModel):
    """It may not."""

    type: Literal["disabled"] = "disabled"


class MultiagentSubagentsDisabled(WireModel):
    """No subagents."""

    type: Literal["disabled"] = "disabled"


class MultiagentWorkflowsDisabled(WireModel):
    """No workflows."""

    type: Literal["disabled"] = "disabled"


InlineAgents = Annotated[
    MultiagentInlineAgentsEnabled | MultiagentInlineAgentsDisabled, Field(discriminator="type")
]
MultiagentAdvisor = Annotated[
    MultiagentAdvisorEnabled | MultiagentAdvisorDisabled, Field(discriminator="type")
]


class MultiagentSubagentsEnabled(WireModel):
    """Subagents it may start."""

    type: Literal["enabled"] = "enabled"
    inline_agents: InlineAgents
    predefined_agents: list[AgentReference]


class MultiagentWorkflowsEnabled(WireModel):
    """Agents its workflows may start."""

    type: Literal["enabled"] = "enabled"
    inline_agents: InlineAgents
    predefined_agents: list[AgentReference]


class Multiagent20261001(WireModel):
    """Three switches: subagents, workflows, advisor."""

    type: Literal["multiagent_20261001"] = "multiagent_20261001"
    subagents: Annotated[
        MultiagentSubagentsEnabled | MultiagentSubagentsDisabled, Field(discriminator="type")
    ]
    workflows: Annotated[
        MultiagentWorkflowsEnabled | MultiagentWorkflowsDisabled, Field(discriminator="type")
    ]
    advisor: MultiagentAdvisor


Multiagent = Annotated[MultiagentCoordinator | Multiagent20261001, Field(discriminator="type")]
