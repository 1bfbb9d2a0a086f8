"""The files a session left in its workspace, read as what they are: untrusted.

A sandbox can leave a symbolic link to any path of the host, or a FIFO that blocks its reader.
Nothing here follows the one or opens the other.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePath

_LARGEST_TEXT = 64 * 1024
_MOST_FILES = 50


@dataclass(frozen=True, slots=True)
class WorkspaceFile:
    """A regular file: its path below the workspace, its size in bytes, and when it was written
    (nanoseconds).
    """

    path: str
    size: int
    written: int


def files_of(workspace: Path) -> list[WorkspaceFile]:
    """At most 50 regular files by path, hidden ones left out.

    Empty when the workspace does not exist.
    """
    found: list[WorkspaceFile] = []
    if not workspace.is_dir():
        return found
    for folder, folders, names, descriptor in os.fwalk(workspace, follow_symlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) and not name.startswith("."):
                path = str((Path(folder) / name).relative_to(workspace))
                found.append(WorkspaceFile(path, status.st_size, status.st_mtime_ns))
        if len(found) >= _MOST_FILES:
            break
    return sorted(found, key=lambda file: file.path)[:_MOST_FILES]


def newest_text(workspace: Path, files: list[WorkspaceFile]) -> tuple[WorkspaceFile, str] | None:
    """The file written last among those that are short UTF-8 text, with its text."""
    for file in sorted(files, key=lambda file: file.written, reverse=True):
        text = _text(workspace, file.path)
        if text is not None:
            return file, text
    return None


def _text(workspace: Path, path: str) -> str | None:
    """The text of a regular file, no symbolic link followed in any part of `path`; else None."""
    *folders, name = PurePath(path).parts
    descriptor = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        # O_NONBLOCK: a FIFO put in the file's place would otherwise hold this process for ever.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    with os.fdopen(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            return None
        data = opened.read(_LARGEST_TEXT + 1)
    try:
        return data.decode() if len(data) <= _LARGEST_TEXT else None
    except UnicodeDecodeError:
        return None
