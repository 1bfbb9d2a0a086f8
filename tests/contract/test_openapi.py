"""`GET /openapi.json` is a well-formed description of what the server does."""

from __future__ import annotations

import json
import re

import anthropic
import pytest

from functions.api.openapi import STREAMS
from functions.api.routes import OPERATIONS
from functions.stream.app import stream_routes
from functions.stream.hub import Hub
from tests.contract.json_schema import malformed, misfits
from tests.contract.sdk_surface import operations
from tests.contract.test_errors import SOME_ID
from tests.servers import server_in_process, server_process

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
OPERATION = {"tags", "summary", "operationId", "parameters", "requestBody", "responses"}
PARAMETER = {"name", "in", "required", "description", "schema"}
COMPONENT = re.compile(r"[A-Za-z0-9._-]+\Z")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with server_in_process(tmp_path_factory.mktemp("openapi")) as local:
        yield local


@pytest.fixture(scope="module")
def document(server):
    answer = server.http.get(server.url + "/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["request-id"].startswith("req_")
    return answer.json()


@pytest.fixture(scope="module")
def schemas(document):
    return document["components"]["schemas"]


def described(document):
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


# ---------------------------------------------------------------- the rules of OpenAPI 3.1
def test_the_document_has_what_openapi_requires_and_nothing_unknown(document):
    assert document["openapi"] == "3.1.0"
    known = {"openapi", "info", "servers", "security", "paths", "components"}
    assert set(document) == known
    assert {"title", "version"} <= set(document["info"])
    assert set(document["info"]["license"]) == {"name", "identifier"}
    assert {"schemas", "securitySchemes", "headers", "responses"} == set(document["components"])
    for kind in document["components"].values():
        assert all(COMPONENT.match(name) for name in kind)
    for requirement in document["security"]:
        assert set(requirement) <= set(document["components"]["securitySchemes"])
    schemes = document["components"]["securitySchemes"]
    assert set(schemes["key"]) == {"type", "in", "name"}
    assert set(schemes["bearer"]) == {"type", "scheme"}


def test_every_operation_is_well_formed(document):
    names = [operation["operationId"] for _, _, operation in described(document)]
    assert len(names) == len(set(names))
    for path, method, operation in described(document):
        assert path.startswith("/")
        assert method in METHODS
        assert set(operation) <= OPERATION
        assert operation["summary"].endswith(".")
        assert "requestBody" not in operation or method in {"post", "put", "patch"}
        if "requestBody" in operation:
            assert set(operation["requestBody"]) == {"required", "content"}
            assert list(operation["requestBody"]["content"]) == ["application/json"]
        assert {"200", "4XX", "5XX"} == set(operation["responses"])


def test_every_parameter_is_well_formed(document, schemas):
    for path, _, operation in described(document):
        found = operation["parameters"]
        pairs = [(parameter["name"].lower(), parameter["in"]) for parameter in found]
        assert len(pairs) == len(set(pairs))
        in_path = {parameter["name"] for parameter in found if parameter["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))
        for parameter in found:
            assert set(parameter) <= PARAMETER
            assert parameter["in"] in {"path", "query", "header"}
            assert parameter["in"] != "path" or parameter["required"] is True
            assert malformed(parameter["schema"], schemas, parameter["name"]) == []
            # Clients write arrays as `name=a&name=b`, which is what a form that explodes is.
            is_array = parameter["schema"].get("type") == "array"
            assert is_array == parameter["name"].endswith("[]")


def test_every_schema_is_well_formed_and_refers_to_one_that_is_there(document, schemas):
    wrong = [problem for name in schemas for problem in malformed(schemas[name], schemas, name)]
    assert wrong == []
    for path, method, operation in described(document):
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for body in (*bodies, operation["responses"]["200"]):
            (content,) = body["content"].values()
            assert malformed(content["schema"], schemas, f"{method} {path}") == []


def test_every_reference_leads_somewhere(document):
    def look(part):
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                here = document
                for name in part["$ref"].removeprefix("#/").split("/"):
                    here = here[name]
            for inner in part.values():
                look(inner)
        elif isinstance(part, list):
            for inner in part:
                look(inner)

    look(document)


def test_every_schema_is_used(document, schemas):
    text = json.dumps(document)
    assert not [name for name in schemas if f'"#/components/schemas/{name}"' not in text]


# ---------------------------------------------------------------- it says what is so
def test_it_describes_every_operation_and_no_other(document, server):
    shown = {f"{method.upper()} {path}" for path, method, _ in described(document)}
    served = {f"{o.method} {o.path}" for o in OPERATIONS} | {f"GET {path}" for path in STREAMS}
    assert shown == {name.replace("<", "{").replace(">", "}") for name in served}
    routes = {route.path for route in stream_routes(Hub(server.app))}
    assert routes == {path.replace("<", "{").replace(">", "}") for path in STREAMS}
    assert shown - {"POST /v1/ws-tickets"} <= operations()


def test_it_says_what_may_be_repeated_under_a_key(document):
    marked = {
        operation["operationId"]
        for _, _, operation in described(document)
        if any(parameter["name"] == "Idempotency-Key" for parameter in operation["parameters"])
    }
    assert marked == {"create_agent", "create_environment", "create_session", "send_events"}


def test_the_query_of_the_list_of_sessions_is_described_in_full(document):
    found = {
        parameter["name"]: parameter["schema"]
        for parameter in document["paths"]["/v1/sessions"]["get"]["parameters"]
        if parameter["in"] == "query"
    }
    assert found["limit"] == {"type": "integer", "default": 20, "minimum": 1, "maximum": 100}
    assert found["order"] == {"type": "string", "enum": ["asc", "desc"], "default": "desc"}
    assert found["created_at[gt]"] == {"type": "string", "format": "date-time"}
    assert set(found["statuses[]"]["items"]["enum"]) == {
        "rescheduling",
        "running",
        "idle",
        "terminated",
    }


def schema_of(document, method, path):
    answered = document["paths"][path][method.lower()]["responses"]["200"]
    return answered["content"]["application/json"]["schema"]


def test_answers_fit_their_schemas(server, document, schemas):
    agent = server.post("/v1/agents", {"name": "A", "model": "claude-sonnet-5-5"})
    environment = server.post("/v1/environments", {"name": "e"})
    body = {"agent": agent["id"], "environment_id": environment["id"]}
    session = server.post("/v1/sessions", body)
    sent = server.say(session["id"], "hello")
    server.until_idle(session["id"])
    server.post(f"/v1/sessions/{session['id']}", {"title": "T", "metadata": {"a": "b"}})
    ids = {"agent_id": agent["id"], "environment_id": environment["id"]}
    ids["session_id"] = session["id"]
    threads = server.request("GET", f"/v1/sessions/{session['id']}/threads").json()
    ids["thread_id"] = threads["data"][0]["id"]
    assert misfits({"data": [sent]}, schemas["SentEvents"], schemas) == []
    seen = set()
    for operation in OPERATIONS:
        if operation.method == "GET":
            path = re.sub(r"<(\w+)>", lambda found: ids[found[1]], operation.path)
            answer = server.request("GET", path)
            assert answer.status_code == 200
            template = operation.path.replace("<", "{").replace(">", "}")
            assert misfits(answer.json(), schema_of(document, "GET", template), schemas) == []
            seen.add(operation.path)
    assert len(seen) == 11
    ticket = server.request("POST", "/v1/ws-tickets").json()
    assert misfits(ticket, schemas["WebSocketTicket"], schemas) == []


def test_refusals_fit_the_envelope(server, document, schemas):
    for answer in (
        server.request("GET", "/v1/agents", key="wrong"),
        server.request("POST", "/v1/agents", json={"name": "A", "model": "m", "x": 1}),
        server.request("POST", "/v1/environments", json={"name": "n", "metadata": {"": "x"}}),
        server.request("GET", f"/v1/sessions/{SOME_ID['session_id']}"),
    ):
        assert answer.status_code >= 400
        assert misfits(answer.json(), schemas["ErrorEnvelope"], schemas) == []


def test_a_value_that_does_not_fit_is_seen(schemas):
    """The judge of the tests above."""
    agent = {"type": "agent", "id": "x"}
    for body, wrong in (
        ({"agent": agent, "environment_id": "e", "colour": 1}, "colour is unknown"),
        ({"agent": agent}, "environment_id is missing"),
        ({"agent": 1, "environment_id": "e"}, "agent"),
        ({"agent": "a", "environment_id": 1}, "int is no string"),
    ):
        (problem, *_) = misfits(body, schemas["CreateSession"], schemas)
        assert wrong in problem
    short = {"agent": "agent_x", "environment_id": "env_x"}
    assert misfits(short, schemas["CreateSession"], schemas) == []
    assert malformed({"type": "text", "ge": 1, "$ref": "#/components/schemas/No"}, {})


# ---------------------------------------------------------------- where it is served
def test_it_is_served_to_anybody_by_a_process_too(tmp_path, document):
    with server_process(tmp_path, sandbox="none") as process:
        answer = process.http.get(process.url + "/openapi.json")
    assert answer.json() == document
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_the_sdk_s_own_calls_are_among_it(server, document):
    client = server.client()
    agent = client.beta.agents.create(name="A", model="claude-sonnet-5-5")
    assert isinstance(client, anthropic.Anthropic)
    schema = document["components"]["schemas"]["Agent"]
    assert (
        misfits(
            json.loads(agent.model_dump_json(exclude_unset=True)),
            schema,
            document["components"]["schemas"],
        )
        == []
    )
