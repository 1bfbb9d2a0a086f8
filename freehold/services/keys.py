"""API keys and the workspaces they belong to. A key is stored as its SHA-256 and shown once."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from freehold import keys
from freehold.errors import AuthenticationFailed, StaleRead, Unavailable
from freehold.ids import new_id, now, timestamp
from freehold.ports import Condition, Write

if TYPE_CHECKING:
    from freehold.ports import App, Item, Records

Kind = Literal["api"]

DEFAULT_WORKSPACE = "default"
DEFAULT_WORKSPACE_ID = "wrkspc_default"
CONFIGURED_KEY_ID = "apikey_configured"
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request: every read and write stays inside `workspace_id`."""

    workspace_id: str
    key_id: str
    kind: Kind


def create_key(records: Records, workspace: str = DEFAULT_WORKSPACE, kind: Kind = "api") -> str:
    """A new key of the workspace, which is made if it is new. The secret is kept nowhere.

    Raises Unavailable when others keep changing the workspace.
    """
    secret = f"fh-{kind}-{secrets.token_urlsafe(32)}"
    for _ in range(_ATTEMPTS):
        workspace_id, row = _workspace_row(records, workspace)
        item: Item = {
            "workspace_id": workspace_id,
            "key_id": new_id("apikey"),
            "kind": kind,
            "created_at": timestamp(now()),
        }
        key = Write(
            keys.api_key(_digest(secret)),
            put=item,
            conditions=(Condition("", "absent", reason="key is new"),),
        )
        try:
            records.write([key, row])
        except StaleRead:
            continue
        return secret
    raise Unavailable("The store did not take the write in time.")


def _workspace_row(records: Records, name: str) -> tuple[str, Write]:
    """The workspace's id, and the write that counts one more key of it."""
    place = keys.workspace(name)
    stored: Any = records.get([place])[0]
    if stored is not None:
        return stored["workspace_id"], Write(
            place, add={"keys": 1}, conditions=(Condition("", "exists", reason="workspace exists"),)
        )
    workspace_id = DEFAULT_WORKSPACE_ID if name == DEFAULT_WORKSPACE else new_id("wrkspc")
    item: Item = {"workspace_id": workspace_id, "created_at": timestamp(now()), "keys": 1}
    absent = Condition("", "absent", reason="workspace is new")
    return workspace_id, Write(place, put=item, conditions=(absent,))


def first_key(app: App) -> str | None:
    """A key for a server nobody has one for. None where one is configured or was made before."""
    if app.settings.api_key is not None:
        return None
    if app.records.get([keys.workspace(DEFAULT_WORKSPACE)])[0] is not None:
        return None
    return create_key(app.records)


def authenticate(app: App, secret: str) -> Caller:
    """The caller behind a key. Raises AuthenticationFailed, with the same words for every cause."""
    configured = app.settings.api_key
    if configured is not None and hmac.compare_digest(
        _digest(secret), _digest(configured.get_secret_value())
    ):
        return Caller(DEFAULT_WORKSPACE_ID, CONFIGURED_KEY_ID, "api")
    item: Any = app.records.get([keys.api_key(_digest(secret))])[0]
    if item is None or item["kind"] != "api":
        raise AuthenticationFailed("invalid x-api-key")
    return Caller(item["workspace_id"], item["key_id"], item["kind"])


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
