"""Agents: what clients send and what they are answered (BEHAVIOUR 2)."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from freehold.wire.agent_definition import AgentDefinition
from freehold.wire.agent_input import (
    DescriptionParams,
    ExecutionIdentityParams,
    ModelParams,
    NameParams,
    SystemParams,
    not_null,
)
from freehold.wire.base import Omittable, WireModel
from freehold.wire.metadata import Metadata, MetadataPatch
from freehold.wire.multiagent import Multiagent
from freehold.wire.queries import CreatedBounds, Query, QueryBool, QueryInt
from freehold.wire.refusals import not_yet
from freehold.wire.tool_input import ToolsParams

PageLimit = Annotated[QueryInt, Field(ge=1, le=100)]


class Agent(AgentDefinition):
    """One version of an agent. `archived_at` is the agent's, whichever version is shown."""

    id: str
    type: Literal["agent"] = "agent"
    version: int
    multiagent: Multiagent | None
    metadata: dict[str, str]
    created_at: str
    updated_at: str
    archived_at: str | None


class AgentPage(WireModel):
    """A page of agents or of versions, newest first."""

    data: list[Agent]
    next_page: Omittable[str] = None


class CreateAgent(WireModel):
    """The body of a create."""

    name: NameParams
    model: ModelParams
    description: DescriptionParams = None
    system: SystemParams = None
    tools: ToolsParams = Field(default_factory=list)
    mcp_servers: Annotated[None, not_yet("mcp_servers")] = None
    skills: Annotated[None, not_yet("skills")] = None
    multiagent: Annotated[None, not_yet("multiagent")] = None
    execution_identity: ExecutionIdentityParams = None
    metadata: Metadata = Field(default_factory=dict)


def _not_null(kind: Any) -> BeforeValidator:
    """May be omitted, but not cleared."""
    return BeforeValidator(not_null, json_schema_input_type=kind)


class UpdateAgent(WireModel):
    """The body of an update: a field not in `model_fields_set` keeps its value.

    `name`, `model` and `version` cannot be null (BEHAVIOUR 0).
    """

    version: Annotated[int | None, Field(ge=1), _not_null(Annotated[int, Field(ge=1)])] = None
    name: Annotated[NameParams | None, _not_null(NameParams)] = None
    model: Annotated[ModelParams | None, _not_null(ModelParams)] = None
    description: DescriptionParams = None
    system: SystemParams = None
    tools: ToolsParams = Field(default_factory=list)
    mcp_servers: Annotated[None, not_yet("mcp_servers")] = None
    skills: Annotated[None, not_yet("skills")] = None
    multiagent: Annotated[None, not_yet("multiagent")] = None
    execution_identity: ExecutionIdentityParams = None
    metadata: MetadataPatch = Field(default_factory=dict)


class AgentList(CreatedBounds):
    """Agents, newest first."""

    limit: PageLimit = 20
    page: str | None = None
    include_archived: QueryBool = False


class VersionList(Query):
    """Versions of an agent, newest first."""

    limit: PageLimit = 20
    page: str | None = None
