"""`GET /openapi.json`: the API in OpenAPI 3.1, from the models that parse and answer requests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from freehold import __version__
from freehold.wire.base import WireModel
from freehold.wire.errors import ErrorEnvelope
from freehold.wire.events import StreamEvent
from freehold.wire.lists import EventStream
from functions.api.operation import NoBody, Operation
from functions.api.routes import OPERATIONS
from functions.api.schemas import Kind, component_schemas, parameter_schemas

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

_BETA = "managed-agents-2026-04-01"


@cache
def openapi_json() -> str:
    """The document as JSON; the same text for every call of a process."""
    return json.dumps(_document(), separators=(",", ":"))


def _document() -> dict[str, Any]:
    refs, schemas = component_schemas(OPERATIONS)
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
    return [
        {"name": name, "in": "query", "schema": schema}
        for name, schema in parameter_schemas(query).items()
    ]


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
