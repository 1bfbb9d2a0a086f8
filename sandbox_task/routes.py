"""What the supervisor answers.

    POST /execute   {thread_id, event_id, digest, name, input, wait}   {status: running | done, ...}
    POST /cancel    {calls: [{thread_id, event_id, digest}]}           {}
    GET  /result?thread_id=&event_id=                                  as /execute
    GET  /files?path=          a file's bytes
    PUT  /files?path=          stores the body as a file
    GET  /directory?path=      {entries: [{name, type, size}]}
    POST /install   {packages: {pip: [...]}, wait, begin}  {status: running | done, error, archive}
    GET  /packages             what was installed, as an archive, until a tool runs
    PUT  /packages?list=       the body in place of an installation of the list with that digest
    PUT  /egress    {proxy, token, variables}                          {}
    GET  /healthz              {session_id, boot_id}, unsigned

`/install` is all that a sandbox answers which has no session. One that has a session answers it
where it may install packages itself, and before its first call alone, and with it `/packages`; its
`archive` is `{digest, size}` where there is one. With `begin` false its status is `absent` where it
could begin.

A refusal is `{"error": ...}`: 401 not signed as it must be, 409 `boot`, `digest`, `packages`,
`archive` or `installing`, 400, 404, 413.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qs, urlsplit

from freehold.toolset import SANDBOX_TOOLS, WAIT_SECONDS, packages
from sandbox_task.calls import DigestDiffers, UnknownCall
from sandbox_task.http_server import Refused, Request, Response
from sandbox_task.installation import OtherPackages, StillInstalling
from sandbox_task.journal import CallKey
from sandbox_task.kept_prefix import ArchiveRefused, NotCleared

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from freehold.toolset import Json, JsonObject
    from sandbox_task.calls import Calls
    from sandbox_task.gate import Gate
    from sandbox_task.installation import Installation
    from sandbox_task.session_files import SessionFiles
    from sandbox_task.way_out import WayOut

_ID = re.compile(r"[A-Za-z0-9_]{1,100}\Z")
_ADDRESS = re.compile(r"[0-9.]{7,15}:[0-9]{1,5}\Z")
_HEALTH = ("GET", "/healthz")
_BRING = ("PUT", "/packages")
_Handler: TypeAlias = "Callable[[Request], Response]"


class _SignedRoutes:
    """The two halves of `http_server.serve`."""

    def __init__(
        self, gate: Gate, health: JsonObject, routes: Mapping[tuple[str, str], _Handler]
    ) -> None:
        self._gate = gate
        self._health = health
        self._routes = routes

    def admit(self, request: Request) -> bool:
        if (request.method, request.path) != _HEALTH:
            self._gate.admit(request)
        return _route_of(request) == _BRING

    def handle(self, request: Request) -> Response:
        if (request.method, request.path) == _HEALTH:
            return Response.json(self._health)
        if request.content is None:  # else by who reads it
            self._gate.check_body(request)
        route = self._routes.get(_route_of(request))
        if route is None:
            raise Refused(404, "no such route")
        return route(request)


class Routes(_SignedRoutes):
    """Of a session's sandbox."""

    def __init__(
        self,
        gate: Gate,
        calls: Calls,
        files: SessionFiles,
        way_out: WayOut,
        health: JsonObject,
        installation: Installation | None = None,
    ) -> None:
        self._calls = calls
        self._files = files
        self._way_out = way_out
        self._installation = installation
        routes: dict[tuple[str, str], _Handler] = {
            ("POST", "/execute"): self._execute,
            ("POST", "/cancel"): self._cancel,
            ("GET", "/result"): self._result,
            ("GET", "/files"): self._read_file,
            ("PUT", "/files"): self._write_file,
            ("GET", "/directory"): self._list_directory,
            ("PUT", "/egress"): self._lead_out,
        }
        if installation is not None:
            routes["POST", "/install"] = lambda request: _install(installation, request)
            routes["GET", "/packages"] = lambda _: _archive(installation)
            routes[_BRING] = lambda request: _bring(installation, request)
        super().__init__(gate, health, routes)

    def _execute(self, request: Request) -> Response:
        asked = _object(request)
        name, given, wait = asked.get("name"), asked.get("input"), _wait(asked)
        if name not in SANDBOX_TOOLS or not isinstance(given, dict):
            raise Refused(400, "name, input")
        key, digest = _key(asked), _string(asked, "digest")
        try:
            if self._installation is not None:
                self._installation.end_before_calls()
            result = self._calls.execute(key, digest, str(name), given, wait)
        except DigestDiffers:
            raise Refused(409, "digest") from None
        except StillInstalling:
            raise Refused(409, "installing") from None
        return _status(result)

    def _cancel(self, request: Request) -> Response:
        calls = _object(request).get("calls")
        if not isinstance(calls, list):
            raise Refused(400, "calls")
        differs = False
        for call in calls:
            if not isinstance(call, dict):
                raise Refused(400, "calls")
            try:
                self._calls.cancel(_key(call), _string(call, "digest"))
            except DigestDiffers:
                differs = True
        if differs:
            raise Refused(409, "digest")
        return Response.json({})

    def _result(self, request: Request) -> Response:
        try:
            key = CallKey(_query(request, "thread_id"), _query(request, "event_id"))
            return _status(self._calls.result(key))
        except UnknownCall:
            raise Refused(404, "no such call") from None

    def _read_file(self, request: Request) -> Response:
        content = self._files.read(_query(request, "path"))
        return Response(content, content_type="application/octet-stream")

    def _write_file(self, request: Request) -> Response:
        self._files.write(_query(request, "path"), request.body)
        return Response.json({})

    def _list_directory(self, request: Request) -> Response:
        entries: list[Json] = [*self._files.list(_query(request, "path"))]
        return Response.json({"entries": entries})

    def _lead_out(self, request: Request) -> Response:
        if not self._way_out.is_there:
            raise Refused(404, "no relay")
        asked = _object(request)
        variables = asked.get("variables")
        if not isinstance(variables, dict):
            raise Refused(400, "variables")
        named = {name: _string(variables, name) for name in variables}
        proxy = _string(asked, "proxy")
        if not _ADDRESS.match(proxy):
            raise Refused(400, "proxy")
        self._way_out.lead(proxy, _string(asked, "token"), named)
        return Response.json({})


class InstallRoutes(_SignedRoutes):
    """Of a sandbox that installs packages."""

    def __init__(self, gate: Gate, installation: Installation, health: JsonObject) -> None:
        routes = {("POST", "/install"): lambda request: _install(installation, request)}
        super().__init__(gate, health, routes)


def _install(installation: Installation, request: Request) -> Response:
    asked = _object(request)
    begin = asked.get("begin", True)
    if not isinstance(begin, bool):
        raise Refused(400, "begin")
    try:
        wanted = packages.parse(asked.get("packages"))
        if not begin and installation.may_begin:
            return Response.json({"status": "absent"})
        error = installation.join(wanted, _wait(asked))
    except ValueError:
        raise Refused(400, "packages") from None
    except OtherPackages:
        raise Refused(409, "packages") from None
    if error is None:
        return Response.json({"status": "running"})
    done: JsonObject = {"status": "done", "error": error}
    if (archive := installation.archive) is not None:
        done["archive"] = {"digest": archive.digest, "size": archive.size}
    return Response.json(done)


def _archive(installation: Installation) -> Response:
    archive = installation.archive
    if archive is None:
        raise Refused(409, "archive")
    try:
        file = open(archive.path, "rb")  # noqa: PTH123, SIM115 - slow to import; closed when sent
    except FileNotFoundError:  # a tool has just begun
        raise Refused(409, "archive") from None
    return Response(b"", content_type="application/gzip", file=file)


def _bring(installation: Installation, request: Request) -> Response:
    assert request.content is not None
    try:
        installation.fill(
            _query(request, "list"), request.content, request.headers["x-freehold-digest"]
        )
    except OtherPackages:
        raise Refused(409, "packages") from None
    except (ArchiveRefused, NotCleared):
        raise Refused(409, "archive") from None
    return Response.json({})


def _route_of(request: Request) -> tuple[str, str]:
    return request.method, urlsplit(request.path).path


def _status(result: JsonObject | None) -> Response:
    if result is None:
        return Response.json({"status": "running"})
    return Response.json({"status": "done", **result})


def _object(request: Request) -> JsonObject:
    try:
        value = json.loads(request.body)
    except ValueError:
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise Refused(400, "the body is not an object")
    return value


def _wait(given: JsonObject) -> float:
    wait = given.get("wait")
    if not isinstance(wait, int | float) or not 0 <= wait <= WAIT_SECONDS:
        raise Refused(400, "wait")
    return wait


def _key(given: JsonObject) -> CallKey:
    """Ids become names of files, so they are looked at."""
    key = CallKey(_string(given, "thread_id"), _string(given, "event_id"))
    if not (_ID.match(key.thread_id) and _ID.match(key.event_id)):
        raise Refused(400, "thread_id, event_id")
    return key


def _string(given: JsonObject, name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str):
        raise Refused(400, name)
    return value


def _query(request: Request, name: str) -> str:
    values = parse_qs(urlsplit(request.path).query).get(name, [])
    if len(values) != 1:
        raise Refused(400, name)
    return values[0]
