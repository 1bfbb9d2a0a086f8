"""The base of every wire model: strict input, and a fixed answer to *null or absent*.

A field typed `X | None` is always present in an answer, as null when unset. A field annotated
`Omittable[X]` is left out when it is None. The order of fields in the SDK's types tells which is
which (one that may be absent comes after all that may not); BEHAVIOUR 0 decides the doubtful ones.

Modules of models do not postpone the evaluation of annotations: pydantic reads them.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")

MAX_ID = 255
"""Of an id as sent, which a refusal may repeat."""


def _is_none(value: object) -> bool:
    return value is None


Omittable = Annotated[T | None, Field(exclude_if=_is_none)]


class WireModel(BaseModel):
    """Immutable; refuses unknown fields and wrong types.

    Stored bytes are parsed with `extra="ignore"`: they outlive versions of this program.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        # A function on Lambda starts without building what its request does not use.
        defer_build=True,
    )


def build_models() -> None:
    """Builds every model now. Where threads share the models, none must be the first to use one:
    two that build the same at once get in each other's way.
    """
    waiting = [WireModel]
    while waiting:
        model = waiting.pop()
        model.model_rebuild()
        waiting += model.__subclasses__()
