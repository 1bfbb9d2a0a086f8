"""The installed SDK, read: its operations, and the shapes of its types and of ours."""

from __future__ import annotations

import ast
import inspect
import types
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

import anthropic
from pydantic import BaseModel
from typing_extensions import get_type_hints, is_typeddict

ROOT = Path(anthropic.__file__).parent / "resources"
METHODS = {
    "_get": "GET",
    "_get_api_list": "GET",
    "_post": "POST",
    "_put": "PUT",
    "_patch": "PATCH",
    "_delete": "DELETE",
}
SERVED = (
    "agents",
    "deployment_runs",
    "deployments",
    "dreams",
    "environments",
    "files",
    "memory_stores",
    "organization/webhooks",
    "sessions",
    "skills",
    "tunnels",
    "user_profiles",
    "vaults",
)
"""The families of resources this API consists of."""
ELSEWHERE = ("messages", "models", "completions", "organization", "beta", "webhooks")
"""The Messages API, the administration of an organization, and parsers without an endpoint."""


def family(module: Path) -> str:
    """The resource a module of the SDK belongs to, the same for its beta form."""
    parts = module.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "beta" and len(parts) > 1 else parts
    return "/".join(parts[:2]) if parts[:2] == ("organization", "webhooks") else parts[0]


def operations() -> set[str]:
    """`METHOD /path` of every call the SDK's synchronous resources make, of this API's families."""
    found = set()
    for module in ROOT.rglob("*.py"):
        if module.name == "__init__.py" or family(module) not in SERVED:
            continue
        for node in ast.parse(module.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("Async"):
                found |= {operation for call in ast.walk(node) for operation in _operation(call)}
    return found


def _operation(node: ast.AST) -> list[str]:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return []
    if node.func.attr not in METHODS or ast.unparse(node.func.value) != "self":
        return []
    path: Any = node.args[0]
    path = path.args[0] if isinstance(path, ast.Call) else path
    return [f"{METHODS[node.func.attr]} {path.value}"]


def bare(kind: type) -> str:
    """A type's name as this project writes it."""
    return kind.__name__.removeprefix("Beta").removeprefix("ManagedAgents")


def is_model(kind: object) -> bool:
    return inspect.isclass(kind) and issubclass(kind, BaseModel)


def members(annotation: object) -> list[object]:
    """The alternatives of a union, flat, without the wrappers that say nothing about the shape."""
    origin = get_origin(annotation)
    if origin in (Annotated, Required, NotRequired):
        return members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [inner for part in get_args(annotation) for inner in members(part)]
    return [annotation]


def shape(annotation: object) -> frozenset:
    """What JSON an annotation stands for. Models are their fields, one shape for each `type`."""
    shapes: set = set()
    for member in members(annotation):
        origin, arguments = get_origin(member), get_args(member)
        if origin is Literal:
            shapes |= {("literal", value) for value in arguments}
        elif origin in (list, dict):
            shapes.add((origin.__name__, shape(arguments[-1])))
        elif is_model(member):
            shapes |= model_shapes(member)
        elif member in (datetime, str):
            shapes.add("str")
        elif member in (object, Any):
            shapes.add("any")
        elif member is not type(None):
            shapes.add(member.__name__)
    if "str" in shapes:
        shapes -= {s for s in shapes if isinstance(s, tuple) and s[0] == "literal"}
    return frozenset(shapes)


def model_shapes(model: type[BaseModel]) -> set:
    """A model as its fields; one that stands for several `type`s as several."""
    fields = {name: shape(field.annotation) for name, field in model.model_fields.items()}
    kinds = fields.pop("type", frozenset({None}))
    rest = frozenset(fields.items())
    return {("model", kind, rest) for kind in kinds}


def models(annotation: object, found: dict[str, type[BaseModel]] | None = None) -> dict:
    """Every model reachable from an annotation, by its bare name."""
    found = {} if found is None else found
    for member in members(annotation):
        if is_model(member):
            if bare(member) not in found:
                found[bare(member)] = member
                for field in member.model_fields.values():
                    models(field.annotation, found)
        else:
            for argument in get_args(member):
                models(argument, found)
    return found


def typed_dicts(annotation: object, found: dict[str, type] | None = None) -> dict[str, type]:
    """Every TypedDict reachable from an annotation, by its bare name without Param or Params."""
    found = {} if found is None else found
    for member in members(annotation):
        if is_typeddict(member):
            name = param_name(member)
            if name not in found:
                found[name] = member
                for inner in get_type_hints(member).values():
                    typed_dicts(inner, found)
        else:
            for argument in get_args(member):
                typed_dicts(argument, found)
    return found


def param_name(kind: type) -> str:
    return bare(kind).removesuffix("Params").removesuffix("Param")


def required_keys(kind: type) -> set[str]:
    """The keys a TypedDict marks as required; its own attribute misses postponed annotations."""
    hints = get_type_hints(kind, include_extras=True)
    return {name for name, hint in hints.items() if _is_required(hint)}


def _is_required(hint: object) -> bool:
    if get_origin(hint) is Annotated:
        return _is_required(get_args(hint)[0])
    return get_origin(hint) is Required
