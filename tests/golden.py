"""What version 1 stored: files that are never written again, for they are what users have on their
disks.
"""

from __future__ import annotations

import json
from pathlib import Path

from freehold.keys import Key
from freehold.ports import Write

FOLDER = Path(__file__).parent / "unit" / "golden"


def read_golden(name):
    """A file of JSON. Its `items` are pairs of a key's parts and an item."""
    return json.loads((FOLDER / name).read_text(), object_hook=_decoded)


def _decoded(found):
    """Bytes are written as {"hex": …}."""
    return bytes.fromhex(found["hex"]) if "hex" in found else found


def put_items(records, golden):
    """Stores them as they were."""
    for place, item in golden["items"]:
        records.write([Write(Key(*place), put=item)])
