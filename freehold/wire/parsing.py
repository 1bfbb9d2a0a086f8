"""Request bodies into models, and what was wrong with them in words (BEHAVIOUR 1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from freehold.errors import InvalidRequest
from freehold.wire.base import WireModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails

M = TypeVar("M", bound=WireModel)

_OBJECT = TypeAdapter(dict[str, Any], config=ConfigDict(defer_build=True))
_FAILED = "Failed to parse request body"
_MAX_PATH = 300


def parse_body(model: type[M], raw: bytes) -> M:
    """The body as `model`. An empty one is `{}`: SDKs send none where every field is optional.

    Raises InvalidRequest naming the first offending field, NotYetSupported naming the feature.
    """
    try:
        data = _OBJECT.validate_json(raw) if raw.strip() else {}
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        invalid = problem["type"] == "json_invalid"
        reason = problem["msg"] if invalid else "expected a JSON object"
        raise InvalidRequest(f"{_FAILED}: {reason}") from None
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InvalidRequest(explain(error, data)) from None


def explain(error: ValidationError, data: object) -> str:
    """The first problem in words: an unknown field if there is one, else a field's path and why."""
    problems = error.errors(include_url=False, include_input=False)
    unknown = next((p for p in problems if p["type"] == "extra_forbidden"), None)
    if unknown:
        return f'{_FAILED}: unknown field "{_path(unknown["loc"], data)}"'
    first = problems[0]
    path = _path(first["loc"], data)
    return f"{path}: {_reason(first)}" if path else _reason(first)


def _reason(problem: ErrorDetails) -> str:
    """Why, without the words of the validator. What the client sent is not repeated."""
    context = problem.get("ctx", {})
    if problem["type"] == "value_error":
        return str(context["error"])
    tag = str(context.get("discriminator", "")).strip("'")
    if problem["type"] == "union_tag_invalid":
        return f"{tag} must be one of {context['expected_tags']}"
    if problem["type"] == "union_tag_not_found":
        return f"{tag} is missing"
    if problem["type"] in ("model_type", "model_attributes_type"):
        return "Input should be an object"
    return problem["msg"]


def _path(loc: Sequence[int | str], data: object) -> str:
    """The location as the client wrote it: pydantic also lists which member of a union it tried."""
    names = []
    here: Any = data
    for n, part in enumerate(loc):
        last = n == len(loc) - 1
        if isinstance(here, dict):
            tag = part in (here.get("type"), here.get("name")) and not (last and part in here)
            if not tag and (part in here or last):
                names.append(str(part))
                here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            names.append(str(part))
            here = here[part]
    return ".".join(names)[:_MAX_PATH]
