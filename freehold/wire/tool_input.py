"""Tools as clients configure them, and the resolved form they are stored in (BEHAVIOUR 3)."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from freehold.wire.base import WireModel
from freehold.wire.custom_tools import CustomToolParams
from freehold.wire.refusals import InvalidField, not_yet_types
from freehold.wire.tools import (
    TOOL_NAMES,
    AgentToolset20260401,
    PermissionPolicy,
    ToolResultSource,
    UserInputSource,
    UserLocation,
    WebFetchURLSourceExcept,
    WebFetchURLSourceNone,
    WebFetchURLSourceOnly,
)
from freehold.wire.web_settings import Domains, check_country, check_domain_lists, check_timezone

MAX_TOOLS = 256
_WEB_TOOLS = ("web_search", "web_fetch")


PolicyParams = Annotated[PermissionPolicy, not_yet_types({"auto": "permission_policy: auto"})]


class AgentToolsetDefaultConfigParams(WireModel):
    """What holds for tools without an entry: enabled and always allowed, unless said otherwise."""

    enabled: bool | None = None
    permission_policy: PolicyParams | None = None


class _ToolParams(AgentToolsetDefaultConfigParams):
    name: str
    type: str | None = None

    def settings(self) -> dict[str, Any]:
        """What only this tool has, as its answer shows it."""
        return {}


class BashToolConfigParams(_ToolParams):
    """`bash`."""

    name: Literal["bash"]
    type: Literal["bash"] | None = None


class EditToolConfigParams(_ToolParams):
    """`edit`."""

    name: Literal["edit"]
    type: Literal["edit"] | None = None


class ReadToolConfigParams(_ToolParams):
    """`read`."""

    name: Literal["read"]
    type: Literal["read"] | None = None


class WriteToolConfigParams(_ToolParams):
    """`write`."""

    name: Literal["write"]
    type: Literal["write"] | None = None


class GlobToolConfigParams(_ToolParams):
    """`glob`."""

    name: Literal["glob"]
    type: Literal["glob"] | None = None


class GrepToolConfigParams(_ToolParams):
    """`grep`."""

    name: Literal["grep"]
    type: Literal["grep"] | None = None


def _source_object(value: object) -> object:
    """The short form of a source is its type."""
    return {"type": value} if isinstance(value, str) else value


def _short(kind: Any) -> BeforeValidator:
    return BeforeValidator(_source_object, json_schema_input_type=Literal["all", "none"] | kind)


class WebFetchURLSourcesParams(WireModel):
    """Where a URL must have been seen before it may be fetched."""

    user_input: Annotated[UserInputSource, _short(UserInputSource)] | None = None
    client_tool_results: Annotated[ToolResultSource, _short(ToolResultSource)] | None = None
    server_tool_results: Annotated[ToolResultSource, _short(ToolResultSource)] | None = None

    @field_validator("client_tool_results", "server_tool_results")
    @classmethod
    def _check_references(cls, source: ToolResultSource | None) -> ToolResultSource | None:
        if isinstance(source, WebFetchURLSourceOnly | WebFetchURLSourceExcept):
            names = [tool.name for tool in source.tools]
            if len(set(names)) < len(names):
                raise ValueError("tools must name different tools")
        return source

    @model_validator(mode="after")
    def _check(self) -> Self:
        client, server = self.client_tool_results, self.server_tool_results
        if all(isinstance(s, WebFetchURLSourceNone) for s in (self.user_input, client, server)):
            raise ValueError("not all of the sources may be none")
        if isinstance(server, WebFetchURLSourceOnly | WebFetchURLSourceExcept) and any(
            tool.name not in _WEB_TOOLS for tool in server.tools
        ):
            raise InvalidField("server_tool_results", "tools must be web_search or web_fetch")
        return self


class WebFetchToolConfigParams(_ToolParams):
    """`web_fetch`."""

    name: Literal["web_fetch"]
    type: Literal["web_fetch"] | None = None
    allowed_domains: Domains | None = None
    blocked_domains: Domains | None = None
    max_content_tokens: int | None = Field(default=None, ge=1)
    url_sources: WebFetchURLSourcesParams | None = None

    @model_validator(mode="after")
    def _check_domains(self) -> Self:
        check_domain_lists(self.allowed_domains, self.blocked_domains, paths=False)
        return self

    def settings(self) -> dict[str, Any]:
        return {
            "url_sources": self.url_sources and self.url_sources.model_dump(),
            "allowed_domains": self.allowed_domains,
            "blocked_domains": self.blocked_domains,
            "max_content_tokens": self.max_content_tokens,
        }


class WebSearchToolConfigParams(_ToolParams):
    """`web_search`."""

    name: Literal["web_search"]
    type: Literal["web_search"] | None = None
    allowed_domains: Domains | None = None
    blocked_domains: Domains | None = None
    user_location: UserLocation | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_domain_lists(self.allowed_domains, self.blocked_domains, paths=True)
        if self.user_location:
            check_country(self.user_location.country)
            check_timezone(self.user_location.timezone)
        return self

    def settings(self) -> dict[str, Any]:
        return {
            "allowed_domains": self.allowed_domains,
            "blocked_domains": self.blocked_domains,
            "user_location": self.user_location,
        }


AgentToolConfigParams = Annotated[
    BashToolConfigParams
    | EditToolConfigParams
    | ReadToolConfigParams
    | WriteToolConfigParams
    | GlobToolConfigParams
    | GrepToolConfigParams
    | WebFetchToolConfigParams
    | WebSearchToolConfigParams,
    Field(discriminator="name"),
]


def _null_is_empty(value: object) -> object:
    return [] if value is None else value


class AgentToolset20260401Params(WireModel):
    """The built-in tools, each entry overriding what `default_config` says."""

    type: Literal["agent_toolset_20260401"]
    default_config: AgentToolsetDefaultConfigParams | None = None
    configs: Annotated[
        list[AgentToolConfigParams],
        BeforeValidator(_null_is_empty, json_schema_input_type=list[AgentToolConfigParams] | None),
    ] = Field(default_factory=list)

    @field_validator("configs")
    @classmethod
    def _one_entry_a_tool(cls, configs: list[AgentToolConfigParams]) -> list[AgentToolConfigParams]:
        names = [config.name for config in configs]
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated:
            raise ValueError(f"more than one entry for {repeated}")
        return configs

    def enabled_names(self) -> list[str]:
        """The tools it gives the agent."""
        toolset = self.resolved()
        found = ((name, toolset.config_of(name)) for name in TOOL_NAMES)
        return [name for name, config in found if config and config.enabled]

    def client_tool_references(self) -> list[str]:
        """The custom tools that a web tool's settings name."""
        sources = (
            config.url_sources.client_tool_results
            for config in self.configs
            if isinstance(config, WebFetchToolConfigParams) and config.url_sources
        )
        lists = (
            source.tools
            for source in sources
            if isinstance(source, WebFetchURLSourceOnly | WebFetchURLSourceExcept)
        )
        return [tool.name for tools in lists for tool in tools]

    def resolved(self) -> AgentToolset20260401:
        """With every setting concrete: an unset one inherits (BEHAVIOUR 3.1)."""
        default = _resolve(self.default_config, True, "always_allow")
        configs = [
            {
                "type": config.name,
                "name": config.name,
                **_resolve(config, default["enabled"], default["permission_policy"]["type"]),
                **config.settings(),
            }
            for config in self.configs
        ]
        return AgentToolset20260401.model_validate({"default_config": default, "configs": configs})


def _resolve(
    config: AgentToolsetDefaultConfigParams | None, enabled: bool, policy: str
) -> dict[str, Any]:
    """An entry's settings, with what it leaves open filled in."""
    given = config or AgentToolsetDefaultConfigParams()
    return {
        "enabled": enabled if given.enabled is None else given.enabled,
        "permission_policy": {
            "type": given.permission_policy.type if given.permission_policy else policy
        },
    }


ToolParams = Annotated[
    Annotated[AgentToolset20260401Params | CustomToolParams, Field(discriminator="type")],
    not_yet_types({"mcp_toolset": "mcp_toolset"}),
]


def _check_tools(
    tools: list[AgentToolset20260401Params | CustomToolParams],
) -> list[AgentToolset20260401Params | CustomToolParams]:
    """What holds between tools: no two of one name, not too many, and what refers to another finds
    it.
    """
    toolsets = [tool for tool in tools if isinstance(tool, AgentToolset20260401Params)]
    if len(toolsets) > 1:
        raise ValueError("agent_toolset_20260401 may appear only once")
    names = [tool.name for tool in tools if isinstance(tool, CustomToolParams)]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated:
        raise ValueError(f"more than one custom tool is named {repeated}")
    offered = sum(len(toolset.enabled_names()) for toolset in toolsets)
    if len(names) + offered > MAX_TOOLS:
        raise ValueError(f"at most {MAX_TOOLS} tools are allowed across all toolsets")
    for toolset in toolsets:
        for name in toolset.client_tool_references():
            if name not in names:
                raise ValueError(f"client_tool_results: {name} is not a custom tool here")
    return tools


_Tools = Annotated[list[ToolParams], Field(max_length=MAX_TOOLS)]
ToolsParams = Annotated[
    _Tools,
    BeforeValidator(_null_is_empty, json_schema_input_type=_Tools | None),
    AfterValidator(_check_tools),
]
"""The `tools` of an agent; null = none."""
