"""Pages of a collection, by cursors that are opaque to clients (BEHAVIOUR 1.5)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from freehold.errors import InvalidRequest
from freehold.ids import created_at, id_floor, is_id, parse_timestamp, timestamp
from freehold.wire.base import WireModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from freehold.ports import Item, Records
    from freehold.wire.queries import CreatedBounds

T = TypeVar("T", bound=WireModel)

MAX_PAGE_BYTES = 4_000_000
MAX_EXAMINED = 1000
"""Index rows that one page looks at, whatever its filters leave out. Where it ends for that, it may
be short or empty and still have a `next_page`."""
_BATCH = 100
_DIRECTIONS = {"f": False, "b": True}


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: behind `position`, the sort key of an item; empty = at the end it reads
    from.
    """

    position: str
    order: Literal["asc", "desc"]
    backward: bool = False

    def text(self) -> str:
        """What clients carry."""
        direction = "b" if self.backward else "f"
        plain = f"{self.order}/{direction}/{self.position}"
        return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")

    @classmethod
    def parse(
        cls,
        text: str | None,
        *,
        order: Literal["asc", "desc"],
        is_position: Callable[[str], bool],
        both_ways: bool = False,
    ) -> Cursor:
        """`is_position`: whether the list makes such positions; `both_ways`: whether it has a
        `prev_page`.

        Raises InvalidRequest for junk, a cursor of another list, and one made under another order.
        """
        if text is None:
            return cls("", order)
        try:
            padded = text + "=" * (-len(text) % 4)
            plain = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode()
        except (binascii.Error, UnicodeError):
            raise InvalidRequest("Invalid `page` cursor.") from None
        made_for, _, rest = plain.partition("/")
        direction, _, position = rest.partition("/")
        is_known = made_for in ("asc", "desc") and direction in _DIRECTIONS
        is_ours = is_position(position) or (both_ways and not position)
        if not is_known or not is_ours or (direction == "b" and not both_ways):
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


@dataclass(frozen=True, slots=True)
class Collection:
    """Index rows of one partition; their sort keys are ids that begin with `prefix`."""

    partition: str
    prefix: str

    def cursor(
        self, text: str | None, *, order: Literal["asc", "desc"] = "desc", both_ways: bool = False
    ) -> Cursor:
        """Raises InvalidRequest for a cursor that is not of such a list."""
        return Cursor.parse(
            text,
            order=order,
            is_position=lambda position: is_id(self.prefix, position),
            both_ways=both_ways,
        )


def walk(
    records: Records,
    rows: Collection,
    cursor: Cursor,
    *,
    limit: int,
    load: Callable[[Sequence[str]], Sequence[T | None]],
    created: CreatedBounds | None = None,
    picks: Callable[[Item], bool] = lambda _: True,
) -> Found[T]:
    """A page of the collection.

    `picks` decides by the index row; `load` gives the objects of up to 100 ids that it picked, None
    for those the filters leave out. Bounds of creation are bounds of ids, and what lies outside is
    not read. A page ends at `limit`, with the item that brings it to 4 MB, or after `MAX_EXAMINED`
    rows: at most 12 queries and as many calls of `load`.

    Raises InvalidRequest when `created` leaves out the cursor's own position: the page would have
    nothing to do with the one before.
    """
    _check_position(cursor, created)
    low, high = _bounds(rows.prefix, created)
    reverse = (cursor.order == "desc") != cursor.backward
    found: list[tuple[str, T]] = []
    position, size, examined, more, cut = cursor.position, 0, 0, True, False
    while more and not cut and len(found) <= limit and examined < MAX_EXAMINED:
        page = records.query(
            rows.partition,
            after=low if reverse else max(low, position),
            before=min(filter(None, (high, position if reverse else "")), default=""),
            limit=min(_BATCH, MAX_EXAMINED - examined, _BATCH if examined else limit + 1),
            reverse=reverse,
        )
        picked = [key.sk for key, row in page.items if picks(row)]
        for item_id, item in zip(picked, load(picked) if picked else (), strict=True):
            cut = cut or (item is not None and size > MAX_PAGE_BYTES)
            if item is not None and not cut:
                found.append((item_id, item))
                size += len(item.model_dump_json())
        more, examined = page.more, examined + len(page.items)
        position = page.items[-1][0].sk if page.items else ""
    if cut or len(found) > limit:
        found, more = found[:limit], True
        position = found[-1][0]
    return _found(cursor, found, position, more=more)


def _found(cursor: Cursor, shown: list[tuple[str, T]], position: str, *, more: bool) -> Found[T]:
    """The page in the order asked, with its neighbours. `position`: where reading ended, empty
    where there was nothing to read.
    """
    items = [item for _, item in shown]
    first = shown[0][0] if shown else position
    ahead = replace(cursor, position=position).text() if more else None
    behind = replace(cursor, position=first, backward=not cursor.backward).text()
    if cursor.backward:
        return Found(items[::-1], behind, ahead)
    return Found(items, ahead, behind if cursor.position else None)


def _check_position(cursor: Cursor, created: CreatedBounds | None) -> None:
    if not cursor.position or created is None:
        return
    if not created.spans(timestamp(created_at(cursor.position))):
        raise InvalidRequest("The `created_at` filter excludes the position of the `page` cursor.")


def _bounds(prefix: str, created: CreatedBounds | None) -> tuple[str, str]:
    """Texts between which the ids of objects created within the bounds lie; empty = open."""
    if created is None:
        return "", ""
    low = [id_floor(prefix, parse_timestamp(b.at), after=not b.itself) for b in created.lower]
    high = [id_floor(prefix, parse_timestamp(b.at), after=b.itself) for b in created.upper]
    return max(low, default=""), min(high, default="")
