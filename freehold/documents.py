"""Documents as attributes of an item: their bytes, or the name of a blob where they are large."""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

from pydantic import BaseModel

from freehold.keys import Key
from freehold.ports import Blobs, Item

M = TypeVar("M", bound=BaseModel)

MAX_ITEM = 300_000


def pack(blobs: Blobs, key: Key, document: BaseModel) -> dict[str, Any]:
    """The document's attributes, always both: `doc`, or `blob` for a large one, written here first.

    The blob is named by its content, so that a repetition writes the same bytes to the same name.
    """
    body = document.model_dump_json().encode()
    if len(body) <= MAX_ITEM:
        return {"doc": body, "blob": None}
    name = f"{key.pk}/doc/{hashlib.sha256(body).hexdigest()}"
    blobs.put(name, body)
    return {"doc": None, "blob": name}


def unpack(blobs: Blobs, item: Item, model: type[M]) -> M:
    """The document of an item, read leniently: it may be older than this program, or newer."""
    stored: Any = item
    body = stored["doc"] if stored["doc"] is not None else blobs.get(stored["blob"])
    return model.model_validate_json(body, extra="ignore")
