"""What the core needs from the world, as protocols, and the plain values that cross them. `App`
holds one of each.

An adapter implements one protocol. Each protocol has one contract suite in `tests/contract`, run on
every adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from freehold.keys import Key
from freehold.toolset import JsonObject, ToolCall, ToolResult

if TYPE_CHECKING:
    from pathlib import Path

    from freehold.event_log import EventLog
    from freehold.facts import Observe
    from freehold.settings import Settings

Value: TypeAlias = "bool | int | str | bytes | list[Value] | dict[str, Value] | None"
Item: TypeAlias = Mapping[str, Value]


# ---------------------------------------------------------------- records
@dataclass(frozen=True, slots=True)
class Condition:
    """One fact that must still hold. `absent`/`exists` are about the whole item and ignore
    `attribute`.

    A missing attribute, or a missing item, compares as `None`; `<` and `<=` never hold for `None`.
    """

    attribute: str
    op: Literal["==", "!=", "<", "<=", "exists", "absent"]
    value: Value = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Write:
    """One item of a transaction. Exactly one of `put`, `delete`, or `set`/`add`; with none of them
    it only checks.

    `set` replaces top-level attributes and `add` adds integers (absent = 0); both create the item
    if it is missing, so an update that needs it says `exists`. The attribute `due`, where present,
    is the item's entry in the sparse index.
    """

    key: Key
    put: Item | None = None
    set: Item = field(default_factory=dict)
    add: Mapping[str, int] = field(default_factory=dict)
    delete: bool = False
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Items in sort-key order with their keys. `more` is true when the page ended at its limit or
    at 4 MB, not at the end.
    """

    items: tuple[tuple[Key, Item], ...]
    more: bool


class Records(Protocol):
    """Items in one table: atomic conditional transactions, consistent reads.

    `write` raises StaleRead when a condition does not hold, AmbiguousWrite when the outcome is
    unknown, ItemTooLarge over the limits of DynamoDB (400 KB an item, 100 items and 4 MB a
    transaction), which every adapter enforces. No two writes of a transaction name the same key.
    What is read is never aliased to what is stored.
    """

    def get(self, keys: Sequence[Key]) -> list[Item | None]:
        """The items in the order asked, None where absent; consistent each, not one snapshot. At
        most 100 keys.
        """

    def query(
        self,
        pk: str,
        *,
        after: str = "",
        before: str = "",
        prefix: str = "",
        limit: int = 1000,
        reverse: bool = False,
        consistent: bool = True,
    ) -> Page:
        """Items of a partition with `after < sk < before` (empty = open) that start with `prefix`;
        reverse = newest first. Without `consistent`, at half the price, what was written a moment
        ago may be missing, and what was written after it may not.
        """

    def write(self, writes: Sequence[Write]) -> None:
        """All of it or nothing."""

    def put(self, key: Key, item: Item) -> None:
        """One item whole, under no condition, at half the price of `write`. For an item that is
        never written again: it may arrive after Unavailable was raised.
        """

    def due(self, prefix: str, limit: int = 1000) -> tuple[Key, ...]:
        """Keys of items whose `due` attribute starts with `prefix`, in its order. May lag on AWS.

        `prefix` is a kind, or begins with a kind and its slash. Raises ValueError for an empty one.
        """


class Blobs(Protocol):
    """Bytes by name. A name is written once; writing the same bytes again is a no-op."""

    def put(self, name: str, data: bytes) -> None: ...
    def get(self, name: str) -> bytes:
        """Raises KeyError when absent."""

    def delete(self, prefix: str) -> None:
        """Deletes every blob whose name starts with `prefix`."""


class Secrets(Protocol):
    """Keys that never leave the process. `purpose` is bound into the result: what was made for one
    purpose fails for another.
    """

    def seal(self, purpose: str, plaintext: bytes) -> bytes: ...
    def open(self, purpose: str, sealed: bytes) -> bytes:
        """Raises ValueError when it was altered or made for another purpose."""

    def sign(self, message: bytes) -> bytes:
        """Ed25519."""

    def public_key(self) -> bytes:
        """The 32 raw bytes that verify `sign`."""

    def mac(self, purpose: str, message: bytes) -> bytes: ...


# ---------------------------------------------------------------- model
@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request in the Messages API's own JSON: `system` is a list of text blocks, `messages`
    alternate user and assistant.

    Breakpoints (`cache_control`) are already placed. `max_tokens` None = the most that fits the
    model.
    """

    model: str
    system: tuple[JsonObject, ...]
    tools: tuple[JsonObject, ...]
    messages: tuple[JsonObject, ...]
    max_tokens: int | None = None
    effort: str | None = None
    speed: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request. `input_tokens` is the uncached part.

    `model` and `speed` are who served it and how, in the endpoint's words; empty where it does not
    say.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_5m: int = 0
    cache_creation_1h: int = 0
    model: str = ""
    speed: str = ""


@dataclass(frozen=True, slots=True)
class BlockStarted:
    """A content block opens. `type` is the API's block type."""

    index: int
    type: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class BlockDone:
    """A complete content block, exactly as it must be replayed to the model (signatures
    included).
    """

    index: int
    block: JsonObject


@dataclass(frozen=True, slots=True)
class UsageSeen:
    """What has been metered so far; the last one before `ReplyDone` or an error counts for a cut
    stream.
    """

    usage: Usage


@dataclass(frozen=True, slots=True)
class ReplyDone:
    """The reply is complete. `stop_reason` is the API's; `stop_details` only with a refusal."""

    stop_reason: str
    usage: Usage
    stop_details: JsonObject | None = None


Chunk: TypeAlias = BlockStarted | TextDelta | BlockDone | UsageSeen | ReplyDone


class OpenReply(Protocol):
    """An open model request. Iterate once, from one thread."""

    def __iter__(self) -> Iterator[Chunk]:
        """Raises ModelError, or ModelStopped once `close` was called."""

    def close(self) -> None:
        """Drops the connection at once. Any thread, any number of times, before or after the
        end.
        """


class Model(Protocol):
    def open(self, request: ModelRequest) -> OpenReply:
        """Connects lazily: nothing is sent before the first `next`. Retries nothing itself."""


# ---------------------------------------------------------------- sandbox
@dataclass(frozen=True, slots=True)
class SandboxRef:
    """The sandbox of one session. At most one boot of it runs at a time; its files outlive every
    boot.
    """

    workspace_id: str
    session_id: str


@dataclass(frozen=True, slots=True)
class Network:
    """What a sandbox may reach: `hosts`, exact names or `*.` and what lies below, None = all that
    is public; the hosts of package managers; hosts of MCP servers.
    """

    hosts: tuple[str, ...] | None = ()
    package_managers: bool = False
    mcp_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EgressSocket:
    """A sandbox's way out on this machine: a proxy behind the socket `socket` in `directory`, which
    stays in its place when the proxy is another. `variables` are for the tools' environment.
    """

    directory: Path
    token: str
    variables: Mapping[str, str] = field(default_factory=dict)


class Egress(Protocol):
    """Ways out of sandboxes on this machine."""

    def open(self, session_id: str, network: Network) -> EgressSocket:
        """A way with a new token. The one that the session had before is closed. Raises OSError
        when there is no proxy.
        """

    def shut(self, session_id: str) -> None:
        """Its connections are closed. Never raises."""


class Sandboxes(Protocol):
    """Where the model's code runs. Everything that comes back is untrusted.

    A call is identified by (thread, event id) and the SHA-256 of its name and input; within a boot
    it is executed at most once however often `execute` is called.
    """

    def prewarm(self, sandbox: SandboxRef) -> None:
        """Begins to start it, if it is not running, and returns at once. Never raises."""

    def boot(self, sandbox: SandboxRef) -> str:
        """The boot id of the running sandbox, started if need be.

        Raises SandboxStarting where that takes longer than a caller should be kept, SandboxLost
        when none can be had.
        """

    def execute(self, sandbox: SandboxRef, boot_id: str, call: ToolCall) -> ToolResult | None:
        """Starts the call or joins it; None when it still runs after about 25 s (call again).

        Raises SandboxLost when `boot_id` is not the running boot or the sandbox died: the outcome
        is then unknown.
        """

    def cancel(self, sandbox: SandboxRef, boot_id: str, calls: Sequence[ToolCall]) -> None:
        """Kills the calls' process groups; a call not seen yet is recorded as cancelled. Never
        raises.
        """

    def remove(self, sandbox: SandboxRef) -> None:
        """Stops it and deletes its files."""


# ---------------------------------------------------------------- web
class WebCall(Protocol):
    """One call of a web tool. Ask for its result once, from one thread."""

    @property
    def usage(self) -> Usage:
        """What it spent of the model so far."""

    def result(self) -> ToolResult:
        """What the model is shown; a call that fails for reasons of its own is an error result.

        Raises WebCallStopped once `close` was called.
        """

    def close(self) -> None:
        """Ends it at once. Any thread, any number of times, before or after the end."""


class Web(Protocol):
    """The public web as the control plane sees it. Nothing is sent before `result`; a call may be
    repeated, since it only reads.

    `permits` says of a URL whether the agent may reach it. It is asked of every URL before anything
    is sent to it, redirects included; a search leaves out what it refuses.
    """

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of `toolset.WEB_TOOLS` that can be carried out."""

    def fetch(self, url: str, *, permits: Callable[[str], bool], max_tokens: int | None) -> WebCall:
        """The page, document or image at `url`. `max_tokens` caps text."""

    def search(
        self,
        query: str,
        *,
        permits: Callable[[str], bool],
        domains: Sequence[str],
        location: Mapping[str, str],
        model: str,
    ) -> WebCall:
        """`search_result` blocks. `domains` are the only ones wanted, if any; `location` has the
        fields of `user_location` that are set; `model` is the agent's, should one be asked.
        """


# ---------------------------------------------------------------- runs and live delivery
@dataclass(frozen=True, slots=True)
class Run:
    """One execution of the state machine. `name` is used once for ever."""

    workspace_id: str
    session_id: str
    thread_id: str
    epoch: int
    leg: int

    @property
    def name(self) -> str:
        return f"{self.thread_id}-{self.epoch}-{self.leg}"


class Runs(Protocol):
    def start(self, run: Run) -> bool:
        """True when it was started or is open already, False when an execution of that name has
        closed.
        """


class Subscription(Protocol):
    def close(self) -> None: ...


class Feed(Protocol):
    """Live delivery. Doorbells say *look at the log*; they carry nothing and may ring too often,
    never too seldom.

    A topic is the partition of a thread's log (`keys.feed`). Callbacks come from any thread and
    must not block.
    """

    def subscribe(self, topic: str, ring: Callable[[], None]) -> Subscription: ...

    def preview(self, topic: str, frame: JsonObject) -> None:
        """Best effort: hands an `event_start` or `event_delta` to whoever previews this topic now.
        Deltas that follow each other may arrive as one. Never waits.
        """

    def follow_previews(self, topic: str, deliver: Callable[[JsonObject], None]) -> Subscription:
        """What is previewed once this has returned is delivered, as far as previews are. May wait
        for the store.
        """

    def previewed(self, topic: str) -> bool:
        """Whether anybody may follow previews of this topic. Never waits: the model's reader asks
        for every piece of text.
        """


class Connections(Protocol):
    """WebSockets that a gateway holds open for functions that come and go, by the gateway's ids.
    Threads share an instance.
    """

    def post(self, connection_id: str, text: str) -> None:
        """Sends one message, of at most 128 KB. Raises ConnectionGone, ConnectionBusy."""

    def close(self, connection_id: str) -> None:
        """Ends the connection, if it is there. Best effort: one that stays is sent nothing."""


@dataclass(frozen=True, slots=True)
class App:
    """Everything the core may touch, built once in `bootstrap`."""

    settings: Settings
    records: Records
    blobs: Blobs
    secrets: Secrets
    log: EventLog
    model: Model
    sandboxes: Sandboxes
    runs: Runs
    feed: Feed
    clock: Callable[[], datetime]
    web: Web
    observe: Observe | None = None
    """Told what happens, to count and to trace it (`freehold.facts`); None where nobody does."""
