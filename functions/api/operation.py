"""An operation of the API as data, and the request it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from freehold.errors import InvalidRequest
from freehold.ports import App
from freehold.services.keys import Caller
from freehold.wire.base import WireModel


@dataclass(frozen=True, slots=True)
class Request:
    """An authenticated request. `query` has every pair as sent, without the SDK's `beta`."""

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

    def only(self, *names: str) -> dict[str, str]:
        """The query as a mapping of at most these names. A parameter that is unknown or repeated is
        refused, for a half-read query can drop what made it safe (WIRE_FACTS).
        """
        found: dict[str, str] = {}
        for name, value in self.query:
            if name not in names:
                raise InvalidRequest(f"Unexpected query parameter `{name}`.")
            if name in found:
                raise InvalidRequest(f"Query parameter `{name}` is given twice.")
            found[name] = value
        return found


@dataclass(frozen=True, slots=True)
class Operation:
    """`path` names its ids in angle brackets. `run` gets only requests of authenticated callers."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    run: Callable[[App, Request], WireModel]
