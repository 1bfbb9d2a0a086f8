"""A prefix of packages as one archive: `python -m sandbox_task.package_archive WHAT PREFIX`, with
`pack` to standard output, `unpack` from standard input, or `clear`.

It runs as the user whom the prefix belongs to: the supervisor may neither read nor write there, and
whatever an archive does to who reads it, it does to that user. What packages brought has made the
tree, and a stranger may have made the archive: nothing is followed, and what is not plain ends it
all, because half a prefix is none.
"""

# ruff: noqa: PTH102, PTH115, PTH117, PTH118, PTH123, PTH208, PTH211 - pathlib is slow to import

from __future__ import annotations

import gzip
import os
import resource
import shutil
import stat
import sys
import tarfile
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

MAX_UNPACKED_BYTES = 1 << 30
MAX_ENTRIES = 100_000
_OF_AN_ENTRY = 4096
"""Bytes that headers of an entry take, padding included."""
_MEMORY_BYTES = 512 << 20
"""A name may be as long as an archive says."""
_DEEPEST = 100
_CHUNK = 1 << 20
_FASTEST = 1


class NotPlain(Exception):
    """A tree or an archive that is none of packages: it is too large, or leads elsewhere."""


def pack(prefix: str, into: BinaryIO) -> None:
    """The tree, without owners. Raises NotPlain, OSError."""
    total = 0
    with (
        gzip.GzipFile(fileobj=into, mode="wb", compresslevel=_FASTEST) as content,
        tarfile.open(fileobj=content, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for number, (path, name) in enumerate(_walk(prefix)):
            _check_amount(number + 1, total)
            status = os.lstat(path)
            member = tarfile.TarInfo(name)
            member.mtime, member.mode = int(status.st_mtime), status.st_mode & 0o755
            if stat.S_ISDIR(status.st_mode):
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
            elif stat.S_ISLNK(status.st_mode):
                _check_link(path, prefix)
                member.type, member.linkname = tarfile.SYMTYPE, os.readlink(path)
                archive.addfile(member)
            elif stat.S_ISREG(status.st_mode):
                member.size = status.st_size
                total += member.size
                _check_amount(number + 1, total)
                with open(path, "rb") as file:
                    archive.addfile(member, file)
            else:
                raise NotPlain(name)


def unpack(from_: BinaryIO, prefix: str) -> None:
    """The inverse, into an empty directory. Raises NotPlain, TarError, OSError, EOFError and
    MemoryError, and leaves what it has made.
    """
    directories, links, total = {""}, [], 0
    bounded = _Bounded(from_)
    with tarfile.open(fileobj=cast("BinaryIO", bounded), mode="r|") as archive:
        for number, member in enumerate(archive):
            total += member.size
            _check_amount(number + 1, total)
            path = _place(member.name, directories, prefix)
            if member.type == tarfile.DIRTYPE:
                os.mkdir(path, 0o755)
                directories.add(member.name)
            elif member.type == tarfile.SYMTYPE:
                os.symlink(member.linkname, path)
                links.append(path)
            elif member.type == tarfile.REGTYPE and not member.issparse():
                _write(archive, member, path)
            else:
                raise NotPlain(member.name)
    # One link may lead through another, so they are looked at when all are there; nothing was
    # written through any, since the parent of each entry is a directory that was made here.
    for path in links:
        _check_link(path, prefix)
    while bounded.read(_CHUNK):
        pass  # the checksum comes last


def clear(prefix: str) -> None:
    """Nothing is left in it. Raises OSError."""
    with os.scandir(prefix) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)  # noqa: PTH108 - as above


class _Bounded:
    """What a compressed archive becomes, of which there may be no more than a prefix has."""

    def __init__(self, compressed: BinaryIO) -> None:
        self._content = gzip.GzipFile(fileobj=compressed)
        self._left = MAX_UNPACKED_BYTES + MAX_ENTRIES * _OF_AN_ENTRY

    def read(self, size: int) -> bytes:
        found = self._content.read(size)
        self._left -= len(found)
        if self._left < 0:
            raise NotPlain("too large")
        return found


def _walk(prefix: str) -> Iterator[tuple[str, str]]:
    """Everything below, with its name, directories before what is in them."""
    waiting = [""]
    while waiting:
        above = waiting.pop()
        for entry in sorted(os.listdir(os.path.join(prefix, above))):
            name = f"{above}/{entry}" if above else entry
            path = os.path.join(prefix, name)
            yield path, name
            if stat.S_ISDIR(os.lstat(path).st_mode):
                waiting.append(name)


def _place(name: str, directories: set[str], prefix: str) -> str:
    """Where an entry goes: below a directory that was made from this archive."""
    above, _, last = name.rpartition("/")
    if above not in directories or last in {"", ".", ".."} or "\0" in name:
        raise NotPlain(name)
    if name.startswith("/") or name.count("/") > _DEEPEST:
        raise NotPlain(name)
    return f"{prefix}/{name}"


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
    content = archive.extractfile(member)
    assert content is not None
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb") as file:
        shutil.copyfileobj(content, file, _CHUNK)
        os.fchmod(file.fileno(), member.mode & 0o755)  # for the tools to read, not to change
    # Compiled modules are those of a source of that time.
    os.utime(path, (member.mtime, member.mtime))


def _check_link(path: str, prefix: str) -> None:
    root = os.path.realpath(prefix)
    target = os.path.realpath(path)
    if os.path.isabs(os.readlink(path)) or not target.startswith(f"{root}/"):
        raise NotPlain(path)


def _check_amount(entries: int, total: int) -> None:
    if entries > MAX_ENTRIES or total > MAX_UNPACKED_BYTES:
        raise NotPlain("too large")


def main() -> None:
    what, prefix = sys.argv[1:]
    # Standard error is the archive's pipe (`trees.Spawner`): a warning would be part of it.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    os.umask(0o022)
    if what == "pack":
        pack(prefix, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    elif what == "unpack":
        unpack(sys.stdin.buffer, prefix)
    else:
        clear(prefix)


if __name__ == "__main__":
    main()
