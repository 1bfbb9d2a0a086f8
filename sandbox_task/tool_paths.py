"""Which files the file tools reach: the working directory and a few roots beside it.

These checks keep the tools to their contract. What keeps them from the host is the sandbox around
them.
"""

# ruff: noqa: PTH115, PTH118 - what a link says is text

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

_MAX_LINKS = 40
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


class ToolFailure(Exception):
    """A failed call. The text is for the model."""


@dataclass(frozen=True, slots=True)
class Reach:
    """`roots` besides `workdir`; what is under one of `read_only` is not written."""

    workdir: str
    roots: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()

    def resolve(self, tool: str, given: str) -> Path:
        """The canonical path of `given`, every symbolic link followed, so that a link that leads
        out is refused. What does not exist yet is kept as spelled. Raises ToolFailure.
        """
        workdir = Path(self.workdir).resolve()
        path = Path(given)
        try:
            full = canonical(path if path.is_absolute() else workdir / path)
        except OSError as error:
            raise ToolFailure(f"{tool}: path {given!r}: {reason(error)}") from error
        except ValueError as error:
            raise ToolFailure(f"{tool}: {error}") from error
        allowed = (workdir, *(Path(root).resolve() for root in self.roots))
        if any(full.is_relative_to(root) for root in allowed):
            return full
        beside = " and its other permitted directories" if self.roots else ""
        raise ToolFailure(
            f"{tool}: path {given!r} is outside the session's working directory{beside}"
        )

    def check_writable(self, tool: str, given: str, path: Path) -> None:
        """Raises ToolFailure for a path below a read-only root."""
        for root in self.read_only:
            if path.is_relative_to(Path(root).resolve()):
                raise ToolFailure(f"{tool}: {given} is inside read-only directory {root}")


def canonical(path: Path) -> Path:
    """`path` with `..` collapsed as text and every link followed, also one that leads to nothing.
    Raises OSError.

    Not `Path.resolve`, which answers a loop of links differently from version to version.
    """
    known = Path(os.path.normpath(path))
    missing: list[str] = []
    for _ in range(_MAX_LINKS + 1):
        known, found = _existing_part(known, missing)
        if found is not None:
            return found.joinpath(*reversed(missing))
        parent = os.path.realpath(known.parent, strict=True)
        target = os.path.join(parent, os.readlink(known), *reversed(missing))
        known = Path(os.path.normpath(target))
        missing.clear()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _existing_part(path: Path, missing: list[str]) -> tuple[Path, Path | None]:
    """The longest part of `path` that exists, resolved; or a link in it that leads to nothing, and
    None. The names after that part are put in `missing`, the last one first.
    """
    while True:
        try:
            return path, path.resolve(strict=True)
        except RuntimeError:  # how Python before 3.13 reports a loop
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            unresolved = error
        try:
            is_link = stat.S_ISLNK(os.lstat(path).st_mode)
        except OSError as error:
            if error.errno not in _ABSENT or path.parent == path:
                raise
            missing.append(path.name)
            path = path.parent
            continue
        if is_link:
            return path, None
        raise unresolved


_REASONS: tuple[tuple[type[OSError], str], ...] = (
    (FileNotFoundError, "no such file or directory"),
    (NotADirectoryError, "not a directory"),
    (IsADirectoryError, "is a directory"),
    (PermissionError, "permission denied"),
    (FileExistsError, "file already exists"),
)


def reason(error: OSError) -> str:
    """The same few words on every system, without a path."""
    for kind, words in _REASONS:
        if isinstance(error, kind):
            return words
    if error.errno == errno.ELOOP:
        return "too many levels of symbolic links"
    return (error.strerror or "i/o error").lower()


def failure(tool: str, given: str, error: OSError) -> ToolFailure:
    """An operating system error in the words of a tool."""
    return ToolFailure(f"{tool}: {given}: {reason(error)}")
