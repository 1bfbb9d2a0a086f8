"""The processes of this machine, or of this PID namespace, as /proc shows them.

What a process says about itself is not asked: parents, memory and states are the kernel's word.
Without /proc (macOS) there are none, and only process groups can be killed.
"""

# ruff: noqa: PTH116, PTH208 - pathlib is slow to import

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PAGE = os.sysconf("SC_PAGE_SIZE")
_PAUSE_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Process:
    """`resident` is in bytes and counts what is shared with others, so a sum can be too high.
    `tasks` is 1 and its further threads.
    """

    parent: int
    tasks: int
    resident: int
    is_dead: bool


def snapshot() -> dict[int, Process]:
    """Every process by its id. Those that end meanwhile may be missing."""
    found = {}
    with suppress(FileNotFoundError):
        for name in os.listdir("/proc"):
            if name.isdigit() and (process := _process(name)) is not None:
                found[int(name)] = process
    return found


def _process(pid: str) -> Process | None:
    text = _read(f"/proc/{pid}/stat")
    # The name stands in brackets and may itself contain brackets and spaces.
    fields = text.rpartition(b")")[2].split()
    if not fields:
        return None
    is_dead = fields[0] in {b"Z", b"X"}
    return Process(int(fields[1]), int(fields[17]), int(fields[21]) * _PAGE, is_dead)


def _read(path: str) -> bytes:
    """Empty for a process that has ended."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(file, 8192)
    except OSError:
        return b""
    finally:
        os.close(file)


def children() -> list[int]:
    """Of this process."""
    return [pid for pid, process in snapshot().items() if process.parent == os.getpid()]


def tree(processes: Mapping[int, Process], root: int) -> list[int]:
    """`root` and everything that descends from it, dead ones left out."""
    children: dict[int, list[int]] = {}
    for pid, process in processes.items():
        children.setdefault(process.parent, []).append(pid)
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        if pid in processes and not processes[pid].is_dead:
            found.append(pid)
        waiting += children.get(pid, ())
    return found


def own_memory(pids: Iterable[int]) -> int:
    """Bytes that belong to these processes alone, files they map left out; slower than `snapshot`,
    and exact.
    """
    total = 0
    for pid in pids:
        for line in _read(f"/proc/{pid}/status").splitlines():
            if line.startswith((b"RssAnon:", b"RssShmem:", b"VmSwap:")):
                total += int(line.split()[1]) * 1024
    return total


def unlinked_bytes(pids: Iterable[int], device: int) -> int:
    """Bytes of files on a device that have no name any more and are open in these processes."""
    sizes = {}
    for pid in pids:
        with suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    status = os.stat(f"/proc/{pid}/fd/{name}")
                    if status.st_nlink == 0 and status.st_dev == device:
                        sizes[status.st_ino] = status.st_blocks * 512
    return sum(sizes.values())


def kill_descendants(deadline: float) -> None:
    """Kills everything this process started, before it ends itself."""
    while time.monotonic() < deadline:
        victims = tree(snapshot(), os.getpid())[1:]
        if not victims:
            return
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)


def kill_tree(root: int, spared: Iterable[int], deadline: float) -> None:
    """Kills `root`, its process group and its descendants, those in sessions of their own included.

    Descendants whose parent ended have become children of this process; so every child that is not
    `spared` dies as well. Forks race with this, hence the repetition until nothing is left or
    `deadline` (monotonic seconds) has passed.
    """
    kept = {os.getpid(), *spared} - {root}
    while time.monotonic() < deadline:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(root, signal.SIGKILL)
        processes = snapshot()
        adopted = [
            pid
            for pid, process in processes.items()
            if process.parent == os.getpid() and pid not in kept and not process.is_dead
        ]
        victims = [pid for top in (root, *adopted) for pid in tree(processes, top)]
        if not victims:
            return
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)
