"""Tools of an agent as answers show them: resolved, every setting concrete (BEHAVIOUR 2.1, 3)."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ModelWrapValidatorHandler, model_validator

from freehold.wire.base import Omittable, WireModel

MAX_REFERENCES = 128

ToolName = Literal["bash", "read", "write", "edit", "glob", "grep", "web_fetch", "web_search"]
TOOL_NAMES: tuple[ToolName, ...] = (
    "bash",
    "read",
    "write",
    "edit",
    "glob",
    "grep",
    "web_fetch",
    "web_search",
)


class AlwaysAllowPolicy(WireModel):
    """Every call runs."""

    type: Literal["always_allow"] = "always_allow"


class AlwaysAskPolicy(WireModel):
    """Every call waits for the client's word."""

    type: Literal["always_ask"] = "always_ask"


class AutoPolicy(WireModel):
    """The server judges every call."""

    type: Literal["auto"] = "auto"


PermissionPolicy = Annotated[
    AlwaysAllowPolicy | AlwaysAskPolicy | AutoPolicy, Field(discriminator="type")
]


class AgentToolsetDefaultConfig(WireModel):
    """What holds for every tool without an entry of its own."""

    enabled: bool
    permission_policy: PermissionPolicy


class _ToolConfig(WireModel):
    enabled: bool
    permission_policy: PermissionPolicy


class BashToolConfig(_ToolConfig):
    """`bash`."""

    type: Literal["bash"] = "bash"
    name: Literal["bash"] = "bash"


class EditToolConfig(_ToolConfig):
    """`edit`."""

    type: Literal["edit"] = "edit"
    name: Literal["edit"] = "edit"


class ReadToolConfig(_ToolConfig):
    """`read`."""

    type: Literal["read"] = "read"
    name: Literal["read"] = "read"


class WriteToolConfig(_ToolConfig):
    """`write`."""

    type: Literal["write"] = "write"
    name: Literal["write"] = "write"


class GlobToolConfig(_ToolConfig):
    """`glob`."""

    type: Literal["glob"] = "glob"
    name: Literal["glob"] = "glob"


class GrepToolConfig(_ToolConfig):
    """`grep`."""

    type: Literal["grep"] = "grep"
    name: Literal["grep"] = "grep"


class WebFetchURLSourceAll(WireModel):
    """Every URL of the source may be fetched."""

    type: Literal["all"] = "all"


class WebFetchURLSourceNone(WireModel):
    """None may."""

    type: Literal["none"] = "none"


class WebFetchURLSourceToolReference(WireModel):
    """Names a tool."""

    type: Literal["tool_reference"]
    name: str


WebFetchURLSourceTools = Annotated[
    list[WebFetchURLSourceToolReference], Field(min_length=1, max_length=MAX_REFERENCES)
]


class WebFetchURLSourceOnly(WireModel):
    """Only URLs that results of these tools showed."""

    type: Literal["only"] = "only"
    tools: WebFetchURLSourceTools


class WebFetchURLSourceExcept(WireModel):
    """All but the URLs that results of these tools showed."""

    type: Literal["except"] = "except"
    tools: WebFetchURLSourceTools


UserInputSource = Annotated[
    WebFetchURLSourceAll | WebFetchURLSourceNone, Field(discriminator="type")
]
ToolResultSource = Annotated[
    WebFetchURLSourceAll | WebFetchURLSourceNone | WebFetchURLSourceOnly | WebFetchURLSourceExcept,
    Field(discriminator="type"),
]


class WebFetchURLSources(WireModel):
    """Where a fetched URL must have been seen before; null = not set, which allows it."""

    user_input: UserInputSource | None = None
    client_tool_results: ToolResultSource | None = None
    server_tool_results: ToolResultSource | None = None


class UserLocation(WireModel):
    """Roughly where the user is."""

    type: Literal["approximate"]
    city: Omittable[str] = None
    country: Omittable[str] = None
    region: Omittable[str] = None
    timezone: Omittable[str] = None


class WebFetchToolConfig(_ToolConfig):
    """`web_fetch`."""

    type: Literal["web_fetch"] = "web_fetch"
    name: Literal["web_fetch"] = "web_fetch"
    url_sources: WebFetchURLSources | None = None
    allowed_domains: Omittable[list[str]] = None
    blocked_domains: Omittable[list[str]] = None
    max_content_tokens: Omittable[int] = None


class WebSearchToolConfig(_ToolConfig):
    """`web_search`."""

    type: Literal["web_search"] = "web_search"
    name: Literal["web_search"] = "web_search"
    allowed_domains: Omittable[list[str]] = None
    blocked_domains: Omittable[list[str]] = None
    user_location: Omittable[UserLocation] = None


AgentToolConfig = Annotated[
    BashToolConfig
    | EditToolConfig
    | ReadToolConfig
    | WriteToolConfig
    | GlobToolConfig
    | GrepToolConfig
    | WebFetchToolConfig
    | WebSearchToolConfig,
    Field(discriminator="type"),
]


class AgentToolset20260401(WireModel):
    """The built-in tools. `configs` has the entries as given; others follow `default_config`."""

    type: Literal["agent_toolset_20260401"] = "agent_toolset_20260401"
    default_config: AgentToolsetDefaultConfig
    configs: list[AgentToolConfig]

    def config_of(self, name: str) -> AgentToolsetDefaultConfig | AgentToolConfig | None:
        """What holds for a tool: its own entry or the default. None for a name not built in."""
        if name not in TOOL_NAMES:
            return None
        own = (config for config in self.configs if config.name == name)
        return next(own, self.default_config)


class MCPToolsetDefaultConfig(WireModel):
    """What holds for every tool of a server without an entry of its own."""

    enabled: bool
    permission_policy: PermissionPolicy


class MCPToolConfig(WireModel):
    """One tool of an MCP server."""

    name: str
    enabled: bool
    permission_policy: PermissionPolicy


class MCPToolset(WireModel):
    """The tools of an MCP server."""

    type: Literal["mcp_toolset"] = "mcp_toolset"
    mcp_server_name: str
    default_config: MCPToolsetDefaultConfig
    configs: list[MCPToolConfig]


class CustomToolInputSchema(WireModel):
    """A JSON Schema of an object; further keywords pass through, also when it is read back from
    the store, where unknown fields are ignored otherwise.
    """

    model_config = ConfigDict(extra="allow")

    type: Literal["object"]
    properties: Omittable[dict[str, Any]] = None
    required: Omittable[list[str]] = None

    @model_validator(mode="wrap")
    @classmethod
    def _keep_keywords(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        schema = handler(value)
        if isinstance(value, dict):
            further = {name: v for name, v in value.items() if name not in cls.model_fields}
            object.__setattr__(schema, "__pydantic_extra__", further)  # the model is frozen
        return schema


class CustomTool(WireModel):
    """A tool the client runs."""

    type: Literal["custom"] = "custom"
    name: str
    description: str
    input_schema: CustomToolInputSchema


Tool = Annotated[AgentToolset20260401 | MCPToolset | CustomTool, Field(discriminator="type")]
