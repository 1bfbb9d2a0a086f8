"""Carries out one call: finds or starts the process it needs, and puts its outcome in words."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from freehold.toolset import BASH_TIMEOUT_MS, INTERRUPTED
from sandbox_task.managers import tool_environment
from sandbox_task.shell import Killed, Shell, ShellClosed
from sandbox_task.tool_hosts import HostDied, ToolHosts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from freehold.toolset import Json, JsonObject
    from sandbox_task.launch import Launcher
    from sandbox_task.settings import Settings
    from sandbox_task.trees import Tree
    from sandbox_task.watchdog import Watchdog


class Running(Protocol):
    """A call, as far as the toolbox must know it: somebody may want to stop it."""

    @property
    def is_cancelled(self) -> bool: ...

    def attach(self, tree: Tree) -> None:
        """Says what to kill. Raises Killed when the call has been cancelled."""


class ToolFailed(Exception):
    """The text is for the model."""


class _ThreadShell:
    """The shell of one thread and whose turn it is. Calls of one thread wait for each other."""

    def __init__(self) -> None:
        self.turn = Lock()
        self.shell: Shell | None = None


class Toolbox:
    """The tools of one session; calls may come from many threads at once."""

    def __init__(self, settings: Settings, launcher: Launcher, watchdog: Watchdog) -> None:
        self._packages = settings.packages
        self._environment = dict(settings.environment)
        self._launcher = launcher
        self._watchdog = watchdog
        self._shells: dict[str, _ThreadShell] = {}
        self._lock = Lock()
        self._hosts = ToolHosts(settings, self._launch)

    def add_to_environment(self, variables: Mapping[str, str]) -> None:
        """For processes that are started from now on."""
        self._environment = {**self._environment, **variables}

    def environment(self) -> dict[str, str]:
        """Of a process that is started now: packages may have come since the sandbox was."""
        return tool_environment(self._packages, self._environment)

    def run(self, running: Running, thread_id: str, name: str, given: JsonObject) -> JsonObject:
        """`content` and `is_error`. The input is good (`freehold.toolset.refusal`)."""
        try:
            if name != "bash":
                return self._run_file_tool(running, name, given)
            return _text(self._run_bash(running, thread_id, given), is_error=False)
        except ToolFailed as failed:
            return _text(str(failed), is_error=True)
        except (Killed, ShellClosed, TimeoutError) as failed:
            return _text(f"{name}: {failed}", is_error=True)
        except HostDied:
            return _text(f"{name}: the tool's process died", is_error=True)
        except OSError as error:
            return _text(f"{name}: cannot be started: {error.strerror}", is_error=True)

    def _launch(self, command: tuple[str, ...]) -> Tree:
        tree = self._launcher.launch(command, self.environment())
        self._watchdog.watch(tree)
        return tree

    # ------------------------------------------------------------ bash
    def _run_bash(self, running: Running, thread_id: str, given: JsonObject) -> str:
        with self._lock:
            thread = self._shells.setdefault(thread_id, _ThreadShell())
        with thread.turn:
            if running.is_cancelled:
                raise Killed(INTERRUPTED)
            if given.get("restart"):
                if thread.shell is not None:
                    thread.shell.close()
                thread.shell = Shell(self._launch)
                return "bash session restarted"
            command = given.get("command")
            if not isinstance(command, str) or not command:
                raise ToolFailed("bash: command is required")
            if thread.shell is None:
                thread.shell = Shell(self._launch)
            with self._attached(running, thread.shell.tree):
                finished = thread.shell.run(command, _seconds(given.get("timeout_ms")))
        if finished.code != 0:
            raise ToolFailed(finished.output)
        return finished.output

    @contextmanager
    def _attached(self, running: Running, tree: Tree) -> Iterator[None]:
        running.attach(tree)
        self._watchdog.begin(tree)
        try:
            yield
        finally:
            self._watchdog.end(tree)

    # ------------------------------------------------------------ files
    def _run_file_tool(self, running: Running, name: str, given: JsonObject) -> JsonObject:
        host = self._hosts.take()
        try:
            with self._attached(running, host.tree):
                result = host.call(name, given)
        except BaseException:
            host.tree.close()
            raise
        self._hosts.give_back(host)
        return result


def _seconds(timeout_ms: Json) -> float:
    """0 and nothing mean the default."""
    milliseconds = timeout_ms if isinstance(timeout_ms, int) and timeout_ms else BASH_TIMEOUT_MS
    return milliseconds / 1000.0


def _text(text: str, *, is_error: bool) -> JsonObject:
    return {"content": [{"type": "text", "text": text}], "is_error": is_error}
