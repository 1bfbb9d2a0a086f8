"""Which sort keys a query asks for."""

from __future__ import annotations

from dataclasses import dataclass

_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


@dataclass(frozen=True, slots=True)
class SortKeys:
    """Those with `after < sk < before` (empty = open) that start with `prefix`."""

    after: str = ""
    before: str = ""
    prefix: str = ""

    def __contains__(self, sk: str) -> bool:
        return (
            self.after < sk and (not self.before or sk < self.before) and sk.startswith(self.prefix)
        )

    @property
    def low(self) -> str:
        """None of them is below it. `after` itself is none of them, `prefix` may be one."""
        return max(self.after, self.prefix)

    @property
    def high(self) -> str | None:
        """All of them are below it; None: no bound."""
        return min(filter(None, (self.before, after_prefix(self.prefix))), default=None)


def after_prefix(prefix: str) -> str | None:
    """The least text above all that start with `prefix`, in UTF-8 order; None: there is none."""
    while prefix:
        following = ord(prefix[-1]) + 1
        if following in _SURROGATES:
            following = _SURROGATES.stop
        if following <= _LAST_CHARACTER:
            return prefix[:-1] + chr(following)
        prefix = prefix[:-1]
    return None
