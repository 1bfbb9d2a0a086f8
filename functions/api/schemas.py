"""The schemas of `GET /openapi.json`, from the wire models (JSON Schema 2020-12)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

from freehold.wire.base import WireModel
from freehold.wire.errors import ErrorEnvelope
from freehold.wire.events import Event, SessionUpdatedEvent, StreamEvent
from freehold.wire.lists import EventPage, SentEvents
from functions.api.operation import NoBody, Operation

REF = "#/components/schemas/{model}"
_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}


class _Generate(GenerateJsonSchema):
    """Answers say what is always there: everything but what is left out when it is None."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        if self.mode == "serialization":
            return "serialization_exclude_if" not in field
        return super().field_is_required(field, total)

    def field_title_should_be_set(self, _: Any) -> bool:
        return False

    def model_field_schema(self, schema: core_schema.ModelField) -> JsonSchemaValue:
        """What is left out when it is None is never null."""
        found = super().model_field_schema(schema)
        is_omitted = self.mode == "serialization" and "serialization_exclude_if" in schema
        return _without_null(found) if is_omitted else found

    def ser_schema(self, schema: Any) -> JsonSchemaValue | None:
        """A model that picks among its fields still has no others."""
        return None if schema["type"] == "function-wrap" else super().ser_schema(schema)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """An answer has values, not defaults."""
        if self.mode == "serialization":
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


Kind = tuple[Any, JsonSchemaMode]


def component_schemas(
    operations: Sequence[Operation],
) -> tuple[Mapping[Kind, Any], dict[str, Any]]:
    """What each model or union is referred to by, and all that they are made of."""
    wanted: list[Kind] = [
        *((o.body, "validation") for o in operations if o.body is not NoBody),
        *((operation.answer, "serialization") for operation in operations),
        (ErrorEnvelope, "serialization"),
        (Event, "serialization"),
        (StreamEvent, "serialization"),
    ]
    inputs = [(kind, mode, TypeAdapter(kind)) for kind, mode in dict.fromkeys(wanted)]
    refs, definitions = TypeAdapter.json_schemas(
        inputs, ref_template=REF, schema_generator=_Generate
    )
    schemas = _in_words(definitions["$defs"])
    named: dict[Kind, Any] = dict(refs)
    for union, name in ((Event, "Event"), (StreamEvent, "StreamEvent")):
        schemas[name] = refs[union, "serialization"]
        named[union, "serialization"] = {"$ref": REF.format(model=name)}
    # Of what an update may change it shows only what one did.
    schemas[SessionUpdatedEvent.__name__]["required"] = ["id", "type", "processed_at"]
    for page in (EventPage, SentEvents):
        schemas[page.__name__]["properties"]["data"]["items"] = named[Event, "serialization"]
    for tagged in _tagged_unions([*schemas.values()]):
        _require_tag(tagged, schemas)
    return named, schemas


def parameter_schemas(query: type[WireModel]) -> Mapping[str, Any]:
    """The parameters of a query string by name; none of them is ever null."""
    schema = _in_words(query.model_json_schema(ref_template=REF, schema_generator=_Generate))
    return {name: _without_null(part) for name, part in schema.get("properties", {}).items()}


def _tagged_unions(schema: Any) -> Iterator[dict[str, Any]]:
    """Every union that tells its members apart by a property, at any depth."""
    if isinstance(schema, dict) and "discriminator" in schema:
        yield schema
    if isinstance(schema, dict | list):
        for part in schema.values() if isinstance(schema, dict) else schema:
            yield from _tagged_unions(part)


def _require_tag(union: Mapping[str, Any], schemas: Mapping[str, Any]) -> None:
    """A member on its own would do without the tag, which the union never does."""
    tag = union["discriminator"]["propertyName"]
    for member in union["discriminator"]["mapping"].values():
        schema = schemas[member.removeprefix(REF.format(model=""))]
        schema["properties"][tag].pop("default", None)
        required = schema.setdefault("required", [])
        if tag not in required:
            required.append(tag)


def _in_words(schema: Any) -> Any:
    """Bounds of numbers that are parsed from text come under pydantic's names, and what a model
    raises is for its reader in Python.
    """
    if isinstance(schema, list):
        return [_in_words(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    is_number = schema.get("type") == "integer"
    found = {
        (_BOUNDS.get(name, name) if is_number else name): _in_words(part)
        for name, part in schema.items()
    }
    if isinstance(found.get("enum"), list):
        # Python keeps whichever order of an equal Literal it met first.
        found["enum"] = sorted(found["enum"])
    if isinstance(found.get("description"), str):
        found["description"] = found["description"].partition("Raises ")[0].strip()
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """For what is left out rather than null."""
    arms: Sequence[Any] = [a for a in schema.get("anyOf", ()) if a != {"type": "null"}]
    rest = {n: v for n, v in schema.items() if n != "anyOf" and (n, v) != ("default", None)}
    return {**rest, **arms[0]} if len(arms) == 1 else rest | ({"anyOf": arms} if arms else {})
