"""The shape of a Messages API request: which fields there are, and their types. Others are refused.

The models cover what a server of agents sends: client tools, text, images, documents, thinking.
Server tools and containers are not among them.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue


def _as_blocks(content: object) -> object:
    """A string is one text block, and an empty one is none."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content


_Blocks = BeforeValidator(_as_blocks)


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class CacheControl(_Shape):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] = "5m"


class _Cacheable(_Shape):
    cache_control: CacheControl | None = None


class Citations(_Shape):
    enabled: bool = False


class Text(_Cacheable):
    type: Literal["text"]
    text: str
    citations: list[dict[str, JsonValue]] | None = None


class Base64Source(_Shape):
    type: Literal["base64"]
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp", "application/pdf"]
    data: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]+={0,2}$")]


class UrlSource(_Shape):
    type: Literal["url"]
    url: Annotated[str, Field(pattern=r"^https?://")]


class TextSource(_Shape):
    type: Literal["text"]
    media_type: Literal["text/plain"]
    data: str


class ContentSource(_Shape):
    type: Literal["content"]
    content: str | list[dict[str, JsonValue]]


class FileSource(_Shape):
    type: Literal["file"]
    file_id: str


class Image(_Cacheable):
    type: Literal["image"]
    source: Annotated[Base64Source | UrlSource | FileSource, Field(discriminator="type")]


class Document(_Cacheable):
    type: Literal["document"]
    source: Annotated[
        Base64Source | UrlSource | TextSource | ContentSource | FileSource,
        Field(discriminator="type"),
    ]
    title: str | None = None
    context: str | None = None
    citations: Citations | None = None


class SearchResult(_Cacheable):
    type: Literal["search_result"]
    source: str
    title: str
    content: list[Text]
    citations: Citations | None = None


class Thinking(_Shape):
    type: Literal["thinking"]
    thinking: str
    signature: str


class RedactedThinking(_Shape):
    type: Literal["redacted_thinking"]
    data: str


class ToolUse(_Cacheable):
    type: Literal["tool_use"]
    id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$")]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    input: dict[str, JsonValue]


ResultBlock = Annotated[Text | Image | Document | SearchResult, Field(discriminator="type")]


class ToolResult(_Cacheable):
    type: Literal["tool_result"]
    tool_use_id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$")]
    content: Annotated[list[ResultBlock], _Blocks] = []
    is_error: bool = False


Block = Annotated[
    Text | Image | Document | SearchResult | Thinking | RedactedThinking | ToolUse | ToolResult,
    Field(discriminator="type"),
]


class Message(_Shape):
    role: Literal["user", "assistant", "system"]
    content: Annotated[list[Block], _Blocks]


class InputSchema(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    type: Literal["object"]
    properties: dict[str, JsonValue] | None = None
    required: list[str] | None = None


class Tool(_Cacheable):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
    input_schema: InputSchema
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool | None = None
    eager_input_streaming: bool | None = None


class BlockBinding(_Shape):
    prefix_mismatch_behavior: Literal["error", "drop_block"] | None = None


class Adaptive(_Shape):
    type: Literal["adaptive"]
    block_binding: BlockBinding | None = None
    display: Literal["summarized", "omitted"] | None = None


class Enabled(_Shape):
    type: Literal["enabled"]
    budget_tokens: Annotated[int, Field(ge=1024)]
    display: Literal["summarized", "omitted"] | None = None


class Disabled(_Shape):
    type: Literal["disabled"]


class BetweenTools(_Shape):
    type: Literal["between_tools"]


class OutputConfig(_Shape):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None


class ToolChoice(_Shape):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Metadata(_Shape):
    user_id: str | None = None


class MessagesBody(_Shape):
    """The body of `POST /v1/messages`."""

    model: Annotated[str, Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=0)]
    messages: list[Message]
    system: Annotated[list[Text], _Blocks] = []
    tools: list[Tool] = []
    tool_choice: ToolChoice | None = None
    thinking: Annotated[
        Adaptive | Enabled | Disabled | BetweenTools | None, Field(discriminator="type")
    ] = None
    output_config: OutputConfig | None = None
    stream: bool = False
    stop_sequences: list[str] = []
    metadata: Metadata | None = None
    speed: Literal["standard", "fast"] | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
