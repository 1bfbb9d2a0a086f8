"""Strings that are text. JSON carries halves of surrogate pairs too, which no log takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freehold.toolset import Json


def well_formed(value: Json) -> Json:
    """The value with a question mark for each half of a surrogate pair, names included."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="replace").decode()
    if isinstance(value, list):
        return [well_formed(element) for element in value]
    if isinstance(value, dict):
        return {str(well_formed(name)): well_formed(element) for name, element in value.items()}
    return value
