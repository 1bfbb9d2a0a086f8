"""What derived bodies are sent to: the API over a store that nothing else writes, and the words
that its rules beyond shape ask for.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

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
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}
BODIES = {
    name: operation["requestBody"]["content"]["application/json"]["schema"]
    for name, operation in OPERATIONS.items()
    if "requestBody" in operation
}
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


@dataclass(frozen=True)
class Target:
    """Nothing runs: what a session is given waits."""

    server: Server
    data_dir: Path
    ids: dict

    def send(self, name, body=None, **options):
        """`name`: method and path of an operation; `body`: a JSON value, or bytes as they are."""
        method, path = name.split(" ")
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        path = re.sub(r"{(\w+)}", lambda found: self.ids[found[1]], path)
        return self.server.request(method, path, content=content, **options)

    def digest(self):
        """Of everything that is stored: records and blobs."""
        found = hashlib.sha256()
        with closing(sqlite3.connect(self.data_dir / "freehold.db")) as database:
            for row in database.execute("SELECT pk, sk, due, value FROM items ORDER BY pk, sk"):
                found.update(repr(row).encode())
        blobs = self.data_dir / "blobs"
        for file in sorted(path for path in blobs.rglob("*") if path.is_file()):
            found.update(f"{file.relative_to(blobs)} {file.read_bytes()!r}".encode())
        return found.hexdigest()

    def deriver(self, seed=20261121):
        return Deriver(DEFINED, _words(self.ids), UNSERVED, seed)


@contextmanager
def open_target(data_dir):
    """With a session, its agent and its environment."""
    settings = Settings(data_dir=data_dir, api_key="key", synchronous="NORMAL")
    app = bootstrap.local(settings, runs=LocalRuns())
    transport = LambdaTransport(make_handler(app))
    try:
        with httpx2.Client(transport=transport, trust_env=False) as http:
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
            yield Target(server, data_dir, ids)
    finally:
        bootstrap.close(app)


def complaint(target, name, broken, before):
    """What is wrong with how a broken body is received; None where it is refused as it should be.

    `before`: the digest of what was stored.
    """
    answer = target.send(name, broken.value)
    error = answer.json().get("error", {})
    found = None
    if answer.status_code != 400:
        found = f"{answer.status_code}: {answer.text[:300]}"
    elif misfits(answer.json(), DEFINED["ErrorEnvelope"], DEFINED):
        found = f"no envelope: {answer.text[:300]}"
    elif error["type"] != "invalid_request_error":
        found = f"type {error['type']}"
    elif not broken.is_named_by(error["message"]):
        found = f"{broken.named!r} is not named: {error['message'][:300]}"
    if target.digest() != before:
        found = f"stored something; {found}"
    return found and f"{broken.fault} in {json.dumps(broken.value)[:300]}: {found}"


def _words(ids):
    agent = {"type": "agent", "id": ids["agent_id"], "version": 1}
    packages = ("apt", "cargo", "gem", "go", "npm", "pip")
    return {
        ("CreateSession", "agent"): [ids["agent_id"], agent],
        ("CreateSession", "environment_id"): [ids["environment_id"]],
        ("AgentParams", "id"): [ids["agent_id"]],
        ("AgentParams", "version"): [1, None],
        ("AgentWithOverridesParams", "id"): [ids["agent_id"]],
        ("AgentWithOverridesParams", "version"): [1, None],
        ("AgentWithOverridesParams", "model"): ["claude-sonnet-5-5", {"id": "m"}],
        ("UpdateAgent", "version"): [1],
        ("CreateEnvironment", "scope"): ["organization", None],
        ("UpdateEnvironment", "scope"): ["organization", None],
        ("LimitedNetworkParams", "allowed_hosts"): [[], None],
        ("LimitedNetworkParams", "allow_mcp_servers"): [False, None],
        ("LimitedNetworkParams", "allow_package_managers"): [False, None],
        # Packages depend on the network, and that on what the environment has already.
        **{("PackagesParams", name): [[], None] for name in packages},
        ("UpdateSession", "vault_ids"): [None],
        ("MonetaryAmountParams", "amount"): ["2500"],
        ("UserInterruptEventParams", "session_thread_id"): [ids["thread_id"], None],
        ("UserToolConfirmationEventParams", "result"): ["deny", "allow"],
        ("Base64ImageSource", "media_type"): ["image/png"],
        ("Base64ImageSource", "data"): [png()],
        ("Base64DocumentSource", "media_type"): ["application/pdf"],
        ("Base64DocumentSource", "data"): [pdf()],
        ("URLImageSource", "url"): ["https://example.com/a.png"],
        ("URLDocumentSource", "url"): ["http://example.com/a.pdf"],
        ("SearchResultBlock", "content"): [[{"type": "text", "text": "a passage"}]],
        ("UserLocation", "country"): ["NL"],
        ("UserLocation", "timezone"): ["Europe/Amsterdam"],
        ("WebFetchURLSourceToolReference", "name"): ["web_search"],
        ("WebFetchURLSourcesParams", "client_tool_results"): ["all", {"type": "none"}],
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
