"""An operation of the API as data, and the request it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from freehold.errors import InvalidRequest
from freehold.ports import App
from freehold.services.keys import Caller
from freehold.wire.base import WireModel
from freehold.wire.queries import Query


class NoQuery(Query):
    """The query of an operation without parameters."""


@dataclass(frozen=True, slots=True)
class Request:
    """An authenticated request; `query` has every pair as sent."""

    caller: Caller
    ids: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    body: bytes

    def refuse_body(self) -> None:
        """An empty body, or an empty object: some clients send one, some the other. Else
        InvalidRequest.
        """
        if self.body.strip() not in (b"", b"{}"):
            raise InvalidRequest("Failed to parse request body: this operation takes none.")

    def refuse_query(self) -> None:
        """For operations without parameters. Raises InvalidRequest."""
        NoQuery.from_query(self.query)


@dataclass(frozen=True, slots=True)
class Operation:
    """`path` names its ids in angle brackets. `run` gets only requests of authenticated callers."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    run: Callable[[App, Request], WireModel]
