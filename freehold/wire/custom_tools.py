"""Custom tools as clients define them (BEHAVIOUR 2.1)."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, WithJsonSchema

from freehold.wire.base import WireModel
from freehold.wire.tools import TOOL_NAMES, CustomTool, CustomToolInputSchema

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_PROPERTY = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_MCP_PREFIX = "mcp__"
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_TOP_LEVEL = ("oneOf", "anyOf", "allOf")
_DATA = ("const", "default", "enum", "examples")


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("must be 1 to 128 letters, digits, underscores or hyphens")
    if name in TOOL_NAMES:
        raise ValueError(f"{name} is the name of a built-in tool")
    if name.startswith(_MCP_PREFIX):
        raise ValueError(f"must not begin with {_MCP_PREFIX}")
    return name


def _check_description(description: str) -> str:
    if not description.strip():
        raise ValueError("must not be empty")
    return description


def _check_schema(schema: CustomToolInputSchema) -> CustomToolInputSchema:
    given = schema.model_dump()
    for keyword in _TOP_LEVEL:
        if keyword in given:
            raise ValueError(f"{keyword} is not supported at the top level")
    for found in _schemas(given):
        reference = next((name for name in _REFERENCES if name in found), None)
        if reference:
            raise ValueError(f"{reference} is not supported")
        properties = found.get("properties")
        names = properties if isinstance(properties, dict) else ()
        if not all(_PROPERTY.match(name) for name in names):
            raise ValueError(
                "names of properties must be 1 to 64 letters, digits, underscores, dots or hyphens"
            )
    return schema


def _schemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schema and every schema in it. Data, such as a default, is none; a property may be named
    like a keyword.
    """
    yield schema
    for keyword, value in schema.items():
        if keyword == "properties" and isinstance(value, dict):
            inner = list(value.values())
        elif keyword in _DATA:
            inner = []
        else:
            inner = value if isinstance(value, list) else [value]
        for part in inner:
            if isinstance(part, dict):
                yield from _schemas(part)


class CustomToolParams(WireModel):
    """A tool the client runs."""

    type: Literal["custom"]
    name: Annotated[
        str,
        AfterValidator(_check_name),
        WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"}),
    ]
    description: Annotated[
        str,
        AfterValidator(_check_description),
        WithJsonSchema({"type": "string", "pattern": r"\S"}),
    ]
    input_schema: Annotated[CustomToolInputSchema, AfterValidator(_check_schema)]

    def resolved(self) -> CustomTool:
        """As it is stored: nothing is left open."""
        return CustomTool(
            name=self.name, description=self.description, input_schema=self.input_schema
        )
