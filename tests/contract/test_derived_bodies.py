"""The program that derives broken bodies can fail: it reaches every place, its judge sees a fault,
and a server that is lenient anywhere is caught.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx2
import pytest
from pydantic import ConfigDict, Field

from freehold.errors import InvalidRequest
from freehold.keys import Key
from freehold.ports import App, Write
from freehold.services import agents, environments
from freehold.testing.lambda_transport import LambdaTransport
from freehold.wire.agents import Agent, CreateAgent
from freehold.wire.base import WireModel
from freehold.wire.environments import CreateEnvironment, Environment
from freehold.wire.parsing import parse_body
from functions.api import resolver
from functions.api.handler import make_handler
from functions.api.operation import NoQuery, Operation, Request
from tests.contract.derived_bodies import Broken, Deriver
from tests.contract.derived_queries import broken_queries
from tests.contract.fuzz_target import BODIES, DEFINED, complaint, open_target
from tests.contract.json_schema import COMPONENTS, inner_schemas, misfits

PLAIN = {
    "type": "object",
    "title": "Plain",
    "additionalProperties": False,
    "required": ["kind", "names"],
    "properties": {
        "kind": {"type": "string", "enum": ["red", "blue"]},
        "names": {
            "type": "array",
            "items": {"type": "string", "maxLength": 3},
            "minItems": 1,
            "maxItems": 2,
        },
        "size": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
        "bag": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 1},
    },
}


# ---------------------------------------------------------------- what is derived
def places(schema, defined=DEFINED):
    found = Deriver(defined).broken(schema)
    return {(".".join("#" if isinstance(p, int) else p for p in b.path), b.fault) for b in found}


def test_every_place_is_broken_in_every_way_it_can_be():
    assert places(PLAIN, {}) == {
        ("", "type"),
        ("kind", "missing"),
        ("names", "missing"),
        ("unknown_field", "unknown"),
        ("kind", "type"),
        ("kind", "constant"),
        ("names", "type"),
        ("names", "too many"),
        ("names.#", "type"),
        ("names.#", "too long"),
        ("size", "type"),
        ("size", "too small"),
        ("bag", "type"),
        ("bag", "too many"),
        ("bag.key", "type"),
    }


@pytest.mark.parametrize("name", BODIES)
def test_every_property_of_every_model_in_a_body_is_broken(name):
    """By the names alone: each property that can be met on the way down is met."""
    broken = {path.rpartition(".")[2] for path, _ in places(BODIES[name])}
    met, waiting = set(), [BODIES[name]]
    while waiting:
        schema = waiting.pop()
        if "$ref" in schema and schema["$ref"] not in met:
            met.add(schema["$ref"])
            waiting.append(DEFINED[schema["$ref"].removeprefix(COMPONENTS)])
        known = schema.get("properties", {}).items()
        assert {n for n, inner in known if not set(inner) <= {"default"}} <= broken
        waiting += [inner for inner, _ in inner_schemas(schema)]
    assert met


def test_one_fault_stands_alone_and_the_same_seed_makes_the_same_bodies():
    derived = [*Deriver({}).broken(PLAIN)]
    assert derived == [*Deriver({}).broken(PLAIN)]
    assert derived != [*Deriver({}, seed=1).broken(PLAIN)]
    assert all(len(misfits(b.value, PLAIN, {})) == 1 for b in derived if b.path)
    assert not [value for value in Deriver({}).fitting(PLAIN) if misfits(value, PLAIN, {})]


def test_a_refusal_must_say_the_whole_place():
    fault = Broken({}, "type", ("tools", 1, "name"))
    assert fault.is_named_by("tools.1.name: Input should be a valid string")
    for message in ("tools.0.name: wrong", "name: wrong", "tools: wrong", "Bad request", ""):
        assert not fault.is_named_by(message)
    tag = Broken({}, "no tag", ("tools", 1, "type"), at_tag=True)
    assert tag.is_named_by("tools.1: type is missing")
    assert not tag.is_named_by("tools.0: type is missing")
    later = Broken({}, "type", ("model", "inference_geo"))
    assert later.is_named_by("`model.inference_geo` is not supported by this server yet.")
    assert not later.is_named_by("`skills` is not supported by this server yet.")


def test_every_parameter_of_a_query_is_broken():
    parameters = [
        {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1}},
        {
            "name": "types[]",
            "in": "query",
            "schema": {"type": "array", "items": {"type": "string", "enum": ["a"]}, "maxItems": 1},
        },
        {"name": "x", "in": "header", "schema": {}},
    ]
    found = {broken.name for broken in broken_queries(parameters)}
    assert {"limit", "types[]", "types", "types[0]", "colour"} <= found
    assert "x" not in found


# ---------------------------------------------------------------- planted servers
class IgnoresTheUnknown(CreateEnvironment):
    """Wrong: what it does not know it drops."""

    model_config = ConfigDict(extra="ignore")


class HasNoBound(CreateEnvironment):
    """Wrong: a name of any length."""

    name: str = Field(min_length=1)


class TakesAnyConfig(CreateEnvironment):
    """Wrong: below `config` everything goes."""

    config: Any = None


class TakesAnyTool(CreateAgent):
    """Wrong: what is no tool is dropped, as is what it lacks."""

    tools: list[Any] = Field(default_factory=list)


class Anything(WireModel):
    """Wrong: all of it is left to the operation."""

    model_config = ConfigDict(extra="allow")


def create(app: App, caller, body) -> Environment:
    shown = CreateEnvironment(name=str(body.name)[:200])
    return environments.create_environment(app, caller, shown)


def ignores_the_unknown(app: App, request: Request[NoQuery, IgnoresTheUnknown]) -> Environment:
    return create(app, request.caller, request.body)


def has_no_bound(app: App, request: Request[NoQuery, HasNoBound]) -> Environment:
    return create(app, request.caller, request.body)


def takes_any_config(app: App, request: Request[NoQuery, TakesAnyConfig]) -> Environment:
    return create(app, request.caller, request.body)


def takes_any_tool(app: App, request: Request[NoQuery, TakesAnyTool]) -> Agent:
    plain = CreateAgent(name="a", model=request.body.model)
    return agents.create_agent(app, request.caller, plain)


def stores_first(app: App, request: Request[NoQuery, Anything]) -> Environment:
    app.records.write([Write(Key("planted", "x"), add={"n": 1})])
    return parse_body(CreateEnvironment, request.body.model_dump_json().encode())


def crashes(app: App, request: Request[NoQuery, Anything]) -> Environment:
    raise KeyError("name")


def names_nothing(app: App, request: Request[NoQuery, Anything]) -> Environment:
    raise InvalidRequest("Bad request.")


@pytest.mark.parametrize(
    ("path", "planted", "faults"),
    [
        ("/v1/environments", ignores_the_unknown, {"unknown"}),
        ("/v1/environments", has_no_bound, {"too long"}),
        ("/v1/environments", takes_any_config, {"type", "unknown", "wrong tag", "missing"}),
        ("/v1/agents", takes_any_tool, {"type", "unknown", "wrong tag", "missing", "pattern"}),
        ("/v1/environments", stores_first, {"missing", "unknown", "too long"}),
        ("/v1/environments", crashes, {"missing", "unknown", "too long"}),
        ("/v1/environments", names_nothing, {"missing", "unknown", "too long"}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_lenient_server_is_caught(tmp_path, monkeypatch, path, planted, faults):
    name, caught = f"POST {path}", set()
    with open_target(tmp_path) as target:
        monkeypatch.setattr(resolver, "OPERATIONS", (Operation("POST", path, planted),))
        transport = LambdaTransport(make_handler(target.server.app))
        with httpx2.Client(transport=transport) as http:
            served = replace(target, server=replace(target.server, http=http))
            for broken in target.deriver().broken(BODIES[name]):
                if broken.fault in faults - caught:
                    wrong = complaint(served, name, broken, served.digest())
                    caught |= {broken.fault} if wrong else set()
    assert caught == faults
