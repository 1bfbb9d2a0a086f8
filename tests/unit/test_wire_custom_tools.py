"""Custom tools as clients define them, and what holds between the tools of an agent (BEHAVIOUR 2.1,
3.5).
"""

from __future__ import annotations

import json

import pytest

from freehold.errors import InvalidRequest
from freehold.services import agents
from freehold.wire.agents import CreateAgent, UpdateAgent
from freehold.wire.parsing import parse_body
from freehold.wire.tools import TOOL_NAMES
from tests.unit.apps import CALLER, app_on, memory_records

TOOLSET = {"type": "agent_toolset_20260401"}


def tool(name="lookup", description="Looks up.", **schema):
    given = {"type": "object", **schema}
    return {"type": "custom", "name": name, "description": description, "input_schema": given}


def parse(*tools):
    body = {"name": "A", "model": "m", "tools": list(tools)}
    return parse_body(CreateAgent, json.dumps(body).encode())


def refusal(*tools):
    with pytest.raises(InvalidRequest) as refused:
        parse(*tools)
    return refused.value.message


def fetching(source):
    sources = {"client_tool_results": source}
    return {**TOOLSET, "configs": [{"name": "web_fetch", "url_sources": sources}]}


# ---------------------------------------------------------------- one tool
@pytest.mark.parametrize("name", ["a", "A-b_9", "x" * 128, "mcp_mine"])
def test_a_name_of_letters_digits_and_two_signs_is_taken(name):
    assert parse(tool(name)).tools[0].resolved().name == name


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 129, "a.b", "a\n"])
def test_any_other_name_is_refused(name):
    assert refusal(tool(name)).startswith("tools.0.name: must be 1 to 128")


@pytest.mark.parametrize("name", TOOL_NAMES)
def test_a_built_in_name_is_refused(name):
    assert refusal(tool(name)) == f"tools.0.name: {name} is the name of a built-in tool"


def test_a_name_that_looks_like_a_servers_tool_is_refused():
    assert refusal(tool("mcp__mine")) == "tools.0.name: must not begin with mcp__"


def test_a_description_has_words():
    for description in ("", "  \n"):
        assert refusal(tool(description=description)) == "tools.0.description: must not be empty"


def test_an_unknown_field_of_a_tool_is_refused_and_one_of_a_schema_is_a_keyword():
    assert 'unknown field "tools.0.strict"' in refusal({**tool(), "strict": True})
    schema = {"additionalProperties": False, "$comment": "c", "minProperties": 1}
    assert parse(tool(**schema)).tools[0].resolved().model_dump()["input_schema"] == {
        "type": "object",
        **schema,
    }


def test_a_schema_is_that_of_an_object():
    assert "input_schema.type" in refusal(tool(type="string"))
    assert "input_schema.properties" in refusal(tool(properties=[]))
    assert "input_schema.required" in refusal(tool(required="q"))
    shown = parse(tool(properties=None, required=None)).tools[0].resolved().model_dump()
    assert shown["input_schema"] == {"type": "object"}


@pytest.mark.parametrize("keyword", ["oneOf", "anyOf", "allOf"])
def test_a_choice_is_refused_at_the_top_only(keyword):
    said = refusal(tool(**{keyword: [{"type": "object"}]}))
    assert said == f"tools.0.input_schema: {keyword} is not supported at the top level"
    parse(tool(properties={"q": {keyword: [{"type": "string"}, {"type": "null"}]}}))


@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef", "$recursiveRef"])
@pytest.mark.parametrize(
    "place",
    [
        lambda ref: ref,
        lambda ref: {"properties": {"q": ref}},
        lambda ref: {"properties": {"q": {"type": "array", "items": ref}}},
        lambda ref: {"properties": {"q": {"anyOf": [{"type": "null"}, ref]}}},
        lambda ref: {"$defs": {"d": ref}},
        lambda ref: {"properties": {"properties": {"properties": {"enum": ref}}}},
    ],
)
def test_a_reference_is_refused_in_every_schema(keyword, place):
    said = refusal(tool(**place({keyword: "#/$defs/d"})))
    assert said == f"tools.0.input_schema: {keyword} is not supported"


def test_what_only_looks_like_a_keyword_is_data():
    data = {"$ref": "#", "properties": {"a b": 1}}
    parse(tool(properties={"q": {"default": data, "enum": [data], "const": data}}))


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 65, "$id"])
def test_a_property_has_a_plain_name_however_deep(name):
    told = "names of properties must be"
    assert told in refusal(tool(properties={name: {}}))
    assert told in refusal(tool(properties={"q": {"items": {"properties": {name: {}}}}}))
    parse(tool(properties={"a.b-c_D9": {}, "x" * 64: {}}))


# ---------------------------------------------------------------- between tools
def test_a_name_is_given_once():
    assert refusal(tool("a"), tool("b"), tool("a")) == "tools: more than one custom tool is named a"


def test_the_tools_that_an_agent_is_offered_are_counted():
    parse(TOOLSET, *(tool(f"t{n}") for n in range(248)))
    said = refusal(TOOLSET, *(tool(f"t{n}") for n in range(249)))
    assert said == "tools: at most 256 tools are allowed across all toolsets"
    off = {**TOOLSET, "default_config": {"enabled": False}, "configs": [{"name": "bash"}]}
    parse(off, *(tool(f"t{n}") for n in range(255)))


@pytest.mark.parametrize("kind", ["only", "except"])
def test_a_source_names_custom_tools_of_the_same_agent(kind):
    source = {"type": kind, "tools": [{"type": "tool_reference", "name": "lookup"}]}
    parse(fetching(source), tool())
    parse(tool(), fetching(source))
    said = "tools: client_tool_results: lookup is not a custom tool here"
    assert refusal(fetching(source)) == said
    assert refusal(fetching(source), tool("other")) == said


# ---------------------------------------------------------------- stored
def test_every_keyword_of_a_schema_comes_back_from_the_store(tmp_path):
    records = memory_records()
    app = app_on(records, tmp_path)
    given = tool(properties={"q": {"type": "string"}}, additionalProperties=False, title="T")
    made = agents.create_agent(app, CALLER, parse(given))
    read = agents.retrieve_agent(app, CALLER, made.id)
    assert read.tools[0].model_dump() == given
    same = UpdateAgent.model_validate({"tools": [given]})
    assert agents.update_agent(app, CALLER, made.id, same).version == 1
    records.close()
