"""What the Messages API double can be told to do wrong, one fault for one request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Refuse:
    """An error instead of an answer. `retry_after` is the header's text."""

    status: int
    type: str = "api_error"
    message: str = "Internal server error"
    retry_after: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing, not even a status, until the client leaves."""


@dataclass(frozen=True, slots=True)
class Garble:
    """200, and a body that the Messages API would not send."""

    body: bytes = b"<html>It works!</html>"
    content_type: str = "text/html"


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection breaks after so many events."""

    after: int


@dataclass(frozen=True, slots=True)
class Stall:
    """No more events after so many, until the client leaves."""

    after: int


@dataclass(frozen=True, slots=True)
class Fail:
    """An `error` event after so many events, and the end."""

    after: int
    type: str = "overloaded_error"
    message: str = "Overloaded"


Fault: TypeAlias = Refuse | Silence | Garble | Cut | Stall | Fail
StreamFault: TypeAlias = Cut | Stall | Fail
