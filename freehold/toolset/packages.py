"""Packages of an environment: whose they are, in which order they are installed, and which words
are a package's (BEHAVIOUR 4).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from freehold.toolset import Json

MANAGERS = ("apt", "cargo", "gem", "go", "npm", "pip")
"""In the order in which they are run."""
MAX_PACKAGES = 200
"""Of one manager: what they say to it must fit one command."""
MAX_PACKAGE = 500
MAX_ARCHIVE_BYTES = 256 * 1024 * 1024
"""Of an installed list, compressed, that is kept for other sandboxes: what one function carries
within its time.
"""

Packages: TypeAlias = "dict[str, tuple[str, ...]]"
"""By manager, in the order of `MANAGERS`; managers without packages are left out."""

_PACKAGE = re.compile(r"[^-\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*\Z")


def is_package(text: str) -> bool:
    """Whether a manager can be asked for this. It becomes one argument, never a line of a shell; so
    what must not be is an option, or what no line of a log could show.
    """
    return len(text) <= MAX_PACKAGE and _PACKAGE.match(text) is not None


def in_order(lists: Mapping[str, Iterable[str]]) -> Packages:
    """Without the empty ones."""
    found = {manager: tuple(lists.get(manager, ())) for manager in MANAGERS}
    return {manager: names for manager, names in found.items() if names}


def fingerprint(packages: Packages) -> str:
    """The SHA-256 of the list in its order, in hexadecimal: what takes 8 kB at most to say."""
    return hashlib.sha256(json.dumps([*packages.items()]).encode()).hexdigest()


def parse(given: Json) -> Packages:
    """What was sent to a supervisor. Raises ValueError for anything but packages."""
    if not isinstance(given, dict) or not given or not set(given) <= set(MANAGERS):
        raise ValueError("packages")
    lists: dict[str, list[str]] = {}
    for manager, names in given.items():
        if not isinstance(names, list) or not 0 < len(names) <= MAX_PACKAGES:
            raise ValueError(manager)
        words = [name for name in names if isinstance(name, str) and is_package(name)]
        if len(words) != len(names):
            raise ValueError(manager)
        lists[manager] = words
    return in_order(lists)
