"""What an agent is made of; its versions and its snapshots in sessions share it (BEHAVIOUR 2)."""

from typing import Annotated, Literal

from pydantic import Field

from freehold.wire.base import Omittable, WireModel
from freehold.wire.tools import Tool

EffortLevel = Literal["low", "medium", "high", "xhigh", "max"]
Speed = Literal["standard", "fast"]


class Effort(WireModel):
    """How hard the model works on a request."""

    type: EffortLevel


class ModelConfig(WireModel):
    """The model. `effort` is null where it knows none; `inference_geo` absent unless pinned."""

    id: str
    effort: Effort | None
    speed: Speed | None
    inference_geo: Omittable[str] = None


class MCPServerURLDefinition(WireModel):
    """An MCP server."""

    type: Literal["url"] = "url"
    name: str
    url: str


class AnthropicSkill(WireModel):
    """A skill Anthropic publishes."""

    type: Literal["anthropic"] = "anthropic"
    skill_id: str
    version: str


class CustomSkill(WireModel):
    """A skill of the workspace."""

    type: Literal["custom"] = "custom"
    skill_id: str
    version: str


Skill = Annotated[AnthropicSkill | CustomSkill, Field(discriminator="type")]


class ServiceAccountExecutionIdentity(WireModel):
    """The server's own identity."""

    type: Literal["service_account"]


class AWSRoleExecutionIdentity(WireModel):
    """A role in the customer's account."""

    type: Literal["aws_role"] = "aws_role"
    role_arn: str


ExecutionIdentity = Annotated[
    AWSRoleExecutionIdentity | ServiceAccountExecutionIdentity, Field(discriminator="type")
]


class AgentDefinition(WireModel):
    """What an agent is, without when it was and who may delegate: the part its snapshots share."""

    name: str
    description: str | None
    model: ModelConfig
    system: str | None
    tools: list[Tool]
    mcp_servers: list[MCPServerURLDefinition]
    skills: list[Skill]
    execution_identity: ExecutionIdentity
