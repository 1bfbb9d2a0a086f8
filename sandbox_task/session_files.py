"""Files of a session, read and written by the supervisor for the server.

The tools own these directories and rearrange them while this runs: a directory becomes a link, a
file a FIFO. So a path is walked name by name from an open directory, no link is followed, and what
was opened is looked at, not what was named.
"""

# ruff: noqa: PTH123 - descriptors, not names, are safe here

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from sandbox_task.http_server import MAX_BODY_BYTES, Refused

if TYPE_CHECKING:
    from freehold.toolset import JsonObject

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LISTED = 10_000
_TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}


class SessionFiles:
    """`readable` and `writable` are absolute directories; every path lies below one of them."""

    def __init__(self, readable: tuple[str, ...], writable: tuple[str, ...]) -> None:
        self._readable = readable
        self._writable = writable

    def read(self, path: str) -> bytes:
        """A regular file. Raises Refused: 404 absent, 400 anything but a file under the roots, 413
        when it is too large.
        """
        directory, name = self._open_parent(path, self._readable)
        try:
            descriptor = os.open(
                name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory
            )
        except OSError as error:
            raise _refused(path, error) from error
        finally:
            os.close(directory)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise Refused(400, f"{path} is not a regular file")
        with open(descriptor, "rb") as file:
            content = file.read(MAX_BODY_BYTES + 1)
        if len(content) > MAX_BODY_BYTES:
            raise Refused(413, f"{path} is larger than {MAX_BODY_BYTES} bytes")
        return content

    def write(self, path: str, content: bytes) -> None:
        """Creates or replaces a regular file in one step, its directories included. Raises
        Refused.
        """
        directory, name = self._open_parent(path, self._writable, create=True)
        temporary = f".{os.urandom(8).hex()}.partial"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with open(os.open(temporary, flags, 0o644, dir_fd=directory), "wb") as file:
                file.write(content)
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError as error:
            raise _refused(path, error) from error
        finally:
            os.close(directory)

    def list(self, path: str) -> list[JsonObject]:
        """`name`, `type` and `size` of what is in a directory, by name. Raises Refused."""
        directory, name = self._open_parent(path + "/.", self._readable)
        assert name == "."
        try:
            with os.scandir(directory) as entries:
                found: list[tuple[str, str, int]] = []
                for entry in entries:
                    if len(found) == _MAX_LISTED:
                        raise Refused(413, f"{path} holds more than {_MAX_LISTED} entries")
                    status = entry.stat(follow_symlinks=False)
                    kind = _TYPES.get(stat.S_IFMT(status.st_mode), "other")
                    # A name that is no UTF-8 is shown, not handed back.
                    shown = os.fsencode(entry.name).decode(errors="replace")
                    found.append((shown, kind, status.st_size))
        except OSError as error:
            raise _refused(path, error) from error
        finally:
            os.close(directory)
        return [{"name": name, "type": kind, "size": size} for name, kind, size in sorted(found)]

    @staticmethod
    def _open_parent(path: str, roots: tuple[str, ...], *, create: bool = False) -> tuple[int, str]:
        """The directory that holds `path`, open, and the last name of it."""
        root = next((root for root in roots if path.startswith(root + "/")), None)
        if root is None or "\0" in path:
            raise Refused(400, f"paths begin with {' or '.join(roots)}")
        *folders, name = path[len(root) + 1 :].split("/")
        if any(folder in {"", ".", ".."} for folder in folders) or name in {"", ".."}:
            raise Refused(400, f"{path} is not a plain path")
        directory = os.open(root, _DIRECTORY)
        for folder in folders:
            try:
                if create:
                    _make(folder, directory)
                below = os.open(folder, _DIRECTORY, dir_fd=directory)
            except OSError as error:
                raise _refused(path, error) from error
            finally:
                os.close(directory)
            directory = below
        return directory, name


def _make(folder: str, directory: int) -> None:
    try:
        os.mkdir(folder, 0o755, dir_fd=directory)
    except FileExistsError:
        return


def _refused(path: str, error: OSError) -> Refused:
    if isinstance(error, FileNotFoundError):
        return Refused(404, f"{path} does not exist")
    return Refused(400, f"{path}: {error.strerror}")
