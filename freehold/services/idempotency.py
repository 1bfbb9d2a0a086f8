"""`Idempotency-Key`: a create or a send that may be repeated (DESIGN 9). An extension: SDKs repeat
a POST whose answer was lost, and without a key that is a second one.

The record is written by the transaction it protects. It names the request by its hash and holds no
content: the answer lies in the partition of what was made, and goes when that goes.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from freehold import keys
from freehold.errors import InvalidRequest, NotFound
from freehold.ids import timestamp
from freehold.keys import Key
from freehold.ports import Condition, Item, Write

if TYPE_CHECKING:
    from freehold.ports import App
    from freehold.services.keys import Caller
    from freehold.wire.base import WireModel

LIFETIME = timedelta(hours=24)
MAX_KEY = 255
_MAX_ITEM = 300_000


class Repeated(Exception):
    """The request was answered before. `body` is that answer, byte for byte."""

    def __init__(self, body: bytes) -> None:
        super().__init__("answered before")
        self.body = body


class Once:
    """One request under a key. `open` before each attempt at its transaction, `writes` in it."""

    def __init__(self, app: App, caller: Caller, key: str, request: bytes) -> None:
        """`request`: what must be the same for a repeat to be one. Raises InvalidRequest for what
        is no key.
        """
        if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
            raise InvalidRequest(
                f"`Idempotency-Key` must be 1 to {MAX_KEY} printable ASCII characters."
            )
        self._app = app
        self._digest = hashlib.sha256(key.encode()).hexdigest()
        self._place = keys.idempotency(caller.workspace_id, self._digest)
        self._fingerprint = hashlib.sha256(request).hexdigest()
        self._free = Condition("", "absent", reason="idempotency key is new")

    def open(self) -> None:
        """Raises Repeated where the request was answered in the last 24 hours, InvalidRequest where
        another one was, NotFound where what it made has been deleted.
        """
        item: Any = self._app.records.get([self._place])[0]
        if item is None:
            self._free = Condition("", "absent", reason="idempotency key is new")
        elif item["expires_at"] <= self._app.clock().timestamp():
            self._free = Condition(
                "expires_at", "==", item["expires_at"], "idempotency key expired"
            )
        elif item["fingerprint"] != self._fingerprint:
            raise InvalidRequest("This `Idempotency-Key` was used for another request.")
        else:
            raise Repeated(self._answer(item["home"]))

    def _answer(self, home: str) -> bytes:
        item: Any = self._app.records.get([self._answer_key(home)])[0]
        if item is None:
            raise NotFound("What this `Idempotency-Key` made has been deleted.")
        found: bytes = item["doc"]
        return found if item["blob"] is None else self._app.blobs.get(item["blob"])

    def writes(self, home: str, answer: WireModel) -> list[Write]:
        """The record and the answer, in the partition `home`; a large answer's bytes first."""
        expires = self._app.clock() + LIFETIME
        lasting: Item = {
            "expires_at": int(expires.timestamp()),
            "due": f"expire/{timestamp(expires)}",
        }
        record: Item = {"fingerprint": self._fingerprint, "home": home, **lasting}
        body = answer.model_dump_json().encode()
        stored: Item = {"doc": body, "blob": None}
        if len(body) > _MAX_ITEM:
            name = f"{home}/answer/{self._digest}/{hashlib.sha256(body).hexdigest()}"
            self._app.blobs.put(name, body)
            stored = {"doc": None, "blob": name}
        return [
            Write(self._place, put=record, conditions=(self._free,)),
            Write(self._answer_key(home), put={**stored, **lasting}),
        ]

    def _answer_key(self, home: str) -> Key:
        return Key(home, f"answer/{self._digest}")
