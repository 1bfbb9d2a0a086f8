"""Fault injection over `Records`: fail before a write, after it, or hold it back to land later."""

from __future__ import annotations


class Killed(BaseException):
    """The process dies here. Not an Exception: nobody may catch it to carry on."""
