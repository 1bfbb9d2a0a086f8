"""Every request model and query, against bodies derived from `GET /openapi.json`: what breaks the
document is a 400 that names where and stores nothing, what fits it is served.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections import Counter
from dataclasses import dataclass

import httpx2
import pytest

from freehold import bootstrap
from freehold.local.runs import LocalRuns
from freehold.settings import Settings
from freehold.testing.lambda_transport import LambdaTransport
from functions.api.handler import make_handler
from functions.api.openapi import openapi_json
from tests.contract.derived_bodies import Deriver
from tests.contract.json_schema import misfits
from tests.images import pdf, png
from tests.servers import Server

DOCUMENT = json.loads(openapi_json())
DEFINED = DOCUMENT["components"]["schemas"]
BODIES = {
    f"{method.upper()} {path}": operation["requestBody"]["content"]["application/json"]["schema"]
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if "requestBody" in operation
}
SEED = 20261121


@dataclass(frozen=True)
class Target:
    """The API over a store that nothing else writes: runs are not started."""

    server: Server
    data_dir: object
    ids: dict

    def send(self, name, body, **options):
        """`name`: method and path of an operation; `body`: a JSON value, or bytes as they are."""
        method, path = name.split(" ")
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        path = re.sub(r"{(\w+)}", lambda found: self.ids[found[1]], path)
        return self.server.request(method, path, content=content, **options)

    def digest(self):
        """Of everything that is stored: records and blobs."""
        found = hashlib.sha256()
        with sqlite3.connect(self.data_dir / "freehold.db") as database:
            for row in database.execute("SELECT pk, sk, due, value FROM items ORDER BY pk, sk"):
                found.update(repr(row).encode())
        database.close()
        blobs = self.data_dir / "blobs"
        for file in sorted(path for path in blobs.rglob("*") if path.is_file()):
            found.update(f"{file.relative_to(blobs)} {file.read_bytes()!r}".encode())
        return found.hexdigest()


def open_target(data_dir):
    settings = Settings(data_dir=data_dir, api_key="key", synchronous="NORMAL")
    app = bootstrap.local(settings, runs=LocalRuns())
    http = httpx2.Client(transport=LambdaTransport(make_handler(app)), trust_env=False)
    server = Server("http://freehold.invalid", "key", http, app=app)
    session = server.new_session()
    shown = server.request("GET", f"/v1/sessions/{session}").json()
    threads = server.request("GET", f"/v1/sessions/{session}/threads").json()
    ids = {
        "session_id": session,
        "agent_id": shown["agent"]["id"],
        "environment_id": shown["environment_id"],
        "thread_id": threads["data"][0]["id"],
    }
    return Target(server, data_dir, ids)


def close_target(target):
    target.server.http.close()
    bootstrap.close(target.server.app)


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    target = open_target(tmp_path_factory.mktemp("fuzz"))
    yield target
    close_target(target)


UNSERVED = frozenset(
    {
        "AutoPolicy-Input",
        "FileDocumentSource-Input",
        "FileImageSource-Input",
        "RedactedBlock-Input",
        "SelfHostedConfig-Input",
        "UserDefineOutcomeEventParams",
        "UserToolResultEventParams",
    }
)
"""What is described and, however well formed, refused by name."""


def deriver(target):
    """With the words that this store, or a rule beyond shape, asks for."""
    ids, packages = target.ids, ("apt", "cargo", "gem", "go", "npm", "pip")
    words = {
        ("CreateSession", "agent"): [
            ids["agent_id"],
            {"type": "agent", "id": ids["agent_id"], "version": 1},
        ],
        ("CreateSession", "environment_id"): [ids["environment_id"]],
        ("AgentParams", "id"): [ids["agent_id"]],
        ("AgentWithOverridesParams", "id"): [ids["agent_id"]],
        ("AgentParams", "version"): [1, None],
        ("AgentWithOverridesParams", "version"): [1, None],
        ("AgentWithOverridesParams", "model"): ["claude-sonnet-5-5", {"id": "m"}],
        ("UpdateAgent", "version"): [1],
        ("CreateEnvironment", "scope"): ["organization", None],
        ("UpdateEnvironment", "scope"): ["organization", None],
        ("LimitedNetworkParams", "allowed_hosts"): [[], None],
        ("LimitedNetworkParams", "allow_mcp_servers"): [False, None],
        ("LimitedNetworkParams", "allow_package_managers"): [False, None],
        **{("PackagesParams", name): [[], None] for name in packages},
        ("UpdateSession", "vault_ids"): [None],
        ("UserInterruptEventParams", "session_thread_id"): [ids["thread_id"], None],
        ("Base64ImageSource", "media_type"): ["image/png"],
        ("Base64ImageSource", "data"): [png()],
        ("Base64DocumentSource", "media_type"): ["application/pdf"],
        ("Base64DocumentSource", "data"): [pdf()],
        ("URLImageSource", "url"): ["https://example.com/a.png"],
        ("URLDocumentSource", "url"): ["http://example.com/a.pdf"],
        ("UserToolConfirmationEventParams", "result"): ["deny", "allow"],
        ("SearchResultBlock", "content"): [[{"type": "text", "text": "a passage"}]],
        ("WebFetchURLSourceToolReference", "name"): ["web_search"],
        ("WebFetchURLSourcesParams", "client_tool_results"): ["all", {"type": "none"}],
        ("UserLocation", "country"): ["NL"],
        ("UserLocation", "timezone"): ["Europe/Amsterdam"],
        # Of the two lists only one may be set.
        ("WebFetchToolConfigParams", "allowed_domains"): [None],
        ("WebFetchToolConfigParams", "blocked_domains"): [None],
        ("WebFetchToolConfigParams", "allowed_domains[]"): ["example.com"],
        ("WebFetchToolConfigParams", "blocked_domains[]"): ["example.com"],
        ("WebSearchToolConfigParams", "allowed_domains"): [None],
        ("WebSearchToolConfigParams", "blocked_domains"): [None],
        ("WebSearchToolConfigParams", "allowed_domains[]"): ["example.com/a"],
        ("WebSearchToolConfigParams", "blocked_domains[]"): ["example.com"],
    }
    return Deriver(DEFINED, words, UNSERVED, SEED)


def complaint(answer, broken):
    """What is wrong with the answer to a broken body; None where it is refused as it should be."""
    if answer.status_code != 400:
        return f"{answer.status_code}: {answer.text}"
    error = answer.json()["error"]
    if misfits(answer.json(), DEFINED["ErrorEnvelope"], DEFINED):
        return f"no envelope: {answer.text}"
    if error["type"] != "invalid_request_error":
        return f"type {error['type']}"
    if not broken.is_named_by(error["message"]):
        return f"names {broken.named!r} nowhere: {error['message']}"
    return None


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_breaks_the_document_is_refused_by_the_place_and_stores_nothing(target, name):
    before = target.digest()
    faults, complaints = Counter(), []
    for broken in deriver(target).broken(BODIES[name]):
        faults[broken.fault] += 1
        wrong = complaint(target.send(name, broken.value), broken)
        if target.digest() != before:
            wrong, before = f"{wrong}; something was stored", target.digest()
        if wrong:
            complaints.append(f"{json.dumps(broken.value)[:300]}: {wrong[:300]}")
    print(name, faults)
    print(*complaints, sep="\n")
    assert complaints == []
