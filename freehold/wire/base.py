"""The base of every wire model: strict input, and a fixed answer to *null or absent*.

A field typed `X | None` is always present in an answer, as null when unset. A field annotated `Omittable[X]` is left out
when it is None. Which is which follows the SDK's types and recorded traffic; BEHAVIOUR 0 decides the doubtful ones.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

T = TypeVar("T")


class _Omit:
    """Marks a field that is absent, not null, when it is None."""


OMIT = _Omit()
Omittable = Annotated[T | None, OMIT]


class WireModel(BaseModel):
    """Immutable; refuses unknown fields and wrong types. Parse stored bytes with `extra="ignore"` instead."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    _omitted: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls._omitted = frozenset(n for n, f in cls.model_fields.items() if OMIT in f.metadata)

    @model_serializer(mode="wrap")
    def _leave_out(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        for name in self._omitted:
            if data.get(name) is None:
                data.pop(name, None)
        return data
