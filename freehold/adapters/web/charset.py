"""The characters behind the bytes of a page."""

from __future__ import annotations

import codecs
import re

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_META = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.IGNORECASE | re.ASCII
)
_XML = re.compile(rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{1,40})""", re.ASCII)
_LOOKED_AT = 4096
_ALIASES = {"iso8859-1": "cp1252", "gb2312": "gb18030", "gbk": "gb18030"}
"""What pages mean by these names: the larger set that contains them."""
_KNOWN = re.compile(
    r"utf-8|utf-16(-[lb]e)?|cp125\d|cp866|cp874|iso8859-\d+|koi8-[ru]|mac-roman|shift_jis|cp932"
    r"|euc_jp|iso2022_jp|euc_kr|cp949|gb18030|big5|big5hkscs|tis-620"
)
"""Encodings of pages. Python knows others that are none: compressions, escapes, `idna`."""


def decode(data: bytes, declared: str | None = None) -> str:
    """The text of a page: by its byte order mark, the header's word, the page's own, UTF-8 where it
    is that, else as the web's oldest pages are. What has no meaning becomes U+FFFD.
    """
    for mark, name in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, "replace")
    named = _known(declared) or _known(_own_word(data))
    if named is not None and _fits(data, named):
        return data.decode(named, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(named or "cp1252", "replace")


def _own_word(data: bytes) -> str | None:
    found = _META.search(data[:_LOOKED_AT]) or _XML.match(data)
    word = found[1].decode() if found else None
    # A page that says so in ASCII cannot be in UTF-16.
    return "utf-8" if word and word.lower().startswith("utf-16") else word


def _known(name: str | None) -> str | None:
    """Python's name of an encoding of pages."""
    try:
        found = codecs.lookup(name or "").name
    except (LookupError, ValueError):
        return None
    found = _ALIASES.get(found, found)
    return found if _KNOWN.fullmatch(found) else None


def _fits(data: bytes, name: str) -> bool:
    """Whether the bytes can be that: a wrong word gives way to UTF-8."""
    try:
        data.decode(name)
    except UnicodeDecodeError:
        return False
    return True
