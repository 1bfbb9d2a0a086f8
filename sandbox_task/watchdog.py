"""Limits on everything the tools of a session do together.

Limits of a single process are the kernel's (`ulimit`). What many processes hold together is counted
here, outside their reach: memory, how many they are, and what they leave on the disk. Whoever takes
most is killed with all it started, and its call fails with the reason.
"""

from __future__ import annotations

import os
import stat
import time
from threading import Condition
from typing import TYPE_CHECKING

from sandbox_task import processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_task.settings import Settings
    from sandbox_task.trees import Tree

_BUSY_SECONDS = 0.05
_BACKGROUND_SECONDS = 0.25
_RESCAN_SECONDS = 2.0
_KILL_SECONDS = 1.0
_RESCAN_COST = 20
"""A scan of the disk is repeated after at least this many times what it took."""
_NOTICED_BYTES = 64 << 20
_DEEPEST = 100
_MIB = 1 << 20


class Watchdog:
    """Watches trees while they do something; idle shells cost nothing."""

    def __init__(self, settings: Settings, own_processes: int) -> None:
        self._limits = settings.limits
        self._scratch = settings.scratch
        installed = (settings.packages,) if settings.installs or settings.installer_uid else ()
        self._disk = Disk((settings.places.workspace, settings.places.outputs, *installed))
        self._own_processes = own_processes
        self._trees: list[Tree] = []
        self._busy: set[Tree] = set()
        self._begun = False
        self._changed = Condition()
        self._used: int | None = None
        self._scanned_at = 0.0
        self._scan_seconds = 0.0
        self._free_at_start = 0
        self._free_at_scan = 0

    def watch(self, tree: Tree) -> None:
        """From now until it ends."""
        with self._changed:
            self._trees.append(tree)

    def begin(self, tree: Tree) -> None:
        """A call runs in it."""
        with self._changed:
            if not self._busy:
                self._free_at_start = self._disk.free()
            self._busy.add(tree)
            self._begun = True
            self._changed.notify()

    def end(self, tree: Tree) -> None:
        with self._changed:
            self._busy.discard(tree)

    def run(self) -> None:
        """Never returns. Looks a moment after a call began: most have ended by then."""
        pause: float | None = None
        while True:
            with self._changed:
                if pause is None:
                    self._changed.wait_for(lambda: self._begun)
                self._begun = False
            time.sleep(pause or _BUSY_SECONDS)
            with self._changed:
                trees = self._trees = [tree for tree in self._trees if not tree.has_ended]
            at_work = self._look(trees)
            with self._changed:
                pause = _BUSY_SECONDS if self._busy else _BACKGROUND_SECONDS if at_work else None

    def _look(self, trees: list[Tree]) -> bool:
        """Enforces the limits once; whether anything is at work besides waiting shells."""
        seen = processes.snapshot()
        members = {tree: processes.tree(seen, tree.root) for tree in trees}
        # What lost its parent belongs to no tree, but still to this process.
        everything = processes.tree(seen, os.getpid())[1:]
        tasks = sum(seen[pid].tasks for pid in everything)
        own = self._own_processes * len(trees)
        if tasks - own > self._limits.processes:
            self._kill(members, len, f"more than {self._limits.processes} processes and threads")
        elif self._memory_is_exceeded(seen, everything):
            limit = f"more than {self._limits.memory_bytes // _MIB} MiB of memory"
            self._kill(members, processes.own_memory, limit)
        elif (excess := self._disk_excess(everything)) is not None:
            with self._changed:
                victims = list(self._busy) or trees
            for tree in victims:
                tree.kill(excess)
        return len(everything) > own + len(trees)

    def _kill(
        self, members: dict[Tree, list[int]], size: Callable[[list[int]], int], what: str
    ) -> None:
        if not members:  # the roots have ended, and left something
            processes.kill_descendants(time.monotonic() + _KILL_SECONDS)
            return
        largest = max(members, key=lambda tree: size(members[tree]))
        largest.kill(f"the session used {what}; its processes were killed")

    def _memory_is_exceeded(self, seen: dict[int, processes.Process], pids: list[int]) -> bool:
        limit = self._limits.memory_bytes
        scratch = self._scratch_bytes()
        if sum(seen[pid].resident for pid in pids) + scratch <= limit:
            return False
        return processes.own_memory(pids) + scratch > limit

    def _scratch_bytes(self) -> int:
        if not self._scratch:
            return 0
        status = os.statvfs(self._scratch)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    # ------------------------------------------------------------ disk
    def _disk_excess(self, pids: list[int]) -> str | None:
        """Why the disk is the reason to kill, if it is.

        A session that is over its limit may still delete: only what grew is an excess.
        """
        free = self._disk.free()
        taken = self._free_at_start - free
        if self._busy and free < self._limits.free_disk_bytes and taken > _NOTICED_BYTES:
            return "the disk of this machine is nearly full; the session's processes were killed"
        if not self._is_scan_due(free):
            return None
        before, used = self._used, self._scan(pids)
        self._used = used
        self._free_at_scan = free
        if before is None or used <= max(self._limits.disk_bytes, before):
            return None
        return (
            "the session's files exceed its limits"
            f" ({self._limits.disk_bytes // _MIB} MiB, {self._limits.files} files);"
            " its processes were killed"
        )

    def _is_scan_due(self, free: int) -> bool:
        since = time.monotonic() - self._scanned_at
        pause = max(_RESCAN_SECONDS, self._scan_seconds * _RESCAN_COST)
        noticed = min(_NOTICED_BYTES, self._limits.disk_bytes // 4)
        return self._used is None or since > pause or self._free_at_scan - free > noticed

    def _scan(self, pids: list[int]) -> int:
        started = time.monotonic()
        used = self._disk.used(self._limits.files)
        used += processes.unlinked_bytes(pids, self._disk.device)
        self._scanned_at = time.monotonic()
        self._scan_seconds = self._scanned_at - started
        return used


class Disk:
    """What is stored below some directories of one file system."""

    def __init__(self, directories: tuple[str, ...]) -> None:
        self._directories = directories

    @property
    def device(self) -> int:
        return os.stat(self._directories[0]).st_dev  # noqa: PTH116 - pathlib is slow to import

    def free(self) -> int:
        status = os.statvfs(self._directories[0])
        return status.f_bavail * status.f_frsize

    def used(self, most_files: int) -> int:
        """Bytes of files, directories included; more than any disk holds where they are too many or
        nested too deep to count.
        """
        total = 0
        for directory in self._directories:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            counted, most_files = _used(descriptor, most_files, _DEEPEST)
            total += counted
        return total


def _used(directory: int, files_left: int, levels_left: int) -> tuple[int, int]:
    """Bytes below an open directory, which it closes, and how many files may still come.

    By descriptors, no link followed: the tools rearrange the tree meanwhile.
    """
    uncountable = 1 << 62
    total = 0
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                files_left -= 1
                if files_left < 0 or levels_left == 0:
                    return uncountable, files_left
                try:
                    status = entry.stat(follow_symlinks=False)
                    total += status.st_blocks * 512
                    if stat.S_ISDIR(status.st_mode):
                        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                        below = os.open(entry.name, flags, dir_fd=directory)
                        counted, files_left = _used(below, files_left, levels_left - 1)
                        total += counted
                except OSError:
                    continue  # gone since it was listed, or made unreadable by its owner
    finally:
        os.close(directory)
    return total, files_left
