"""What happened, told once, where it happened, to whoever counts or traces. A fact names ids and
outcomes; content is in it only as the value that was at hand, and leaves with consent alone.

Nobody who is told can hold up or fail what it is about.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from freehold.ports import ModelRequest, Run, Usage
    from freehold.toolset import JsonObject, ToolCall, ToolResult

_log = logging.getLogger("freehold.facts")


@dataclass(frozen=True, slots=True)
class Period:
    """`ended` in nanoseconds since 1970; `seconds` are of a clock that only rises."""

    ended: int
    seconds: float

    @property
    def began(self) -> int:
        return self.ended - int(self.seconds * 1e9)


@dataclass(frozen=True, slots=True)
class ModelRequestEnded:
    """`outcome` is `ok`, `stopped` (from our side), or an error's type without its suffix."""

    run: Run
    agent_id: str
    request: ModelRequest
    period: Period
    outcome: str
    usage: Usage
    first_chunk_seconds: float | None = None
    stop_reason: str | None = None
    blocks: tuple[JsonObject, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCallEnded:
    """A call of a sandbox or web tool has its result. One that was left to another invocation ends
    there.
    """

    run: Run
    call: ToolCall
    period: Period
    result: ToolResult


@dataclass(frozen=True, slots=True)
class CustomToolAnswered:
    """The client has sent the result of a custom tool."""

    is_error: bool


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """A thread went from running to rest. `outcome` is the stop reason's type, or `terminated`.
    `since` is when it began running, None where nobody wrote it down.
    """

    run: Run
    outcome: str
    since: int | None
    ended: int


@dataclass(frozen=True, slots=True)
class Committed:
    """A transaction of a log: how long the write took that went through, after how many others."""

    seconds: float
    retries: int


@dataclass(frozen=True, slots=True)
class InvocationEnded:
    """A function answered. `counts` are what else its answer tells numbers of, by metric."""

    function: str
    outcome: str
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestAnswered:
    """An HTTP request has its status."""

    status: int


@dataclass(frozen=True, slots=True)
class FollowerChanged:
    """A stream or a socket was opened (`change` 1) or has ended (-1)."""

    kind: Literal["stream", "socket"]
    change: Literal[1, -1]


Fact: TypeAlias = (
    ModelRequestEnded
    | ToolCallEnded
    | CustomToolAnswered
    | TurnEnded
    | Committed
    | InvocationEnded
    | RequestAnswered
    | FollowerChanged
)
Observe: TypeAlias = Callable[[Fact], None]


def told_to(*listeners: Observe) -> Observe | None:
    """Tells each of them, whatever the others do. None where there are none: nothing is told."""

    def tell(fact: Fact) -> None:
        for listener in listeners:
            try:
                listener(fact)
            except Exception:  # noqa: BLE001 - who counts must not fail what is counted
                _log.exception("fact_lost", extra={"fact": type(fact).__name__})

    return tell if listeners else None
