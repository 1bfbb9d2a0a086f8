"""Directory trees that hostile programs have made, as a root that no link leads astray.

Nothing is followed, nothing of a special kind is opened, and what a tree holds is never run. The
task that owns it has stopped, so nobody changes it meanwhile.
"""

from __future__ import annotations

import os
import stat
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_KINDS = (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK)
_DEEP = 2000
"""Bytes of a path. The kernel takes 4096, and a name has 255."""


def pack(roots: dict[str, Path], into: BinaryIO) -> None:
    """Writes the trees as one compressed archive, each below its name. Sockets, FIFOs and devices
    are left out. Raises OSError.
    """
    with tarfile.open(fileobj=into, mode="w|gz", format=tarfile.PAX_FORMAT) as archive:
        for name, root in roots.items():
            for path, inside in _walk(root):
                archive.add(path, arcname=str(Path(name) / inside), recursive=False)


def unpack(from_: BinaryIO, roots: dict[str, Path], owner: int) -> None:
    """The inverse of `pack`, into directories that must not exist; all of it belongs to `owner`.
    Raises OSError and TarError, and leaves what it has made.
    """
    for root in roots.values():
        root.mkdir(mode=0o700)
    with tarfile.open(fileobj=from_, mode="r|gz") as archive:
        for member in archive:
            name, _, inside = member.name.partition("/")
            if inside and name in roots:
                _extract(archive, member, name, roots)
    for root in roots.values():
        for path, _ in _walk(root):
            os.chown(path, owner, owner, follow_symlinks=False)


def erase(root: Path, until: float) -> bool:
    """Deletes a tree, or as much of it as is gone by `until`, on the clock of `time.monotonic`.
    Whether nothing is left.
    """
    if not os.path.lexists(root):
        return True
    waiting = [root]
    while waiting:
        directory, below = waiting[-1], []
        with os.scandir(directory) as entries:
            for entry in entries:
                if time.monotonic() > until:
                    return False
                if entry.is_dir(follow_symlinks=False):
                    below.append(_raised(Path(entry.path), root))
                else:
                    Path(entry.path).unlink()
        if below:  # it is come back to when they are gone
            waiting += below
        else:
            waiting.pop().rmdir()
    return True


def _raised(directory: Path, root: Path) -> Path:
    """What lies too deep to be named is moved to the top, where it can be."""
    if len(os.fsencode(directory)) < _DEEP:
        return directory
    return directory.rename(root / os.urandom(8).hex())


def _extract(
    archive: tarfile.TarFile, member: tarfile.TarInfo, name: str, roots: dict[str, Path]
) -> None:
    """Below its root, whatever a link that was extracted before it says."""
    if member.islnk():
        linked, _, target = member.linkname.partition("/")
        if linked != name:
            return
        member = member.replace(linkname=target, deep=False)
    member = member.replace(name=member.name.partition("/")[2], deep=False)
    archive.extract(member, roots[name], filter="tar")


def _walk(root: Path) -> Iterator[tuple[Path, str]]:
    """Every file, directory and link, directories before what is in them, with its path inside."""
    yield root, ""
    waiting = [root]
    while waiting:
        directory = waiting.pop()
        with os.scandir(directory) as entries:
            for entry in entries:
                mode = entry.stat(follow_symlinks=False).st_mode
                if not any(is_kind(mode) for is_kind in _KINDS):
                    continue
                path = Path(entry.path)
                yield path, str(path.relative_to(root))
                if stat.S_ISDIR(mode):
                    waiting.append(path)
