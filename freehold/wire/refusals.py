"""Refusals of input: of a field by what stands around it, and of what this server knows and
refuses by name until it is built (docs/divergences.md).
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field

from freehold.errors import NotYetSupported


class InvalidField(ValueError):
    """Raised by a validator of a whole object for one of its fields. `field`: its path from there,
    which the refusal puts behind the object's own.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


_Nothing = Annotated[list[None], Field(max_length=0)]


def not_yet(feature: str) -> BeforeValidator:
    """For a field typed None: null and the empty list are None; anything else is refused.

    Raises NotYetSupported naming the feature.
    """

    def refuse(value: object) -> None:
        if value is not None and value != []:
            raise NotYetSupported(feature)

    return BeforeValidator(refuse, json_schema_input_type=_Nothing | None)


def not_yet_types(features: Mapping[str, str]) -> BeforeValidator:
    """For an object told apart by `type`: the types in `features` are refused by name.

    Raises NotYetSupported. Other types go on to validation.
    """

    def refuse(value: object) -> object:
        kind = value.get("type") if isinstance(value, dict) else None
        if isinstance(kind, str) and kind in features:
            raise NotYetSupported(features[kind])
        return value

    return BeforeValidator(refuse)
