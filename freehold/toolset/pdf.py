"""What can be said of a PDF without reading its pages."""

from __future__ import annotations

import re

_MARK = b"%PDF-"
_MARK_WITHIN = 1024
_LOCK = re.compile(rb"/Encrypt\s*(\d+\s+\d+\s+R|<<)")
"""The entry of a trailer, by reference or in place; a page may well speak of /Encrypt."""


def is_pdf(data: bytes) -> bool:
    """Readers look for the mark in the first 1024 bytes."""
    return _MARK in data[:_MARK_WITHIN]


def is_encrypted(data: bytes) -> bool:
    """Whether it needs a password, which the Messages API has no place for."""
    return _LOCK.search(data) is not None
