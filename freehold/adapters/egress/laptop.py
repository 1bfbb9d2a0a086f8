"""The egress proxy of this machine: a child process of the server, for all of its sandboxes."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets as random
import select
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from freehold.adapters.egress.control import EgressControl, ProxyRefused
from freehold.adapters.egress.policies import egress_policy
from freehold.adapters.egress.registries import Registries, registries
from freehold.ports import EgressSocket, Network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freehold.ports import Secrets
    from freehold.toolset import JsonObject

_log = logging.getLogger("freehold.egress")

EGRESS_UID = 10002
"""Runs the proxy of a server that is root; owns nothing else, and is not the sandboxes' user."""
_RUN = "import sys; sys.path[:0] = {path!r}; from egress_proxy.__main__ import main; main()"
_CONTROL = "control"
"""Its socket, beside the directories of the sessions; a session's id begins with `sesn_`."""
_START_SECONDS = 15.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0
_END_SECONDS = 5.0


def proxy_command() -> list[str]:
    """The program, without its settings. Nothing but itself, its dependencies and the standard
    library can be imported.
    """
    roots = [_root(module) for module in ("egress_proxy", "h11", "cryptography")]
    path = list(dict.fromkeys(str(root) for root in roots))
    return [sys.executable, "-I", "-S", "-c", _RUN.format(path=path)]


def _root(module: str) -> Path:
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None, module
    return Path(spec.origin).resolve().parents[1]


class LaptopEgress:
    """`Egress` by one proxy, which is started when first needed, again whenever it ends, and ends
    with this process. What it is told is kept here: a new one hears all of it.

    `directory` is its own, and emptied. `package_hosts` and `refused_ranges` are the operator's.
    """

    def __init__(
        self,
        directory: Path,
        secrets: Secrets,
        *,
        package_hosts: Sequence[str] = (),
        refused_ranges: Sequence[str] = (),
        command: Sequence[str] | None = None,
    ) -> None:
        self._directory = directory.absolute()
        self._secrets = secrets
        self._package_hosts = package_hosts
        self._refused_ranges = refused_ranges
        self._command = command
        self._uid = EGRESS_UID if os.geteuid() == 0 else None
        self._registries = Registries()
        self._lock = Lock()
        self._grants: dict[str, tuple[JsonObject, str]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._control: EgressControl | None = None
        self._watcher: Thread | None = None
        self._settled = Event()
        self._failure = ""
        self._closed = Event()

    # ------------------------------------------------------------ the port
    def open(self, session_id: str, network: Network) -> EgressSocket:
        """See `Egress`."""
        self._start()
        if not self._settled.wait(_START_SECONDS) or self._failure:
            raise OSError(self._failure or "the egress proxy did not start")
        directory = self._directory / session_id
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)  # its parent is for nobody; in a sandbox it stands alone
        self._give(directory)
        token = random.token_urlsafe(32)
        grant = (
            egress_policy(network, self._registries),
            hashlib.sha256(token.encode()).hexdigest(),
        )
        with self._lock:
            self._grants[session_id] = grant
            self._put(session_id)
        return EgressSocket(directory, token, self._registries.variables)

    def shut(self, session_id: str) -> None:
        """See `Egress`."""
        with self._lock:
            self._grants.pop(session_id, None)
            if self._control is not None:
                with suppress(OSError, ProxyRefused):  # a proxy that died has forgotten it
                    self._control.remove(session_id)
        shutil.rmtree(self._directory / session_id, ignore_errors=True)

    def close(self) -> None:
        """Ends the proxy. Nothing can be opened afterwards."""
        self._closed.set()
        with self._lock:
            process = self._process
        if process is not None:
            _end(process)
        if self._watcher is not None:
            self._watcher.join()
            shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def process_id(self) -> int | None:
        """Of the proxy that runs now."""
        with self._lock:
            return self._process.pid if self._process else None

    # ------------------------------------------------------------ what sessions reach
    def _put(self, session_id: str) -> None:
        """Raises OSError when the proxy refuses; one that has just died is told later."""
        if self._control is None:
            return
        policy, digest = self._grants[session_id]
        try:
            self._control.put(session_id, policy, digest, None)
        except ProxyRefused as refused:
            raise OSError(f"the egress proxy refused the session: {refused}") from refused
        except OSError:
            _log.warning("egress_lost", extra={"session_id": session_id})

    # ------------------------------------------------------------ the process
    def _start(self) -> None:
        with self._lock:
            if self._watcher is None and not self._closed.is_set():
                self._registries = registries(os.environ, self._package_hosts)
                shutil.rmtree(self._directory, ignore_errors=True)
                self._directory.mkdir(mode=0o700, parents=True)
                self._give(self._directory)
                self._watcher = Thread(target=self._watch, daemon=True, name="egress")
                self._watcher.start()

    def _give(self, directory: Path) -> None:
        if self._uid is not None:
            os.chown(directory, self._uid, self._uid)

    def _watch(self) -> None:
        """Runs one proxy after another."""
        pause = _FIRST_PAUSE
        while not self._closed.wait(pause if self._settled.is_set() else 0):
            try:
                process = self._launch()
            except OSError as error:
                self._failure = str(error)
                self._settled.set()
                _log.warning("egress_failed", extra={"reason": self._failure})
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            self._failure, pause = "", _FIRST_PAUSE
            self._settled.set()
            code = process.wait()
            _end(process)
            with self._lock:
                self._control = None
            if not self._closed.is_set():
                _log.warning("egress_ended", extra={"code": code})

    def _launch(self) -> subprocess.Popen[bytes]:
        """A proxy that listens and knows every session. Raises OSError."""
        process = subprocess.Popen(  # noqa: S603 - our own program
            [*(self._command or proxy_command()), json.dumps(self._settings())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={},
            cwd=self._directory,
            start_new_session=True,  # Ctrl-C is for the server, which then ends this
        )
        try:
            boot_id = _boot_id(process)
        except OSError:
            process.kill()
            _end(process)
            raise
        control = EgressControl(self._connect, self._secrets, boot_id)
        with self._lock:
            self._process, self._control = process, control
            if self._closed.is_set():
                _end(process)
            for session_id in self._grants:
                with suppress(OSError):  # refused now, as it was when it was opened
                    self._put(session_id)
        return process

    def _connect(self) -> socket.socket:
        """To the control socket of the proxy that runs now. Raises OSError."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # The path may be longer than an address can hold; that of a descriptor is not.
            short = Path(f"/proc/self/fd/{directory}")
            connection.connect(str((short if short.exists() else self._directory) / _CONTROL))
        except OSError:
            connection.close()
            raise
        finally:
            os.close(directory)
        return connection

    def _settings(self) -> JsonObject:
        return {
            "public_key": self._secrets.public_key().hex(),
            "control": _CONTROL,
            "sockets": ".",
            "refused_ranges": list(self._refused_ranges),
            "ends_with_input": True,
            "uid": self._uid,
        }


def _boot_id(process: subprocess.Popen[bytes]) -> str:
    """From the line a proxy prints once it listens. Raises OSError."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], _START_SECONDS)
    line = process.stdout.readline() if ready else b""
    try:
        return str(json.loads(line)["boot_id"])
    except (ValueError, KeyError, TypeError) as error:
        raise OSError("the egress proxy did not start; the server's log says why") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """Its standard input ends, and so does it. Safe to repeat."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(OSError):
        process.stdin.close()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
