"""Which Freehold this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def _installed() -> str:
    try:
        return version("freehold")
    except PackageNotFoundError:
        return "0+checkout"


VERSION = _installed()
