"""Where things are kept: items, blobs, keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol, TypeAlias

from freehold.keys import Key

Value: TypeAlias = "bool | int | str | bytes | list[Value] | dict[str, Value] | None"
Item: TypeAlias = Mapping[str, Value]


def known(cls: type, item: Mapping[str, object]) -> dict[str, Any]:
    """The item's attributes that this dataclass has a field for. What a later release has added is
    left out: during a deployment old and new functions read the same items.
    """
    return {f.name: item[f.name] for f in fields(cls) if f.name in item}


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


def every_item(records: Records, partition: str, *, prefix: str = "") -> Iterator[tuple[Key, Item]]:
    """Those of a partition in sort-key order, read page by page as they are asked for."""
    more, after = True, ""
    while more:
        page = records.query(partition, prefix=prefix, after=after)
        more, after = page.more, page.items[-1][0].sk if page.items else ""
        yield from page.items


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
