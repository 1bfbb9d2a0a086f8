"""Carries one signed request to one task's supervisor or to the egress proxy, and the answer back.

It lives in the sandboxes' network, holds no key and reads nothing of what it carries. It connects
to one port of each network's addresses, and knows the routes of what listens there and no others.
What a supervisor answers is bytes from a stranger.
"""

from __future__ import annotations

import http.client
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from freehold.ports import Blobs
from functions.dispatch.packages import PackageArchives, PackageCarrier

INLINE_BYTES = 1024 * 1024
MAX_ANSWER_BYTES = 64 * 1024 * 1024
_SECONDS = 40.0
"""A call is waited for 25 s (DESIGN 7)."""
SUPERVISOR = re.compile(
    "POST (/execute|/cancel|/install)|GET (/result|/files|/directory|/healthz)|PUT (/files|/egress)"
    "|(GET|PUT) /packages"
)
"""Its routes, and those of the proxy."""
EGRESS_PROXY = re.compile("GET /healthz|(PUT|DELETE) /sessions/[A-Za-z0-9_]{1,100}")
_SIGNED = "x-freehold-"
_OBJECTS = "transfers/"
_CARRIED = {"find", "keep", "bring"}


class NotForDispatch(Exception):
    """A request that names another place, route, header or object than it may. A defect."""


@dataclass(frozen=True, slots=True)
class Network:
    """Where supervisors are, or the proxy; `routes` are all that is asked there."""

    addresses: IPv4Network
    port: int
    routes: re.Pattern[str] = SUPERVISOR


def make_handler(
    networks: Sequence[Network], transfers: Blobs, archives: PackageArchives
) -> Callable[[Any, Any], dict[str, Any]]:
    """Takes `{address, method, path, headers, body | body_object, answer_object}`, answers
    `{status, body | body_object}` or `{unreachable}`. Bodies are in base64; what has more than 1 MB
    is in `transfers`. What `PackageCarrier` takes is between a supervisor and `archives`.
    """
    carrier = PackageCarrier(archives, lambda event: _connection(event, networks))

    def handler(event: Any, _context: Any) -> dict[str, Any]:
        if not event.keys().isdisjoint(_CARRIED):
            return _carried(carrier, event)
        _check_objects(event)
        connection = _connection(event, networks)
        if "body_object" in event:
            body = transfers.get(event["body_object"])
        else:
            body = b64decode(event["body"])
        try:
            status, answer = _exchange(event, body, connection)
        except (OSError, http.client.HTTPException) as error:
            return {"unreachable": type(error).__name__}
        if len(answer) <= INLINE_BYTES:
            return {"status": status, "body": b64encode(answer).decode()}
        transfers.put(event["answer_object"], answer)
        return {"status": status, "body_object": event["answer_object"]}

    return handler


def _carried(carrier: PackageCarrier, event: Any) -> dict[str, Any]:
    try:
        return carrier.carry(event)
    except (OSError, http.client.HTTPException) as error:
        return {"unreachable": type(error).__name__}


def outcome_of_dispatch(answer: Any) -> Mapping[str, str]:
    """For the log: the status, or that nobody answered."""
    if "unreachable" in answer:
        return {"outcome": "unreachable"}
    return {"outcome": str(answer["status"]) if "status" in answer else "packages"}


def _connection(event: Any, networks: Sequence[Network]) -> http.client.HTTPConnection:
    """To where it goes; not made yet. Raises NotForDispatch."""
    path, _, _ = event["path"].partition("?")
    address = IPv4Address(event["address"])
    network = next((one for one in networks if address in one.addresses), None)
    if network is None:
        raise NotForDispatch("address")
    if not network.routes.fullmatch(f"{event['method']} {path}"):
        raise NotForDispatch("route")
    if not all(name.startswith(_SIGNED) for name in event["headers"]):
        raise NotForDispatch("headers")
    return http.client.HTTPConnection(event["address"], network.port, timeout=_SECONDS)


def _check_objects(event: Any) -> None:
    """Raises NotForDispatch."""
    objects = (event["answer_object"], event.get("body_object", _OBJECTS))
    if not all(name.startswith(_OBJECTS) for name in objects):
        raise NotForDispatch("object")


def _exchange(event: Any, body: bytes, connection: http.client.HTTPConnection) -> tuple[int, bytes]:
    """Raises OSError and HTTPException when nobody answers, or not in HTTP."""
    try:
        connection.request(event["method"], event["path"], body, event["headers"])
        response = connection.getresponse()
        answer = response.read(MAX_ANSWER_BYTES + 1)
    finally:
        connection.close()
    if len(answer) > MAX_ANSWER_BYTES:
        raise http.client.HTTPException("too long")
    return response.status, answer
