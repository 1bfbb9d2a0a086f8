"""JSON Schema 2020-12, as far as the API's own document uses it: what is well formed, and whether a
value fits.
"""

from __future__ import annotations

import re

COMPONENTS = "#/components/schemas/"
KEYWORDS = {
    "$ref": str,
    "additionalProperties": (bool, dict),
    "anyOf": list,
    "const": object,
    "default": object,
    "description": str,
    "discriminator": dict,
    "enum": list,
    "examples": list,
    "exclusiveMaximum": (int, float),
    "exclusiveMinimum": (int, float),
    "format": str,
    "items": dict,
    "maxItems": int,
    "maxLength": int,
    "maxProperties": int,
    "maximum": (int, float),
    "minItems": int,
    "minLength": int,
    "minimum": (int, float),
    "oneOf": list,
    "pattern": str,
    "properties": dict,
    "propertyNames": dict,
    "required": list,
    "title": str,
    "type": str,
}
BOUNDS = {
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
    "exclusiveMinimum": lambda value, bound: value > bound,
    "exclusiveMaximum": lambda value, bound: value < bound,
    "minLength": lambda value, bound: len(value) >= bound,
    "maxLength": lambda value, bound: len(value) <= bound,
    # In Python alone a `$` also stands before a last line break.
    "pattern": lambda value, bound: re.search(re.sub(r"\$\Z", r"\\Z", bound), value) is not None,
    "minItems": lambda value, bound: len(value) >= bound,
    "maxItems": lambda value, bound: len(value) <= bound,
    "maxProperties": lambda value, bound: len(value) <= bound,
}
"""Of a value that is of the type."""
TYPES = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}


def malformed(schema, defined, place="schema"):
    """What of a schema breaks the rules of JSON Schema, or refers to nothing."""
    if schema is True or schema is False:
        return []
    found = [f"{place}: {name}" for name in schema if name not in KEYWORDS]
    for name, value in schema.items():
        if name in KEYWORDS and not isinstance(value, KEYWORDS[name]):
            found.append(f"{place}: {name} is a {type(value).__name__}")
    if schema.get("type", "string") not in TYPES:
        found.append(f"{place}: type {schema['type']}")
    if "$ref" in schema and schema["$ref"].removeprefix(COMPONENTS) not in defined:
        found.append(f"{place}: {schema['$ref']}")
    named = schema.get("discriminator", {}).get("mapping", {}).values()
    found += [f"{place}: {n}" for n in named if n.removeprefix(COMPONENTS) not in defined]
    if set(schema.get("required", ())) - set(schema.get("properties", ())):
        found.append(f"{place}: requires what it does not have")
    for inner, at in inner_schemas(schema):
        found += malformed(inner, defined, f"{place}.{at}")
    return found


def inner_schemas(schema):
    """The schemas directly inside one, with where."""
    for name in ("anyOf", "oneOf"):
        yield from ((inner, f"{name}[{n}]") for n, inner in enumerate(schema.get(name, ())))
    yield from ((inner, name) for name, inner in schema.get("properties", {}).items())
    for name in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(name), dict):
            yield schema[name], name


def misfits(value, schema, defined, place="$"):
    """Why a value does not fit a schema; empty where it does."""
    if "$ref" in schema:
        return misfits(value, defined[schema["$ref"].removeprefix(COMPONENTS)], defined, place)
    wrong = misfit_of_scalar(value, schema, place)
    if wrong:
        return [wrong]
    for arms in filter(None, (schema.get("anyOf"), schema.get("oneOf"))):
        tried = [misfits(value, arm, defined, place) for arm in arms]
        if all(tried):
            return min(tried, key=len)
    if isinstance(value, dict):
        return misfits_of_object(value, schema, defined, place)
    found = []
    if isinstance(value, list):
        for n, inner in enumerate(value):
            found += misfits(inner, schema.get("items", {}), defined, f"{place}[{n}]")
    return found


def misfits_of_object(value, schema, defined, place):
    """What is missing, unknown, or does not fit."""
    found = [f"{place}.{n} is missing" for n in schema.get("required", ()) if n not in value]
    extra = schema.get("additionalProperties", True)
    names = schema.get("propertyNames", {})
    for name, inner in value.items():
        found += misfits(name, names, defined, f"{place}.{name}")
        known = schema.get("properties", {}).get(name, extra)
        if known is False:
            found.append(f"{place}.{name} is unknown")
        elif known is not True:
            found += misfits(inner, known, defined, f"{place}.{name}")
    return found


def misfit_of_scalar(value, schema, place):
    """Why a value is not of a schema's type, none of its constants, or out of its bounds."""
    kind = schema.get("type")
    if kind is not None and (
        not isinstance(value, TYPES[kind])
        or (isinstance(value, bool) and kind in ("integer", "number"))
    ):
        return f"{place}: {type(value).__name__} is no {kind}"
    known = [schema["const"]] if "const" in schema else schema.get("enum")
    if known is not None and value not in known:
        return f"{place}: {value!r} is none of {known}"
    broken = (b for b in BOUNDS if b in schema and not BOUNDS[b](value, schema[b]))
    return next((f"{place}: {bound} {schema[bound]}" for bound in broken), None)
