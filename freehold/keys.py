"""The one place that builds storage keys. Every key begins with its workspace, so no read can leave
it.

The partitions of one workspace `W`, with their sort keys:

- `W/agents`, `W/environments`, `W/sessions`: an index row per object, by its id. Ids sort by their
  time of creation.
- `W/sessions/agent/{id}`: an index row per session of that agent, by its id.
- `W/agent/{id}`: `head` and `version/{n}`. `W/environment/{id}`: `head`.
- `W/name/{kind}/{name}`: the claim on a unique name.
- `W/session/{id}`: `doc` (what rarely changes), `state` (counters of the log), `thread/{id}/head`,
  `thread/{id}/claim`, `sandbox` (where its files are on AWS).
- `W/idempotency`: a record per `Idempotency-Key`, by its hash. The answers lie with what was made,
  as `answer/{hash}`.
- `W/limits`: the requests of this minute, by kind.
- `W/spend/{day}`: what was spent on that UTC day, added up in a few rows; short-lived.
- `W/feed/{thread}`: an item per commit, by first sequence and version, both zero-padded.
- `W/listeners/{thread}`: who follows that feed from another process: `stream/{holder}` and
  `socket/{connection}` (`freehold.listeners`).
- `W/previews/{thread}`: frames of previews, by the time they were gathered; short-lived.

What belongs to no workspace: `api_key`, `ticket` and `connection`, which are looked up before their
workspace is known, `workspace` itself with its row in `WORKSPACES`, `installation_key`, `SCHEMA`,
and what sandboxes on AWS are made of: `_slots` and `_free_slots` with a row for each slot by its
id, `_file_systems/{id}`. A connection's partition holds `connection` and a row `feed/{topic}` for
each feed that it follows.
"""

from __future__ import annotations

from dataclasses import dataclass

_SEQ = 12


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Partition and sort key of one item."""

    pk: str
    sk: str


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Names a session inside its workspace."""

    workspace_id: str
    session_id: str

    @property
    def partition(self) -> str:
        return f"{self.workspace_id}/session/{self.session_id}"

    def doc(self) -> Key:
        return Key(self.partition, "doc")

    def state(self) -> Key:
        return Key(self.partition, "state")

    def head(self, thread_id: str) -> Key:
        return Key(self.partition, f"thread/{thread_id}/head")

    def claim(self, thread_id: str) -> Key:
        return Key(self.partition, f"thread/{thread_id}/claim")

    def feed(self, thread_id: str) -> str:
        return feed(self.workspace_id, thread_id)

    def sandbox(self) -> Key:
        return Key(self.partition, "sandbox")

    def index(self) -> Key:
        return Key(f"{self.workspace_id}/sessions", self.session_id)

    def index_by(self, kind: str, owner_id: str) -> Key:
        """The session's row among the sessions of one agent."""
        return Key(sessions_by(self.workspace_id, kind, owner_id), self.session_id)


def parse_session(partition: str) -> SessionKey:
    """The inverse of `SessionKey.partition`."""
    workspace_id, _, session_id = partition.split("/")
    return SessionKey(workspace_id, session_id)


def parse_head(key: Key) -> tuple[SessionKey, str]:
    """The session and thread of a head's key."""
    return parse_session(key.pk), key.sk.split("/")[1]


def feed(workspace_id: str, thread_id: str) -> str:
    """The partition of a thread's log."""
    return f"{workspace_id}/feed/{thread_id}"


SOCKETS = "socket/"
"""Begins the sort keys of listeners that are WebSockets."""


def listeners(topic: str) -> str:
    """The partition of who follows a feed; `topic` is the feed's."""
    return _beside(topic, "listeners")


def stream_listener(topic: str, holder: str) -> Key:
    return Key(listeners(topic), f"stream/{holder}")


def socket_listener(topic: str, connection_id: str) -> Key:
    return Key(listeners(topic), f"{SOCKETS}{connection_id}")


def previews(topic: str) -> str:
    """The partition of the previews of a feed; `topic` is the feed's."""
    return _beside(topic, "previews")


def parse_feed(topic: str) -> tuple[str, str]:
    """The inverse of `feed`: workspace and thread."""
    workspace_id, _, thread_id = topic.split("/")
    return workspace_id, thread_id


def _beside(topic: str, kind: str) -> str:
    workspace_id, thread_id = parse_feed(topic)
    return f"{workspace_id}/{kind}/{thread_id}"


def parse_beside(partition: str) -> tuple[str, str] | None:
    """The feed that a partition is about, and its kind: `feed`, `listeners` or `previews`. None for
    any other.
    """
    parts = partition.split("/")
    if len(parts) != 3 or parts[1] not in ("feed", "listeners", "previews"):  # noqa: PLR2004
        return None
    return feed(parts[0], parts[2]), parts[1]


def entry(first_seq: int, version: int) -> str:
    """Sort key of a commit. A commit without events shares its first sequence with the next one;
    the version tells them apart.
    """
    return f"{first_seq:0{_SEQ}d}/{version:0{_SEQ}d}"


def before_entry(first_seq: int, version: int) -> str:
    """A sort key between this commit's and that of the one before it; empty for the first."""
    return entry(first_seq, version - 1) if version else ""


def collection(workspace_id: str, kind: str) -> str:
    """The partition of index rows of all `kind` (plural) in a workspace."""
    return f"{workspace_id}/{kind}"


def sessions_by(workspace_id: str, kind: str, owner_id: str) -> str:
    """The partition of index rows of the sessions that one `agent`, `deployment` or `memory_store`
    has.
    """
    return f"{workspace_id}/sessions/{kind}/{owner_id}"


def agent(workspace_id: str, agent_id: str) -> Key:
    return Key(f"{workspace_id}/agent/{agent_id}", "head")


def agent_version(workspace_id: str, agent_id: str, version: int) -> Key:
    return Key(f"{workspace_id}/agent/{agent_id}", f"version/{version:0{_SEQ}d}")


def environment(workspace_id: str, environment_id: str) -> Key:
    return Key(f"{workspace_id}/environment/{environment_id}", "head")


def name(workspace_id: str, kind: str, value: str) -> Key:
    return Key(f"{workspace_id}/name/{kind}/{value}", "claim")


def idempotency(workspace_id: str, digest: str) -> Key:
    return Key(f"{workspace_id}/idempotency", digest)


def rate_limit(workspace_id: str, kind: str) -> Key:
    return Key(f"{workspace_id}/limits", kind)


def day_spend(workspace_id: str, day: str, row: int) -> Key:
    """One of the rows that add up what a workspace spends in a day."""
    return Key(f"{workspace_id}/spend/{day}", f"{row:02d}")


def api_key(digest: str) -> Key:
    return Key(f"_keys/{digest}", "key")


API_KEYS = "_key_index"
"""The partition of a row per API key ever made, by its id."""


def api_key_row(key_id: str) -> Key:
    return Key(API_KEYS, key_id)


def ticket(digest: str) -> Key:
    return Key(f"_tickets/{digest}", "ticket")


CONNECTION_FEEDS = "feed/"
"""Begins the sort keys of what a connection follows."""


def connection(connection_id: str) -> Key:
    return Key(f"_connections/{connection_id}", "connection")


def connection_feed(connection_id: str, topic: str) -> Key:
    """A feed that the connection follows."""
    return Key(connection(connection_id).pk, f"{CONNECTION_FEEDS}{topic}")


def workspace(name_: str) -> Key:
    return Key(f"_workspaces/{name_}", "workspace")


WORKSPACES = "_workspace_index"
"""The partition of a row per workspace, by its id."""


def workspace_row(workspace_id: str) -> Key:
    return Key(WORKSPACES, workspace_id)


SCHEMA = Key("_installation/schema", "schema")
"""Which schema version the items have, and which release wrote it (`freehold.schema`)."""


def installation_key(use: str) -> Key:
    """A key of the whole installation, sealed: `mac` or `sign`."""
    return Key(f"_installation/{use}", "key")


def egress_proxy() -> Key:
    """The egress proxy of the installation's sandboxes, where they are tasks."""
    return Key("_egress", "proxy")


SLOTS = "_slots"
FREE_SLOTS = "_free_slots"


def slot(slot_id: str) -> Key:
    return Key(SLOTS, slot_id)


def free_slot(slot_id: str) -> Key:
    return Key(FREE_SLOTS, slot_id)


def file_system(file_system_id: str) -> Key:
    return Key(f"_file_systems/{file_system_id}", "count")
