"""`glob` and `grep`. They run under the tools' identity, never in the supervisor."""

# ruff: noqa: PTH113, PTH114, PTH118, PTH123 - there are many paths, and os.walk answers text

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from freehold.toolset import (
    GREP_CPU_SECONDS,
    MAX_GLOB_PATHS,
    MAX_GREP_CHARACTERS,
    MAX_GREP_LINE_BYTES,
    MAX_WALKED_ENTRIES,
)
from sandbox_task.tool_paths import Reach, ToolFailure, canonical

if TYPE_CHECKING:
    from collections.abc import Iterator

_CUT = f"[output truncated at {MAX_GREP_CHARACTERS} bytes]"
_NOTHING = "no matches"
_BYTES_PER_CHARACTER = 4
_SNIFFED_BYTES = 512
_SKIPPED = (".git", "node_modules")


def glob(reach: Reach, pattern: str, path: str | None = None) -> str:
    """Paths, one a line, newest first. Raises ToolFailure."""
    if Path(pattern).is_absolute():
        raise ToolFailure(
            "glob: absolute pattern not permitted; pass a relative pattern (and optionally path)"
        )
    if ".." in PurePosixPath(pattern).parts:
        raise ToolFailure("glob: '..' is not permitted in the pattern")
    root = reach.resolve("glob", path) if path else Path(reach.workdir).resolve()
    try:
        found = list(islice(root.glob(pattern), MAX_WALKED_ENTRIES))
    except (ValueError, OSError) as error:
        raise ToolFailure(f"glob: {error}") from error
    # A link met in the middle of a pattern is followed; what it leads to outside is left out here.
    matches = [match for match in found if _is_inside(match, root)]
    matches.sort(key=_written, reverse=True)
    return "\n".join(str(match) for match in matches[:MAX_GLOB_PATHS]) or _NOTHING


def _is_inside(path: Path, root: Path) -> bool:
    try:
        return canonical(path).is_relative_to(root)
    except OSError:
        return False


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def grep(reach: Reach, pattern: str, path: str | None = None) -> str:
    """`path:line:text` lines, by ripgrep where there is one. Raises ToolFailure."""
    root = reach.resolve("grep", path) if path else Path(reach.workdir).resolve()
    ripgrep = shutil.which("rg")
    if ripgrep:
        return _ripgrep(ripgrep, pattern, root)
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ToolFailure(f"grep: invalid regex: {error}") from error
    with _cpu_limit():
        return _Hits().search(expression, root)


def _ripgrep(program: str, pattern: str, root: Path) -> str:
    command = [program, "--no-config", "-n", "--no-heading", "-e", pattern, "--", str(root)]
    with subprocess.Popen(  # noqa: S603 - the pattern is an argument of its own
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        # One byte more than what could be shown tells that there is more.
        shown = process.stdout.read(_BYTES_PER_CHARACTER * MAX_GREP_CHARACTERS + 1)
        if len(shown) > _BYTES_PER_CHARACTER * MAX_GREP_CHARACTERS:
            process.kill()
        elif process.wait() == 1:
            return _NOTHING
        elif process.returncode != 0:
            said = process.stderr.read().decode(errors="replace")
            raise ToolFailure(f"grep: rg failed: {said}")
    text = shown.decode(errors="replace")
    if len(text) > MAX_GREP_CHARACTERS:
        return f"{text[:MAX_GREP_CHARACTERS]}\n{_CUT}"
    return text


@contextmanager
def _cpu_limit() -> Iterator[None]:
    """Python's expressions backtrack: some patterns take longer than anybody lives."""

    def stop(_number: int, _frame: object) -> None:
        raise ToolFailure(f"grep: timed out after {GREP_CPU_SECONDS}s")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, GREP_CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


class _Full(Exception):
    """Nothing more fits into the answer."""


class _Hits:
    """The built-in search, for a sandbox without ripgrep."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._room = MAX_GREP_CHARACTERS

    def search(self, expression: re.Pattern[str], root: Path) -> str:
        try:
            for path in _searched(root):
                self._scan(expression, path)
        except _Full:
            self._lines.append(_CUT)
        return "\n".join(self._lines) or _NOTHING

    def _scan(self, expression: re.Pattern[str], path: str) -> None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                if b"\0" in file.read(_SNIFFED_BYTES):
                    return
                file.seek(0)
                for number, raw in enumerate(file, 1):
                    if len(raw) > MAX_GREP_LINE_BYTES:
                        continue
                    line = raw.decode(errors="replace").rstrip("\r\n")
                    if expression.search(line):
                        self._add(f"{path}:{number}:{line}")
        except OSError:
            return  # unreadable, or gone since it was listed: not found in

    def _add(self, line: str) -> None:
        self._room -= len(line) + 1
        if self._room < 0:
            raise _Full
        self._lines.append(line)


def _searched(root: Path) -> Iterator[str]:
    """Regular files below `root`, no link followed; or `root` itself."""
    if root.is_file():
        yield str(root)
        return
    seen = 0
    for folder, folders, names in os.walk(root):
        folders[:] = [
            name
            for name in folders
            if name not in _SKIPPED and not os.path.islink(os.path.join(folder, name))
        ]
        for name in names:
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            seen += 1
            if seen > MAX_WALKED_ENTRIES:
                return
            yield path
