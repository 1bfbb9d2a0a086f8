"""Events that clients send, as they are stored and shown (BEHAVIOUR 6.1).

`processed_at` is null while an event is queued. `session_thread_id` is absent where the event went
to the primary thread.
"""

from typing import Annotated, Literal

from pydantic import Field

from freehold.wire.base import Omittable, WireModel
from freehold.wire.content import ResultContent, UserContent


class UserMessageEvent(WireModel):
    """Starts or continues work."""

    id: str
    type: Literal["user.message"] = "user.message"
    content: list[UserContent]
    processed_at: str | None = None


class UserInterruptEvent(WireModel):
    """Stops one thread, or every thread where none is named."""

    id: str
    type: Literal["user.interrupt"] = "user.interrupt"
    session_thread_id: Omittable[str] = None
    processed_at: str | None = None


class UserToolConfirmationEvent(WireModel):
    """Answers a tool use that asks. `tool_use_id` is the id of its event."""

    id: str
    type: Literal["user.tool_confirmation"] = "user.tool_confirmation"
    tool_use_id: str
    result: Literal["allow", "deny"]
    deny_message: Omittable[str] = None
    session_thread_id: Omittable[str] = None
    processed_at: str | None = None


class UserCustomToolResultEvent(WireModel):
    """The result of a custom tool, run by the client."""

    id: str
    type: Literal["user.custom_tool_result"] = "user.custom_tool_result"
    custom_tool_use_id: str
    content: Omittable[list[ResultContent]] = None
    is_error: Omittable[bool] = None
    session_thread_id: Omittable[str] = None
    processed_at: str | None = None


class UserToolResultEvent(WireModel):
    """The result of a built-in tool, run by a worker of a self-hosted environment."""

    id: str
    type: Literal["user.tool_result"] = "user.tool_result"
    tool_use_id: str
    content: Omittable[list[ResultContent]] = None
    is_error: Omittable[bool] = None
    session_thread_id: Omittable[str] = None
    processed_at: str | None = None


class FileRubric(WireModel):
    """A rubric of the Files API."""

    type: Literal["file"] = "file"
    file_id: str


class TextRubric(WireModel):
    """A rubric in the event itself."""

    type: Literal["text"] = "text"
    content: str


Rubric = Annotated[FileRubric | TextRubric, Field(discriminator="type")]


class UserDefineOutcomeEvent(WireModel):
    """Asks for an outcome that a grader judges by the rubric. Processed on receipt."""

    id: str
    type: Literal["user.define_outcome"] = "user.define_outcome"
    outcome_id: str
    description: str
    rubric: Rubric
    max_iterations: int | None
    processed_at: str


class SystemContentBlock(WireModel):
    """Text the operator adds."""

    type: Literal["text"]
    text: str


class SystemMessageEvent(WireModel):
    """An operator's message in the middle of a conversation."""

    id: str
    type: Literal["system.message"] = "system.message"
    content: list[SystemContentBlock]
    processed_at: str | None = None


SentEvent = Annotated[
    UserMessageEvent
    | UserInterruptEvent
    | UserToolConfirmationEvent
    | UserCustomToolResultEvent
    | UserToolResultEvent
    | UserDefineOutcomeEvent
    | SystemMessageEvent,
    Field(discriminator="type"),
]
