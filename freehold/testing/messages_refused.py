"""Answers of the Messages API that are errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping


class Refused(Exception):
    """An answer of the API that is an error, with its status and `error.type`."""

    def __init__(
        self, status: int, type_: str, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type_
        self.message = message
        self.headers = headers or {}


def refuse(message: str) -> NoReturn:
    """Raises Refused as a request that breaks a rule is refused."""
    raise Refused(400, "invalid_request_error", message)
