"""Events as clients send them (BEHAVIOUR 5.7); `accepted` makes the event that enters the log."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from freehold.errors import InvalidRequest, NotYetSupported
from freehold.ids import is_id, new_id
from freehold.wire.base import MAX_ID, WireModel
from freehold.wire.content_input import (
    CheckedResultContent,
    CheckedUserContent,
    check_media,
    check_text,
)
from freehold.wire.events import EVENT_TYPES, Event
from freehold.wire.search_results import check_search_result
from freehold.wire.user_events import Rubric, SystemContentBlock

MAX_INITIAL_EVENTS = 50
MAX_SENT_EVENTS = 500
"""As many as may wait; one by one an interrupt settles what came before it, all in one commit."""
MAX_SYSTEM_BLOCKS = 1000
MAX_OUTCOME_ITERATIONS = 20


def _thread_id(value: str) -> str:
    if not is_id("sthr", value):
        raise InvalidRequest("Invalid thread ID.")
    return value


def _ignored(_: object) -> None:
    """Answers are routed by their id; a thread named beside it may even be wrong (WIRE_FACTS)."""


ThreadId = Annotated[str, AfterValidator(_thread_id)]
EventId = Annotated[str, Field(min_length=1, max_length=MAX_ID)]
Routed = Annotated[None, BeforeValidator(_ignored, json_schema_input_type=Any)]


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
    content: Annotated[list[CheckedUserContent], AfterValidator(check_media)] = Field(min_length=1)


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


class UserCustomToolResultEventParams(_Params):
    """The result of a custom tool."""

    type: Literal["user.custom_tool_result"]
    custom_tool_use_id: EventId
    content: Annotated[
        list[Annotated[CheckedResultContent, AfterValidator(check_search_result)]] | None,
        AfterValidator(check_media),
    ] = None
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


def _check_system_block(block: SystemContentBlock) -> SystemContentBlock:
    check_text(block.text)
    return block


class SystemMessageEventParams(_Params):
    """An operator's message."""

    type: Literal["system.message"]
    content: list[Annotated[SystemContentBlock, AfterValidator(_check_system_block)]] = Field(
        min_length=1, max_length=MAX_SYSTEM_BLOCKS
    )


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


_ACCOMPANIED = ("user.message", "user.tool_result", "user.custom_tool_result")


class SendEvents(WireModel):
    """The body of a send. Accepted whole or refused whole.

    A `system.message` stands alone, or last and right behind what it accompanies: raises
    InvalidRequest (BEHAVIOUR 5.7).
    """

    events: list[EventParams] = Field(min_length=1, max_length=MAX_SENT_EVENTS)

    @model_validator(mode="after")
    def _check_system_messages(self) -> Self:
        types = [event.type for event in self.events]
        for position, kind in enumerate(types):
            if kind != "system.message" or len(types) == 1:
                continue
            last = position == len(types) - 1
            if not last or types[position - 1] not in _ACCOMPANIED:
                raise InvalidRequest(
                    f"Invalid system.message event at events[{position}]: it must be the final "
                    "event and immediately follow a `user.message`, `user.tool_result` or "
                    "`user.custom_tool_result`, or be the only event; at most one per request"
                )
        return self
