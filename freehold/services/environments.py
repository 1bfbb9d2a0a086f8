"""Environments: create, retrieve, list, update, archive, delete (BEHAVIOUR 4).

An environment's item counts its sessions in `sessions`: their creation and deletion add to it. So
the item is changed with `set`, never replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freehold import keys
from freehold.documents import pack, unpack
from freehold.errors import Conflict, InvalidRequest, NotFound
from freehold.ids import is_id, new_id, timestamp
from freehold.ports import Condition, Item, Write
from freehold.services.changes import Change, perform
from freehold.services.paging import Collection, walk
from freehold.toolset.packages import MANAGERS
from freehold.wire.environments import (
    CloudConfig,
    CloudConfigParams,
    CreateEnvironment,
    DeletedEnvironment,
    Environment,
    EnvironmentList,
    EnvironmentPage,
    LimitedNetwork,
    UpdateEnvironment,
)
from freehold.wire.metadata import patch_metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freehold.ports import App
    from freehold.services.idempotency import Once
    from freehold.services.keys import Caller

_NEW = (Condition("", "absent", reason="id is new"),)


@dataclass(frozen=True, slots=True)
class _Stored:
    """An environment as read, with what its next write conditions on."""

    environment: Environment
    revision: int
    sessions: int


def create_environment(
    app: App, caller: Caller, request: CreateEnvironment, once: Once | None = None
) -> Environment:
    """Claims the name in the same transaction. Raises Conflict when it is taken, InvalidRequest
    for packages that the network forbids, Repeated.
    """
    now = app.clock()
    at = timestamp(now)
    config = request.config or CloudConfigParams(type="cloud")
    environment = Environment(
        id=new_id("env", now),
        name=request.name,
        description=request.description,
        config=_checked(config.resolved()),
        metadata=request.metadata,
        scope="organization",
        created_at=at,
        updated_at=at,
        archived_at=None,
    )
    head = keys.environment(caller.workspace_id, environment.id)
    row = keys.Key(keys.collection(caller.workspace_id, "environments"), environment.id)

    def plan() -> Change[Environment]:
        item = {**pack(app.blobs, head, environment), "archived": False, "revision": 0}
        writes = [
            Write(head, put={**item, "sessions": 0}, conditions=_NEW),
            Write(row, put={"created_at": at}, conditions=_NEW),
            _claim_name(app, caller, environment),
            *(once.writes(head.pk, environment) if once else ()),
        ]
        return Change(environment, writes, lambda: app.records.get([head])[0] is not None)

    return perform(app, plan, once)


def _claim_name(app: App, caller: Caller, environment: Environment) -> Write:
    """Raises Conflict when another environment has the name; the condition decides."""
    place = keys.name(caller.workspace_id, "environment", environment.name)
    holder = app.records.get([place])[0]
    if holder is not None and holder["id"] != environment.id:
        raise Conflict(
            f"An environment named {environment.name!r} already exists.", should_retry=False
        )
    free = Condition("", "absent", reason="name is free")
    return Write(place, put={"id": environment.id}, conditions=(free,))


def retrieve_environment(app: App, caller: Caller, environment_id: str) -> Environment:
    """Raises NotFound, also for a malformed id."""
    return _read(app, caller, environment_id).environment


def list_environments(app: App, caller: Caller, query: EnvironmentList) -> EnvironmentPage:
    """Newest first, archived ones only when asked for. Raises InvalidRequest for a bad cursor."""

    def load(ids: Sequence[str]) -> list[Environment | None]:
        places = [keys.environment(caller.workspace_id, environment_id) for environment_id in ids]
        found = [_parse(app, item) for item in app.records.get(places)]
        return [
            stored.environment
            if stored and (query.include_archived or stored.environment.archived_at is None)
            else None
            for stored in found
        ]

    rows = Collection(keys.collection(caller.workspace_id, "environments"), "env")
    found = walk(
        app.records,
        rows,
        rows.cursor(query.page),
        limit=query.limit,
        load=load,
    )
    return EnvironmentPage(data=found.items, next_page=found.next_page)


def update_environment(
    app: App, caller: Caller, environment_id: str, request: UpdateEnvironment
) -> Environment:
    """What is omitted keeps its value, inside `config` too; sandboxes made before are not changed.

    Raises Conflict for a name that is taken; InvalidRequest for an archived environment, another
    `config.type`, or packages that the network forbids; NotFound.
    """

    def plan() -> Change[Environment]:
        stored = _read(app, caller, environment_id)
        environment = stored.environment
        if environment.archived_at is not None:
            raise InvalidRequest(
                f"Environment {environment_id} is archived and cannot be updated.",
                details={"error_code": "environment_archived"},
            )
        changed = _changes(environment, request)
        if not changed:
            return Change(environment)
        changed["updated_at"] = timestamp(app.clock())
        after = environment.model_copy(update=changed)
        writes = _rename(app, caller, environment, after) if "name" in changed else []
        return _replace(app, caller, stored, after, writes)

    return perform(app, plan)


def _rename(app: App, caller: Caller, before: Environment, after: Environment) -> list[Write]:
    """The new name is claimed and the old one given back."""
    old = keys.name(caller.workspace_id, "environment", before.name)
    return [_claim_name(app, caller, after), Write(old, delete=True)]


def _changes(environment: Environment, request: UpdateEnvironment) -> dict[str, Any]:
    """The fields whose value differs."""
    metadata = patch_metadata(environment.metadata, request.metadata, empty_deletes=True)
    wanted: dict[str, Any] = {"metadata": metadata}
    if request.name is not None:
        wanted["name"] = request.name
    if "description" in request.model_fields_set:
        wanted["description"] = request.description
    if request.config is not None:
        wanted["config"] = _merge(environment, request)
    return {name: value for name, value in wanted.items() if value != getattr(environment, name)}


def _merge(environment: Environment, request: UpdateEnvironment) -> CloudConfig:
    given, stored = request.config, environment.config
    if not isinstance(given, CloudConfigParams) or not isinstance(stored, CloudConfig):
        raise InvalidRequest(
            "config.type cannot be changed.", details={"error_code": "invalid_config_type_change"}
        )
    return _checked(given.resolved(stored))


def _checked(config: CloudConfig) -> CloudConfig:
    """Raises InvalidRequest for packages that nothing could fetch (BEHAVIOUR 4)."""
    network = config.networking
    if isinstance(network, LimitedNetwork) and not network.allow_package_managers:
        asked = [name for name in MANAGERS if getattr(config.packages, name)]
        if asked:
            raise InvalidRequest(
                f"config.packages.{asked[0]}: packages under limited networking require"
                " `networking.allow_package_managers` to be true."
            )
    return config


def archive_environment(app: App, caller: Caller, environment_id: str) -> Environment:
    """One-way; existing sessions go on. Archiving again answers it unchanged. Raises NotFound."""

    def plan() -> Change[Environment]:
        stored = _read(app, caller, environment_id)
        if stored.environment.archived_at is not None:
            return Change(stored.environment)
        at = timestamp(app.clock())
        changed = {"archived_at": at, "updated_at": at}
        return _replace(app, caller, stored, stored.environment.model_copy(update=changed), [])

    return perform(app, plan)


def _replace(
    app: App, caller: Caller, stored: _Stored, after: Environment, writes: list[Write]
) -> Change[Environment]:
    """The next revision, leaving the count of sessions to those who count."""
    head = keys.environment(caller.workspace_id, after.id)
    changed = {
        **pack(app.blobs, head, after),
        "archived": after.archived_at is not None,
        "revision": stored.revision + 1,
    }
    unchanged = Condition("revision", "==", stored.revision, "document as read")
    return Change(after, [Write(head, set=changed, conditions=(unchanged,)), *writes])


def delete_environment(
    app: App, caller: Caller, environment_id: str, *, force: bool = False
) -> DeletedEnvironment:
    """Gives its name back. Raises Conflict while sessions refer to it, unless `force`; NotFound."""

    def plan() -> Change[DeletedEnvironment]:
        stored = _read(app, caller, environment_id)
        if stored.sessions and not force:
            raise Conflict(
                f"Environment {environment_id} is used by {stored.sessions} session(s). Delete "
                "them first, or pass `force=true`.",
                should_retry=False,
            )
        head = keys.environment(caller.workspace_id, environment_id)
        row = keys.Key(keys.collection(caller.workspace_id, "environments"), environment_id)
        claim = keys.name(caller.workspace_id, "environment", stored.environment.name)
        unchanged = [Condition("revision", "==", stored.revision, "document as read")]
        if not force:
            unchanged.append(Condition("sessions", "==", 0, "no session refers to it"))
        writes = [
            Write(head, delete=True, conditions=tuple(unchanged)),
            Write(row, delete=True),
            Write(claim, delete=True),
        ]

        def landed() -> bool:
            return _parse(app, app.records.get([head])[0]) is None

        return Change(DeletedEnvironment(id=environment_id), writes, landed)

    return perform(app, plan)


def _read(app: App, caller: Caller, environment_id: str) -> _Stored:
    item = None
    if is_id("env", environment_id):
        item = app.records.get([keys.environment(caller.workspace_id, environment_id)])[0]
    stored = _parse(app, item)
    if stored is None:
        raise NotFound(f"Environment {environment_id} not found.")
    return stored


def _parse(app: App, item: Item | None) -> _Stored | None:
    """None also for what is left of a deleted one: a session that goes later still counts itself
    off, and that makes an item without a document.
    """
    if item is None or "revision" not in item:
        return None
    counted: Any = item
    environment = unpack(app.blobs, item, Environment)
    return _Stored(environment, counted["revision"], counted["sessions"])
