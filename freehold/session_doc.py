"""What rarely changes about a session: its agent snapshot, title, metadata. One item beside the
counters of the log.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from freehold.documents import pack, unpack
from freehold.errors import NotFound
from freehold.keys import SessionKey
from freehold.ports import Blobs, Condition, Item, Records, Write
from freehold.wire.sessions import SessionAgent


class SessionDoc(BaseModel):
    """Read leniently: stored bytes outlive versions of this program."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

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
    """The write of revision `revision`; 0 creates."""
    unchanged = (
        Condition("revision", "==", revision - 1, "document as read")
        if revision
        else Condition("", "absent", reason="session is new")
    )
    item = {"revision": revision, **pack(blobs, key.doc(), doc)}
    return Write(key.doc(), put=item, conditions=(unchanged,))


def parse_doc(blobs: Blobs, item: Item) -> StoredDoc:
    """The document of an item."""
    revision = item["revision"]
    assert isinstance(revision, int)
    return StoredDoc(unpack(blobs, item, SessionDoc), revision)


def read_doc(records: Records, blobs: Blobs, key: SessionKey) -> StoredDoc:
    """Raises NotFound."""
    item = records.get([key.doc()])[0]
    if item is None:
        raise NotFound(f"Session {key.session_id} not found.")
    return parse_doc(blobs, item)
