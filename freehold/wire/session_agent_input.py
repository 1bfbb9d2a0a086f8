"""The agent of a session as clients name it, override it and change it (BEHAVIOUR 5.1, 5.4)."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from freehold.errors import InvalidRequest
from freehold.wire.agent_input import ModelParams, SystemParams
from freehold.wire.base import WireModel
from freehold.wire.refusals import not_yet
from freehold.wire.session_agent import SessionAgent
from freehold.wire.tool_input import ToolsParams

_MODEL_REQUIRED = "agent_model_required"


def _agent_object(value: object) -> object:
    """The short form of an agent is its id, at the latest version."""
    return {"type": "agent", "id": value} if isinstance(value, str) else value


def _model_given(value: object) -> object:
    if value is None:
        raise InvalidRequest(
            f"agent.model: a session needs a model, null cannot clear it ({_MODEL_REQUIRED})",
            details={"error_code": _MODEL_REQUIRED},
        )
    return value


class _AgentReference(WireModel):
    id: str
    version: Annotated[int, Field(ge=1)] | None = None


class AgentParams(_AgentReference):
    """An agent, at a version or at its latest."""

    type: Literal["agent"]

    def applied(self, agent: SessionAgent) -> SessionAgent:
        """The agent as it is."""
        return agent


class AgentWithOverridesParams(_AgentReference):
    """An agent of which the session changes something: what is omitted is inherited, null and empty
    clear, a value replaces the whole. Raises InvalidRequest for `model: null`.
    """

    type: Literal["agent_with_overrides"]
    model: Annotated[ModelParams | None, BeforeValidator(_model_given)] = None
    system: SystemParams = None
    tools: ToolsParams = Field(default_factory=list)
    mcp_servers: Annotated[None, not_yet("mcp_servers")] = None
    skills: Annotated[None, not_yet("skills")] = None

    def applied(self, agent: SessionAgent) -> SessionAgent:
        """The agent with what is overridden. A model without an effort runs at its own default,
        whatever the agent's was; `id` and `version` stay the agent's.
        """
        changed: dict[str, object] = {}
        if self.model is not None:
            changed["model"] = self.model.resolved()
        if "system" in self.model_fields_set:
            changed["system"] = self.system or None
        if "tools" in self.model_fields_set:
            changed["tools"] = [tools.resolved() for tools in self.tools]
        return agent.model_copy(update=changed)


_AgentObject = Annotated[AgentParams | AgentWithOverridesParams, Field(discriminator="type")]
SessionAgentParams = Annotated[
    _AgentObject, BeforeValidator(_agent_object, json_schema_input_type=str | _AgentObject)
]


class SessionAgentUpdateParams(WireModel):
    """What an update may change of a session's agent; null and empty clear."""

    tools: ToolsParams = Field(default_factory=list)
    mcp_servers: Annotated[None, not_yet("agent.mcp_servers of a session update")] = None

    def applied(self, agent: SessionAgent) -> SessionAgent:
        """The agent with what is given, replaced in full."""
        if "tools" not in self.model_fields_set:
            return agent
        return agent.model_copy(update={"tools": [tools.resolved() for tools in self.tools]})
