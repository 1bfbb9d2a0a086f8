"""Pages of a collection, by cursors that are opaque to clients (BEHAVIOUR 1.5)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from freehold.errors import InvalidRequest
from freehold.keys import Key
from freehold.wire.base import WireModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from freehold.ports import Records
    from freehold.wire.queries import CreatedBounds

T = TypeVar("T", bound=WireModel)

MAX_PAGE_BYTES = 4_000_000
_BATCH = 100
_DIRECTIONS = {"f": False, "b": True}


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: behind `position`, the sort key of an item; empty = at the start."""

    position: str
    order: Literal["asc", "desc"]
    backward: bool = False

    def text(self) -> str:
        """What clients carry."""
        direction = "b" if self.backward else "f"
        plain = f"{self.order}/{direction}/{self.position}"
        return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str | None, *, order: Literal["asc", "desc"]) -> Cursor:
        """Raises InvalidRequest for junk, and for a cursor made under the other order."""
        if not text:
            return cls("", order)
        try:
            padded = text + "=" * (-len(text) % 4)
            plain = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode()
        except (binascii.Error, UnicodeError):
            raise InvalidRequest("Invalid `page` cursor.") from None
        made_for, _, rest = plain.partition("/")
        direction, _, position = rest.partition("/")
        if made_for not in ("asc", "desc") or direction not in _DIRECTIONS or not position:
            raise InvalidRequest("Invalid `page` cursor.")
        if made_for != order:
            raise InvalidRequest("The `page` cursor was made for another `order`.")
        return cls(position, order, backward=_DIRECTIONS[direction])


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A page, and the cursors of its neighbours where there are any."""

    items: list[T]
    next_page: str | None
    prev_page: str | None


def walk(
    records: Records,
    partition: str,
    cursor: Cursor,
    *,
    limit: int,
    load: Callable[[Sequence[str]], Sequence[T | None]],
    created: CreatedBounds | None = None,
) -> Found[T]:
    """A page of the collection whose index rows are in `partition`.

    `load` gives the objects of up to 100 sort keys, None for those the filters leave out. A page
    ends at `limit` or with the item that brings it to 4 MB.

    Raises InvalidRequest when `created` leaves out the cursor's own position: the page would have
    nothing to do with the one before.
    """
    _check_position(records, partition, cursor, created)
    reverse = (cursor.order == "desc") != cursor.backward
    found: list[tuple[str, T]] = []
    position, size, more, cut = cursor.position, 0, True, False
    while more and not cut and len(found) <= limit:
        page = records.query(
            partition,
            after="" if reverse else position,
            before=position if reverse else "",
            limit=min(_BATCH, limit + 1 - len(found)),
            reverse=reverse,
        )
        ids = [key.sk for key, _ in page.items]
        for item_id, item in zip(ids, load(ids) if ids else (), strict=True):
            cut = cut or (item is not None and size > MAX_PAGE_BYTES)
            if item is not None and not cut:
                found.append((item_id, item))
                size += len(item.model_dump_json())
        position, more = (ids[-1], page.more) if ids else (position, False)
    return _found(cursor, found[:limit], more=cut or len(found) > limit)


def _found(cursor: Cursor, shown: list[tuple[str, T]], *, more: bool) -> Found[T]:
    """The page in the order asked, with its neighbours."""
    if not shown:
        return Found([], None, None)
    if cursor.backward:
        shown.reverse()
    ahead = replace(cursor, position=shown[-1][0], backward=False).text()
    back = replace(cursor, position=shown[0][0], backward=True).text()
    has_next = more or cursor.backward
    has_previous = more if cursor.backward else bool(cursor.position)
    return Found(
        [item for _, item in shown], ahead if has_next else None, back if has_previous else None
    )


def _check_position(
    records: Records, partition: str, cursor: Cursor, created: CreatedBounds | None
) -> None:
    if not cursor.position or created is None:
        return
    row = records.get([Key(partition, cursor.position)])[0]
    if row is not None and not created.spans(str(row["created_at"])):
        raise InvalidRequest("The `created_at` filter excludes the position of the `page` cursor.")
