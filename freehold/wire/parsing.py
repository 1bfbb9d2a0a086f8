"""Request bodies into models, and what was wrong with them in words (BEHAVIOUR 1.3)."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from freehold.errors import InvalidRequest
from freehold.wire.base import WireModel
from freehold.wire.refusals import InvalidField

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic_core import ErrorDetails

M = TypeVar("M", bound=WireModel)

_OBJECT = TypeAdapter(dict[str, Any], config=ConfigDict(defer_build=True))
_FAILED = "Failed to parse request body"
_MAX_PATH = 300
_MAX_NUMBER = 20
MAX_DEPTH = 100
"""What is stored is parsed again inside of something larger; the parser's own limit is 200."""
MAX_VALUES = 100_000


def parse_body(model: type[M], raw: bytes) -> M:
    """The body as `model`. An empty one is `{}`: SDKs send none where every field is optional.

    Raises InvalidRequest naming the first offending field, NotYetSupported naming the feature.
    """
    data = parse_object(raw) if raw.strip() else {}
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InvalidRequest(explain(error, data)) from None


def parse_object(raw: bytes) -> dict[str, Any]:
    """A JSON object that says one thing to every reader: UTF-8, no field twice, finite numbers, at
    most `MAX_DEPTH` levels and `MAX_VALUES` values. Raises InvalidRequest.
    """
    try:
        _OBJECT.validate_json(raw)
        found: dict[str, Any] = json.loads(
            raw.decode(), object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite
        )
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        invalid = problem["type"] == "json_invalid"
        reason = problem["msg"] if invalid else "expected a JSON object"
        raise InvalidRequest(f"{_FAILED}: {reason}") from None
    _check_shape(found)
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidRequest(f'{_FAILED}: field "{name[:_MAX_PATH]}" is given twice')
        found[name] = value
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InvalidRequest(f"{_FAILED}: {text[:_MAX_NUMBER]} is not a number of JSON's range")
    return number


def _check_shape(data: object) -> None:
    """What is wrong is said of each value, and costs as much, before the first of it is shown."""
    level, count = [data], 0
    for _ in range(MAX_DEPTH):
        count += sum(len(part) for part in level if isinstance(part, dict | list))
        if count > MAX_VALUES:
            raise InvalidRequest(f"{_FAILED}: it has more than {MAX_VALUES} values")
        inner = [part for value in level for part in _parts(value)]
        level = [part for part in inner if isinstance(part, dict | list)]
        if not level:
            return
    raise InvalidRequest(f"{_FAILED}: it is nested in more than {MAX_DEPTH} levels")


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def explain(error: ValidationError, data: object) -> str:
    """The first problem in words: an unknown field if there is one, else a field's path and why."""
    problems = error.errors(include_url=False, include_input=False)
    unknown = next((p for p in problems if p["type"] == "extra_forbidden"), None)
    if unknown:
        return f'{_FAILED}: unknown field "{_path(unknown["loc"], data)}"'
    first = problems[0]
    path = _path(first["loc"], data, is_missing=first["type"] == "missing")
    wrong = first.get("ctx", {}).get("error")
    path = ".".join(filter(None, (path, wrong.field if isinstance(wrong, InvalidField) else "")))
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


def _path(loc: Sequence[int | str], data: object, *, is_missing: bool = False) -> str:
    """The location as the client wrote it. `is_missing`: its last part is a field that is not
    there.
    """
    return ".".join(_walk(tuple(loc), data, is_missing=is_missing)[1])[:_MAX_PATH]


def _walk(
    loc: tuple[int | str, ...], here: Any, *, is_missing: bool
) -> tuple[int, tuple[str, ...]]:
    """How many parts lead nowhere, and those that lead through the data; as few of the former as
    can be. Pydantic lists the member of a union that it tried among them, by its tag, and a field
    may have a tag's name.
    """
    if not loc:
        return 0, ()
    part, rest = loc[0], loc[1:]
    is_absent = is_missing and not rest
    if isinstance(here, dict):
        is_tag = not is_absent and part in (here.get("type"), here.get("name"))
        missed, names = _walk(rest, here, is_missing=is_missing)
        around = (missed + (not is_tag), names)
        if part not in here and not is_absent:
            return around
        inner = here.get(part)
    elif isinstance(here, list) and isinstance(part, int) and part < len(here):
        around, inner = (len(loc), ()), here[part]
    else:
        return len(loc), ()
    missed, names = _walk(rest, inner, is_missing=is_missing)
    return min((missed, (str(part), *names)), around, key=lambda found: found[0])
