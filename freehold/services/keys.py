"""API keys and the workspaces they belong to. A key is stored as its SHA-256 and shown once."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from freehold import keys
from freehold.errors import (
    AmbiguousWrite,
    AuthenticationFailed,
    NotFound,
    StaleRead,
    Unavailable,
)
from freehold.ids import is_id, new_id, now, timestamp
from freehold.ports import Condition, Write, every_item

if TYPE_CHECKING:
    from freehold.ports import App, Item, Records

Kind = Literal["api"]

DEFAULT_WORKSPACE = "default"
DEFAULT_WORKSPACE_ID = "wrkspc_default"
CONFIGURED_KEY_ID = "apikey_configured"
_ATTEMPTS = 20
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request: every read and write stays inside `workspace_id`."""

    workspace_id: str
    key_id: str
    kind: Kind
    key_digest: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as its operator sees it: never the key. `last_characters` tell it from others."""

    id: str
    workspace: str
    workspace_id: str
    kind: str
    created_at: str
    last_characters: str
    revoked_at: str | None


def create_key(records: Records, workspace: str = DEFAULT_WORKSPACE, kind: Kind = "api") -> str:
    """A new key of the workspace, which is made if it is new. The secret is kept nowhere.

    Raises Unavailable when others keep changing the workspace.
    """
    secret = f"fh-{kind}-{secrets.token_urlsafe(32)}"
    for _ in range(_ATTEMPTS):
        workspace_id, rows = _workspace_rows(records, workspace)
        try:
            records.write([*_key_writes(secret, workspace, workspace_id, kind), *rows])
        except StaleRead:
            continue
        return secret
    raise Unavailable("The store did not take the write in time.")


def _key_writes(secret: str, workspace: str, workspace_id: str, kind: Kind) -> list[Write]:
    """What a request is authenticated by, and the row that lists show."""
    key_id, digest = new_id("apikey"), _digest(secret)
    item: Item = {
        "workspace_id": workspace_id,
        "key_id": key_id,
        "kind": kind,
        "created_at": timestamp(now()),
    }
    row: Item = {
        **item,
        "workspace": workspace,
        "digest": digest,
        "last_characters": secret[-_SHOWN:],
        "revoked_at": None,
    }
    new = (Condition("", "absent", reason="key is new"),)
    return [
        Write(keys.api_key(digest), put=item, conditions=new),
        Write(keys.api_key_row(key_id), put=row, conditions=new),
    ]


def list_keys(records: Records) -> list[StoredKey]:
    """Every key of the installation, oldest first, revoked ones among them."""
    return [_stored(item) for _, item in every_item(records, keys.API_KEYS)]


def revoke_key(records: Records, key_id: str) -> StoredKey:
    """Every server on this store refuses it from its next request on; its workspace stays, with
    what is in it. Revoking again answers it unchanged. Raises NotFound, Unavailable.
    """
    place = keys.api_key_row(key_id)
    for _ in range(_ATTEMPTS):
        item: Any = records.get([place])[0] if is_id("apikey", key_id) else None
        if item is None:
            raise NotFound(f"There is no key {key_id}.")
        if item["revoked_at"] is not None:
            return _stored(item)
        valid = Condition("revoked_at", "==", value=None, reason="not revoked")
        try:
            records.write(
                [
                    Write(place, set={"revoked_at": timestamp(now())}, conditions=(valid,)),
                    Write(keys.api_key(item["digest"]), delete=True),
                ]
            )
        except (StaleRead, AmbiguousWrite):
            continue
    raise Unavailable("The store did not take the write in time.")


def _stored(item: Any) -> StoredKey:
    shown = {f.name: item[f.name] for f in fields(StoredKey) if f.name != "id"}
    return StoredKey(id=item["key_id"], **shown)


def _workspace_rows(records: Records, name: str) -> tuple[str, list[Write]]:
    """The workspace's id, and the write that counts one more key of it; of a new one, the row that
    lists it as well.
    """
    place = keys.workspace(name)
    stored: Any = records.get([place])[0]
    if stored is not None:
        exists = Condition("", "exists", reason="workspace exists")
        return stored["workspace_id"], [Write(place, add={"keys": 1}, conditions=(exists,))]
    workspace_id = DEFAULT_WORKSPACE_ID if name == DEFAULT_WORKSPACE else new_id("wrkspc")
    item: Item = {"workspace_id": workspace_id, "created_at": timestamp(now()), "keys": 1}
    absent = Condition("", "absent", reason="workspace is new")
    row: Item = {"workspace_id": workspace_id, "workspace": name}
    return workspace_id, [
        Write(place, put=item, conditions=(absent,)),
        Write(keys.workspace_row(workspace_id), put=row),
    ]


def list_workspaces(records: Records) -> list[str]:
    """The ids of all workspaces; the default one is always there, whoever has a key of it."""
    made = {key.sk for key, _ in every_item(records, keys.WORKSPACES)}
    return sorted({DEFAULT_WORKSPACE_ID, *made})


def first_key(app: App) -> str | None:
    """A key for a server nobody has one for. None where one is configured or was made before."""
    if app.settings.api_key is not None:
        return None
    if app.records.get([keys.workspace(DEFAULT_WORKSPACE)])[0] is not None:
        return None
    return create_key(app.records)


def authenticate(app: App, secret: str) -> Caller:
    """The caller behind a key. Raises AuthenticationFailed, with the same words for every cause."""
    digest = _digest(secret)
    if _is_configured(app, digest):
        return Caller(DEFAULT_WORKSPACE_ID, CONFIGURED_KEY_ID, "api", digest)
    item: Any = app.records.get([keys.api_key(digest)])[0]
    if item is None or item["kind"] != "api":
        raise AuthenticationFailed("invalid x-api-key")
    return Caller(item["workspace_id"], item["key_id"], item["kind"], digest)


def stands(app: App, caller: Caller) -> bool:
    """Whether the key behind a caller who was authenticated before is still accepted."""
    digest = caller.key_digest
    return _is_configured(app, digest) or app.records.get([keys.api_key(digest)])[0] is not None


def check_standing(app: App, caller: Caller) -> None:
    """Raises AuthenticationFailed for a caller whose key is not accepted any more."""
    if not stands(app, caller):
        raise AuthenticationFailed("This API key has been revoked.")


def _is_configured(app: App, digest: str) -> bool:
    configured = app.settings.api_key
    return configured is not None and hmac.compare_digest(
        digest, _digest(configured.get_secret_value())
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
