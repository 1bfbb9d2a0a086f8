"""The processes that run file tools, as the supervisor sees them."""

from __future__ import annotations

import json
from threading import Lock
from typing import TYPE_CHECKING

from sandbox_task.shell import Killed

if TYPE_CHECKING:
    from collections.abc import Callable

    from freehold.toolset import JsonObject
    from sandbox_task.settings import Settings
    from sandbox_task.trees import Tree

_MAX_ANSWER_BYTES = 48 * 1024 * 1024
"""More than the largest PDF in base64."""
_KEPT_IDLE = 2


class HostDied(Exception):
    """The process ended, or did not keep to the protocol."""


class ToolHost:
    """One process, for one call at a time."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    def call(self, name: str, given: JsonObject) -> JsonObject:
        """The result. Raises Killed or HostDied; the host is of no use then."""
        try:
            self._write(json.dumps({"name": name, "input": given}).encode() + b"\n")
            length = int.from_bytes(self._read(8), "big")
            return _checked(json.loads(self._read(length)))
        except (OSError, ValueError) as error:
            raise HostDied(str(error)) from error
        except HostDied:
            if self.tree.killed_because:
                raise Killed(self.tree.killed_because) from None
            raise

    def _write(self, line: bytes) -> None:
        left = memoryview(line)
        while left:
            try:
                left = left[self.tree.stdin.write(left) or 0 :]
            except BrokenPipeError:
                raise HostDied("ended") from None

    def _read(self, count: int) -> bytes:
        if count > _MAX_ANSWER_BYTES:
            raise HostDied("answered too much")
        found = bytearray()
        while len(found) < count:
            chunk = self.tree.stdout.read(min(count - len(found), 1 << 20))
            if not chunk:
                raise HostDied("ended")
            found += chunk
        return bytes(found)


def _checked(result: object) -> JsonObject:
    """The tools' identity may have been taken over: its answers are looked at. Raises HostDied."""
    if (
        isinstance(result, dict)
        and isinstance(result.get("content"), list)
        and isinstance(result.get("is_error"), bool)
    ):
        return {"content": result["content"], "is_error": result["is_error"]}
    raise HostDied("answered something else than a result")


class ToolHosts:
    """Hosts that wait for a call; as many as run at once are started, two are kept."""

    def __init__(self, settings: Settings, launch: Callable[[tuple[str, ...]], Tree]) -> None:
        places = settings.places
        reach = {
            "workdir": places.workspace,
            "roots": [places.uploads, places.outputs, places.results, places.temporary],
            "read_only": [places.uploads, places.results],
        }
        self._command = (*settings.tool_host, json.dumps(reach))
        self._launch = launch
        self._idle: list[ToolHost] = []
        self._lock = Lock()

    def take(self) -> ToolHost:
        """An idle host or a new one. Raises OSError."""
        with self._lock:
            while self._idle:
                host = self._idle.pop()
                if not host.tree.has_ended:
                    return host
                host.tree.close()
        return ToolHost(self._launch(self._command))

    def give_back(self, host: ToolHost) -> None:
        """After a call that ended well."""
        with self._lock:
            if len(self._idle) < _KEPT_IDLE and not host.tree.has_ended:
                self._idle.append(host)
                return
        host.tree.close()
