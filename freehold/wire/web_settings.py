"""What the web tools may be restricted to (BEHAVIOUR 3.5). Messages name the list and the entry."""

import re
from collections.abc import Sequence
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import WithJsonSchema

from freehold.wire.refusals import InvalidField

MAX_DOMAINS = 64
MAX_DOMAIN = 255
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\Z", re.IGNORECASE)
_EXAMPLE = 'provide a plain hostname like "example.com"'
_LOCAL = ("localhost", "local", "internal", "localdomain", "invalid")
_REGISTRY_LABELS = ("ac", "co", "com", "edu", "gov", "mil", "net", "org")
_COUNTRY_CODE = 2
_PATH_FORBIDDEN = set(" ?#$,|^!")
_COUNTRIES = frozenset(  # ISO 3166-1 alpha-2
    re.findall(
        "[A-Z]{2}",
        "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ "
        "BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM "
        "DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS "
        "GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN "
        "KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ "
        "MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM "
        "PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV "
        "SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI "
        "VN VU WF WS YE YT ZA ZM ZW",
    )
)


Domains = Annotated[
    list[str],
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": MAX_DOMAIN},
            "minItems": 1,
            "maxItems": MAX_DOMAINS,
        }
    ),
]
"""Its bounds are checked by `check_domain_lists`, in the API's words."""


def check_domain_lists(
    allowed: Sequence[str] | None, blocked: Sequence[str] | None, *, paths: bool
) -> None:
    """Raises InvalidField. `paths`: an entry may go on after the host (web_search)."""
    if allowed is not None and blocked is not None:
        raise ValueError("Only one of allowed_domains or blocked_domains may be set.")
    for name, domains in (("allowed_domains", allowed), ("blocked_domains", blocked)):
        if domains is not None:
            _check_list(name, domains, paths=paths)


def _check_list(name: str, domains: Sequence[str], *, paths: bool) -> None:
    if not domains:
        raise InvalidField(
            name, "Empty list of domains is ambiguous. Provide at least one domain or null."
        )
    if len(domains) > MAX_DOMAINS:
        raise InvalidField(name, f"at most {MAX_DOMAINS} domains are allowed")
    seen = set()
    for n, domain in enumerate(domains):
        problem = _problem(domain, paths=paths)
        plain = domain.lower().removesuffix("/")
        if problem is None and plain in seen:
            problem = "duplicate domain"
        if problem:
            raise InvalidField(f"{name}.{n}", problem)
        seen.add(plain)


def _problem(domain: str, *, paths: bool) -> str | None:
    """Why an entry is refused, or None."""
    if not 1 <= len(domain) <= MAX_DOMAIN:
        return f"domains have 1 to {MAX_DOMAIN} characters"
    if "://" in domain:
        return f"schemes are not supported; {_EXAMPLE}"
    host, slash, path = domain.partition("/")
    if path and (not paths or _PATH_FORBIDDEN & set(path)):
        return f"paths are not supported; {_EXAMPLE}" if not paths else "the path is not supported"
    if slash and not host:
        return _EXAMPLE
    return _host_problem(host.lower())


def _host_problem(host: str) -> str | None:
    labels = host.split(".")
    registry = len(labels) == 1 or (
        len(labels) == 2  # noqa: PLR2004 - a name right below a country's domain
        and len(labels[1]) == _COUNTRY_CODE
        and labels[0] in _REGISTRY_LABELS
    )
    address = host.startswith("[") or host.count(":") > 1 or _is_number(labels[-1].split(":")[0])
    refused = (
        ("@" in host, "credentials"),
        ("*" in host, "wildcards"),
        (not host.isascii(), "non-ASCII names"),
        (address, "IP addresses"),
        (":" in host, "ports"),
        (labels[-1] in _LOCAL, "local names"),
        (not all(_LABEL.match(label) for label in labels), "other forms"),
        (registry, "registry suffixes"),
    )
    found = next((what for holds, what in refused if holds), None)
    return f"{found} are not supported; {_EXAMPLE}" if found else None


def _is_number(label: str) -> bool:
    """Whether a host that ends in this label is an address: decimal, octal or hexadecimal."""
    return label.isdigit() or re.fullmatch(r"0x[0-9a-f]*", label) is not None


def check_country(country: str | None) -> None:
    """Raises InvalidField unless it is an ISO 3166-1 alpha-2 code in capitals."""
    if country is not None and country not in _COUNTRIES:
        raise InvalidField("user_location.country", "not a country the search provider supports")


def check_timezone(timezone: str | None) -> None:
    """Raises InvalidField unless it is an IANA name."""
    if timezone is None:
        return
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidField("user_location.timezone", "not an IANA timezone") from None
