"""What a setting may be: types that check what is given, in words for who gave it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
)

from egress_proxy.host_names import plain_host
from freehold.list_prices import ListPrices, own_prices, read_own_prices, shipped_prices
from freehold.money import DOLLAR

_HTTP_URL = TypeAdapter(AnyHttpUrl, config=ConfigDict(defer_build=True))


def _sendable(key: SecretStr) -> SecretStr:
    """A key travels in a header; one that cannot would fail each request, and not say why."""
    text = key.get_secret_value()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be printable ASCII without spaces")
    return key


def _http_url(url: str) -> str:
    try:
        _HTTP_URL.validate_python(url)
    except ValidationError:
        raise ValueError("must be an http:// or https:// URL") from None
    return url.rstrip("/")


def _search_url(url: str) -> str:
    if "@" in urlsplit(_http_url(url)).netloc:
        raise ValueError("must hold no user name or password; FREEHOLD_SEARCH_KEY is sent along")
    return url


def _json_object(ids: object) -> object:
    """A variable holds it as text."""
    if not isinstance(ids, str):
        return ids
    try:
        return json.loads(ids)
    except ValueError:
        raise ValueError("must be a JSON object") from None


def daily_cap(dollars: str) -> int:
    """In units of `money`. Raises ValueError."""
    if not re.fullmatch(r"\d{1,9}(\.\d{1,2})?", dollars) or not Decimal(dollars):
        raise ValueError("must be an amount of US dollars above 0, such as 50 or 12.50")
    return int(Decimal(dollars) * DOLLAR)


def _daily_cap(given: object) -> object:
    """A number is in units of `money` already."""
    return daily_cap(given) if isinstance(given, str) else given


def _prices(given: object) -> object:
    """The path of an operator's table, or its text."""
    if isinstance(given, Path):
        return shipped_prices().with_own(read_own_prices(given))
    if isinstance(given, str):
        return shipped_prices().with_own(own_prices(given))
    return given


ModelProvider: TypeAlias = Literal["anthropic", "bedrock", "claude-platform-aws", "scripted"]
CacheTtl: TypeAlias = Literal["5m", "1h"]
Region: TypeAlias = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d{1,2}$")]
ModelIds: TypeAlias = Annotated[Mapping[str, str], BeforeValidator(_json_object)]


def _origin(text: str) -> str:
    """As browsers send it; anything else would never be equal to what they send."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or text != f"{parts.scheme}://{parts.netloc}".lower():
        raise ValueError("must be an origin, as https://app.example.com")
    if not parts.hostname or "*" in text or "@" in text:
        raise ValueError("must be the origin of one site")
    return text


Origin = Annotated[str, AfterValidator(_origin)]
"""Scheme, host and port of a web page."""


def _host(text: str) -> str:
    try:
        return plain_host(text)
    except ValueError:
        raise ValueError("must be names of hosts, without scheme, port or path") from None


def _range(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        raise ValueError("must be networks such as 10.0.0.0/8") from None


Host = Annotated[str, AfterValidator(_host)]
"""A plain name or address."""
Range = Annotated[str, AfterValidator(_range)]
HeaderSecret = Annotated[SecretStr, AfterValidator(_sendable)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
SearchUrl = Annotated[str, AfterValidator(_search_url)]
DailyCap = Annotated[int, BeforeValidator(_daily_cap)]
"""In units of `money`; a text is in US dollars."""
Prices = Annotated[ListPrices, BeforeValidator(_prices)]
