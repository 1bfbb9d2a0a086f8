"""What rarely changes about a session: its agent snapshot, title, metadata. One item beside the
counters of the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from freehold.errors import NotFound
from freehold.keys import SessionKey
from freehold.ports import Blobs, Condition, Item, Records, Write
from freehold.wire.sessions import SessionAgent

MAX_ITEM = 300_000


class SessionDoc(BaseModel):
    """Read leniently: stored bytes outlive versions of this program."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    agent: SessionAgent
    environment_id: str
    title: str | None
    metadata: dict[str, str]
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class StoredDoc:
    """A document with the revision its next write conditions on."""

    doc: SessionDoc
    revision: int


def write_doc(blobs: Blobs, key: SessionKey, doc: SessionDoc, revision: int) -> Write:
    """The write of revision `revision`; 0 creates. A large document goes to a blob first, payload
    before pointer.
    """
    body = doc.model_dump_json().encode()
    item: dict[str, Any] = {"revision": revision, "doc": body}
    if len(body) > MAX_ITEM:
        name = f"{key.partition}/doc/{revision}/{doc.updated_at}"
        blobs.put(name, body)
        item = {"revision": revision, "blob": name}
    unchanged = (
        Condition("revision", "==", revision - 1, "document as read")
        if revision
        else Condition("", "absent", reason="session is new")
    )
    return Write(key.doc(), put=item, conditions=(unchanged,))


def parse_doc(blobs: Blobs, item: Item) -> StoredDoc:
    """The document of an item."""
    stored: Any = item
    body = stored["doc"] if "doc" in stored else blobs.get(stored["blob"])
    return StoredDoc(SessionDoc.model_validate_json(body, extra="ignore"), stored["revision"])


def read_doc(records: Records, blobs: Blobs, key: SessionKey) -> StoredDoc:
    """Raises NotFound."""
    item = records.get([key.doc()])[0]
    if item is None:
        raise NotFound(f"Session {key.session_id} not found.")
    return parse_doc(blobs, item)
