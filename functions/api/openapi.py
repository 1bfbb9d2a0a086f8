"""`GET /openapi.json`: the API in OpenAPI 3.1, from the models that parse and answer requests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

from freehold import __version__
from freehold.wire.base import WireModel
from freehold.wire.errors import ErrorEnvelope
from freehold.wire.events import Event, SessionUpdatedEvent, StreamEvent
from freehold.wire.lists import EventPage, EventStream, SentEvents
from functions.api.operation import NoBody, Operation
from functions.api.routes import OPERATIONS

STREAMS = {
    "/v1/sessions/<session_id>/events/stream": (
        "stream_events",
        "Follow a session: server-sent events, one JSON object each.",
    ),
    "/v1/sessions/<session_id>/threads/<thread_id>/stream": (
        "stream_thread_events",
        "Follow a thread: server-sent events, one JSON object each.",
    ),
}
"""Served by `functions/stream`: operation id and summary, by path."""

_REF = "#/components/schemas/{model}"
_BETA = "managed-agents-2026-04-01"
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


@cache
def openapi_json() -> str:
    """The document as JSON; the same text for every call of a process."""
    return json.dumps(_document(), separators=(",", ":"))


def _document() -> dict[str, Any]:
    refs, schemas = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        path = paths.setdefault(_template(operation.path), {})
        path[operation.method.lower()] = _operation(operation, refs)
    for path_, (name, summary) in STREAMS.items():
        paths[_template(path_)] = {"get": _stream(path_, name, summary, refs)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Freehold",
            "version": __version__,
            "summary": "The Claude Managed Agents API, self-hosted.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
            "headers": _headers(),
            "responses": {"Refused": _refused(refs)},
        },
    }


# ---------------------------------------------------------------- schemas
Kind = tuple[Any, JsonSchemaMode]


def _schemas() -> tuple[Mapping[Kind, Any], dict[str, Any]]:
    """What each model or union is referred to by, and all that they are made of."""
    wanted: list[Kind] = [
        *((o.body, "validation") for o in OPERATIONS if o.body is not NoBody),
        *((operation.answer, "serialization") for operation in OPERATIONS),
        (ErrorEnvelope, "serialization"),
        (Event, "serialization"),
        (StreamEvent, "serialization"),
    ]
    inputs = [(kind, mode, TypeAdapter(kind)) for kind, mode in dict.fromkeys(wanted)]
    refs, definitions = TypeAdapter.json_schemas(
        inputs, ref_template=_REF, schema_generator=_Generate
    )
    schemas = _in_words(definitions["$defs"])
    named: dict[Kind, Any] = dict(refs)
    for union, name in ((Event, "Event"), (StreamEvent, "StreamEvent")):
        schemas[name] = refs[union, "serialization"]
        named[union, "serialization"] = {"$ref": _REF.format(model=name)}
    # Of what an update may change it shows only what one did.
    schemas[SessionUpdatedEvent.__name__]["required"] = ["id", "type", "processed_at"]
    for page in (EventPage, SentEvents):
        schemas[page.__name__]["properties"]["data"]["items"] = named[Event, "serialization"]
    return named, schemas


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


# ---------------------------------------------------------------- operations
def _operation(operation: Operation, refs: Mapping[Kind, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.run.__name__,
        "summary": (operation.run.__doc__ or "").strip(),
        "tags": [operation.path.split("/")[2]],
        "parameters": [
            *_path_parameters(operation.path),
            *_query_parameters(operation.query),
            *_header_parameters(is_repeatable=operation.is_repeatable),
        ],
        "responses": _responses("application/json", refs[operation.answer, "serialization"]),
    }
    if operation.body is not NoBody:
        content = {"application/json": {"schema": refs[operation.body, "validation"]}}
        required = any(field.is_required() for field in operation.body.model_fields.values())
        described["requestBody"] = {"required": required, "content": content}
    return described


def _stream(path: str, name: str, summary: str, refs: Mapping[Kind, Any]) -> dict[str, Any]:
    resume = {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "Resumes after the event of this id, without a gap.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
    }
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["sessions"],
        "parameters": [
            *_path_parameters(path),
            *_query_parameters(EventStream),
            *_header_parameters(is_repeatable=False),
            resume,
        ],
        "responses": _responses("text/event-stream", refs[StreamEvent, "serialization"]),
    }


def _responses(content_type: str, schema: Any) -> dict[str, Any]:
    answered = {
        "description": "Done.",
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in _headers()},
        "content": {content_type: {"schema": schema}},
    }
    refused = {"$ref": "#/components/responses/Refused"}
    return {"200": answered, "4XX": refused, "5XX": refused}


def _refused(refs: Mapping[Kind, Any]) -> dict[str, Any]:
    return {
        "description": "Refused, or failed. docs/errors.md lists what each error means.",
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in _headers()},
        "content": {
            "application/json": {"schema": refs[ErrorEnvelope, "serialization"]},
        },
    }


def _headers() -> dict[str, Any]:
    texts = {
        "request-id": "Names the request in the server's log.",
        "anthropic-workspace-id": "The workspace of the key; absent before it is known.",
        "x-should-retry": "Whether a repeat can help; on refusals that SDKs would repeat.",
        "retry-after": "Seconds after which a repeat can help.",
        "anthropic-ratelimit-requests-limit": "Where a limit is set: requests a minute.",
        "anthropic-ratelimit-requests-remaining": "Where a limit is set: requests left.",
        "anthropic-ratelimit-requests-reset": "Where a limit is set: when the minute is over.",
    }
    return {
        name: {"description": text, "schema": {"type": "string"}} for name, text in texts.items()
    }


# ---------------------------------------------------------------- parameters
def _template(path: str) -> str:
    return path.replace("<", "{").replace(">", "}")


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"<(\w+)>", path)
    ]


def _query_parameters(query: type[WireModel]) -> list[dict[str, Any]]:
    schema = _in_words(query.model_json_schema(ref_template=_REF, schema_generator=_Generate))
    return [
        {"name": name, "in": "query", "schema": _without_null(part)}
        for name, part in schema.get("properties", {}).items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """For what is left out rather than null."""
    arms: Sequence[Any] = [a for a in schema.get("anyOf", ()) if a != {"type": "null"}]
    rest = {n: v for n, v in schema.items() if n != "anyOf" and (n, v) != ("default", None)}
    return {**rest, **arms[0]} if len(arms) == 1 else rest | ({"anyOf": arms} if arms else {})


def _header_parameters(*, is_repeatable: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "name": "anthropic-beta",
            "in": "header",
            "required": True,
            "description": f"A list of values with `{_BETA}` among them.",
            "schema": {"type": "string", "examples": [_BETA]},
        },
        {
            "name": "anthropic-workspace-id",
            "in": "header",
            "description": "The workspace of the key; it may not be another.",
            "schema": {"type": "string"},
        },
    ]
    if is_repeatable:
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same request under the same key within 24 hours is answered "
                "with the same bytes, and does nothing.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            }
        )
    return found
