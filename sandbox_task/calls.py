"""The calls of one boot: each is started once, joined as often as asked, and may be cancelled at
any time, before it came here included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING, Protocol

from freehold.toolset import INTERRUPTED
from sandbox_task.journal import CallKey
from sandbox_task.shell import Killed

if TYPE_CHECKING:
    from collections.abc import Callable

    from freehold.toolset import JsonObject
    from sandbox_task.journal import Journal
    from sandbox_task.output import LongResults
    from sandbox_task.trees import Tree


class DigestDiffers(Exception):
    """A call of this key was made before, and was another one."""


class UnknownCall(Exception):
    """Nobody asked for this call in this boot."""


class Tools(Protocol):
    """What carries a call out."""

    def run(self, running: Call, thread_id: str, name: str, given: JsonObject) -> JsonObject: ...


@dataclass(eq=False)
class Call:
    """One call while it runs and after. The journal keeps its result."""

    key: CallKey
    digest: str
    is_done: bool = False
    is_cancelled: bool = False
    tree: Tree | None = None
    lock: Lock = field(default_factory=Lock)

    def attach(self, tree: Tree) -> None:
        with self.lock:
            if self.is_cancelled:
                raise Killed(INTERRUPTED)
            self.tree = tree

    def detach(self) -> None:
        """What the tree does from now on is no longer this call's doing."""
        with self.lock:
            self.tree = None

    def cancel(self) -> None:
        with self.lock:
            self.is_cancelled = True
            tree = self.tree
        if tree is not None:
            tree.kill(INTERRUPTED)


class Calls:
    """Start or join, cancel, result."""

    def __init__(self, journal: Journal, tools: Tools, long_results: LongResults) -> None:
        self._journal = journal
        self._tools = tools
        self._long_results = long_results
        self._calls: dict[CallKey, Call] = {}
        self._done = Condition()

    def execute(
        self, key: CallKey, digest: str, name: str, given: JsonObject, wait: float
    ) -> JsonObject | None:
        """The result, or None when it is not there within `wait` seconds.

        Raises DigestDiffers.
        """
        with self._done:
            call = self._calls.get(key)
            if call is None:
                call = self._calls[key] = Call(key, digest)
                self._journal.note("started", key, digest)
                self._start(lambda: self._run(call, name, given))
        if call.digest != digest:
            raise DigestDiffers
        return self._await(call, wait)

    def result(self, key: CallKey) -> JsonObject | None:
        """Of a call that was started; None while it runs. Raises UnknownCall."""
        with self._done:
            call = self._calls.get(key)
        if call is None:
            raise UnknownCall
        return self._await(call, 0.0)

    def cancel(self, key: CallKey, digest: str) -> None:
        """Kills what runs. An unknown call is recorded, so that it is refused if it still comes.

        Raises DigestDiffers, and cancels nothing then.
        """
        with self._done:
            call = self._calls.get(key)
            if call is None:
                call = self._calls[key] = Call(key, digest)
        if call.digest != digest:
            raise DigestDiffers
        call.cancel()
        with self._done:
            if not call.is_done:
                self._journal.note("cancelled", key, digest)
                self._finish(call, _error(INTERRUPTED))

    def _await(self, call: Call, wait: float) -> JsonObject | None:
        with self._done:
            self._done.wait_for(lambda: call.is_done, wait)
            if not call.is_done:
                return None
            return self._journal.result(call.key) or _error("the result could not be kept")

    @staticmethod
    def _start(work: Callable[[], None]) -> None:
        Thread(target=work, daemon=True, name="call").start()

    def _run(self, call: Call, name: str, given: JsonObject) -> None:
        result = _error(f"{name}: the supervisor failed")
        try:
            found = self._tools.run(call, call.key.thread_id, name, given)
            result = self._shortened(found, call.key.event_id)
        finally:
            call.detach()
            with self._done:
                if not call.is_done:
                    self._finish(call, result)

    def _finish(self, call: Call, result: JsonObject) -> None:
        try:
            self._journal.put_result(call.key, result)
        finally:
            call.is_done = True
            self._done.notify_all()

    def _shortened(self, result: JsonObject, event_id: str) -> JsonObject:
        content = result["content"]
        assert isinstance(content, list)
        for block in content:
            if isinstance(block, dict) and isinstance(text := block.get("text"), str):
                block["text"] = self._long_results.shorten(text, event_id)
        return result


def _error(text: str) -> JsonObject:
    return {"content": [{"type": "text", "text": text}], "is_error": True}
