"""Events as clients send them (BEHAVIOUR 5.7); `accepted` makes the event that enters the log."""

import binascii
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from freehold.errors import InvalidRequest, NotYetSupported
from freehold.ids import is_id, new_id
from freehold.wire.base import WireModel
from freehold.wire.content import (
    Base64DocumentSource,
    Base64ImageSource,
    DocumentBlock,
    FileDocumentSource,
    FileImageSource,
    ImageBlock,
    PlainTextDocumentSource,
    RedactedBlock,
    ResultContent,
    SearchResultBlock,
    TextBlock,
    UserContent,
)
from freehold.wire.events import EVENT_TYPES, Event
from freehold.wire.user_events import Rubric, SystemContentBlock

IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
DOCUMENT_TYPES = ("application/pdf",)
MAX_INITIAL_EVENTS = 50
MAX_SYSTEM_BLOCKS = 1000
MAX_OUTCOME_ITERATIONS = 20

Block = TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | RedactedBlock


def _check_block(block: Block) -> Block:
    """What the model's provider would refuse is refused here: stored, it fails every later turn."""
    if block.type == "redacted":
        raise ValueError("`redacted` blocks cannot be sent")
    if block.type == "text" and not block.text.strip():
        raise ValueError("text must not be empty")
    if isinstance(block, ImageBlock | DocumentBlock):
        _check_source(block.source)
    return block


def _check_source(source: object) -> None:
    if isinstance(source, FileImageSource | FileDocumentSource):
        raise NotYetSupported("file sources")
    if isinstance(source, Base64ImageSource):
        _check_base64(source.media_type, source.data, IMAGE_TYPES)
    elif isinstance(source, Base64DocumentSource):
        _check_base64(source.media_type, source.data, DOCUMENT_TYPES)
    elif isinstance(source, PlainTextDocumentSource):
        if not source.data.strip():
            raise ValueError("data must not be empty")
    elif not getattr(source, "url", "").startswith(("https://", "http://")):
        raise ValueError("url must begin with https:// or http://")


def _check_base64(media_type: str, data: str, known: tuple[str, ...]) -> None:
    if media_type not in known:
        raise ValueError(f"media_type must be one of {', '.join(known)}")
    try:
        decoded = binascii.a2b_base64(data, strict_mode=True)
    except (binascii.Error, ValueError):
        raise ValueError("data is not valid base64") from None
    if not decoded:
        raise ValueError("data must not be empty")


def _thread_id(value: str) -> str:
    if not is_id("sthr", value):
        raise InvalidRequest("Invalid thread ID.")
    return value


def _ignored(_: object) -> None:
    """Answers are routed by their id; a thread named beside it may even be wrong (WIRE_FACTS)."""


CheckedUserContent = Annotated[UserContent, AfterValidator(_check_block)]
CheckedResultContent = Annotated[ResultContent, AfterValidator(_check_block)]
ThreadId = Annotated[str, AfterValidator(_thread_id)]
EventId = Annotated[str, Field(min_length=1)]
Routed = Annotated[None, BeforeValidator(_ignored)]


class _Params(WireModel):
    type: str

    def accepted(self) -> Event:
        """The event as it enters the log: a new id, not processed yet."""
        kind = EVENT_TYPES[self.type]
        given: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields}
        event: Event = kind(id=new_id("sevt"), **given)
        return event


class _NotYetParams(_Params):
    @model_validator(mode="after")
    def _refuse(self) -> Self:
        raise NotYetSupported(self.type)


class UserMessageEventParams(_Params):
    """Starts or continues work."""

    type: Literal["user.message"]
    content: list[CheckedUserContent] = Field(min_length=1)


class UserInterruptEventParams(_Params):
    """Stops one thread, or every thread. Raises InvalidRequest for a malformed thread id."""

    type: Literal["user.interrupt"]
    session_thread_id: ThreadId | None = None


class UserToolConfirmationEventParams(_Params):
    """Answers a tool use that asks."""

    type: Literal["user.tool_confirmation"]
    tool_use_id: EventId
    result: Literal["allow", "deny"]
    deny_message: str | None = None
    session_thread_id: Routed = None

    @field_validator("deny_message")
    @classmethod
    def _empty_is_none(cls, message: str | None) -> str | None:
        return message or None

    @model_validator(mode="after")
    def _message_needs_a_denial(self) -> Self:
        if self.deny_message is not None and self.result != "deny":
            raise ValueError('deny_message is only allowed when result is "deny"')
        return self


class UserCustomToolResultEventParams(_NotYetParams):
    """The result of a custom tool."""

    type: Literal["user.custom_tool_result"]
    custom_tool_use_id: EventId
    content: list[CheckedResultContent] | None = None
    is_error: bool | None = None
    session_thread_id: Routed = None


class UserToolResultEventParams(_NotYetParams):
    """The result of a built-in tool, from a worker."""

    type: Literal["user.tool_result"]
    tool_use_id: EventId
    content: list[CheckedResultContent] | None = None
    is_error: bool | None = None
    session_thread_id: Routed = None


class UserDefineOutcomeEventParams(_NotYetParams):
    """Asks for an outcome."""

    type: Literal["user.define_outcome"]
    description: str = Field(min_length=1)
    rubric: Rubric
    max_iterations: int | None = Field(default=None, ge=1, le=MAX_OUTCOME_ITERATIONS)


class SystemMessageEventParams(_NotYetParams):
    """An operator's message."""

    type: Literal["system.message"]
    content: list[SystemContentBlock] = Field(min_length=1, max_length=MAX_SYSTEM_BLOCKS)


EventParams = Annotated[
    UserMessageEventParams
    | UserInterruptEventParams
    | UserToolConfirmationEventParams
    | UserCustomToolResultEventParams
    | UserToolResultEventParams
    | UserDefineOutcomeEventParams
    | SystemMessageEventParams,
    Field(discriminator="type"),
]
InitialEventParams = Annotated[
    UserMessageEventParams | UserDefineOutcomeEventParams, Field(discriminator="type")
]


class SendEvents(WireModel):
    """The body of a send. Accepted whole or refused whole."""

    events: list[EventParams] = Field(min_length=1)
