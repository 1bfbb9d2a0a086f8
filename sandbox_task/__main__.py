"""`python -m sandbox_task SETTINGS`: the supervisor of one sandbox.

Says `{"boot_id": ...}` on standard output once it listens, and ends when standard input does: who
started it is gone then. In a task of its own nobody holds standard input; there SIGTERM ends it.
"""

# ruff: noqa: PTH102, PTH103, PTH119, PTH120, PTH123, PTH208 - pathlib is slow to import

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING

from sandbox_task import egress_relay, processes
from sandbox_task.calls import Calls
from sandbox_task.gate import Gate
from sandbox_task.http_server import serve
from sandbox_task.installation import Installation
from sandbox_task.journal import Journal
from sandbox_task.kept_prefix import KeptPrefix
from sandbox_task.launch import make_launcher
from sandbox_task.output import LongResults
from sandbox_task.routes import InstallRoutes, Routes
from sandbox_task.session_files import SessionFiles
from sandbox_task.settings import Settings, parse
from sandbox_task.toolbox import Toolbox
from sandbox_task.trees import Spawner
from sandbox_task.watchdog import Watchdog
from sandbox_task.way_out import WayOut

if TYPE_CHECKING:
    from collections.abc import Callable


_END_SECONDS = 2.0
_ETC = {
    "passwd": "agent:x:{uid}:{uid}:agent:{home}:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n",
    "group": "agent:x:{uid}:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n",
    "hostname": "sandbox\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def main() -> None:
    # Directories that were open to set the sandbox up would be ways out of it.
    for name in os.listdir("/dev/fd"):
        if int(name) > 2:  # noqa: PLR2004 - standard input, output and error
            with suppress(OSError):  # the listing's own is among them
                os.close(int(name))
    settings = parse(sys.argv[1])
    boot_id = settings.boot_id or f"boot_{os.urandom(16).hex()}"
    _prepare(settings)
    if settings.egress:
        egress_relay.start(settings.egress, settings.relay, _host(settings.listen))
    spawner = Spawner()
    launcher = make_launcher(settings, spawner)
    watchdog = Watchdog(settings, launcher.own_processes())
    gate = Gate(bytes.fromhex(settings.public_key), settings.session_id, boot_id)
    health = {"session_id": settings.session_id, "boot_id": boot_id}
    toolbox = Toolbox(settings, launcher, watchdog)
    routes: InstallRoutes | Routes
    if settings.installs:
        installation = Installation(settings, launcher, watchdog, toolbox.environment)
        routes = InstallRoutes(gate, installation, {**health})
    else:
        routes = Routes(
            gate,
            _calls(settings, toolbox),
            _files(settings),
            WayOut(settings, toolbox),
            {**health},
            _installation(settings, spawner, watchdog, toolbox),
        )
    listener = _listen(settings.listen)
    _stay(watchdog.run)
    if settings.ends_with == "signal":
        signal.signal(signal.SIGTERM, lambda *_: _end())  # PID 1 has no default for it
    else:
        _stay(_end_with_standard_input)
    _stay(lambda: serve(listener, routes.admit, routes.handle))
    sys.stdout.write(json.dumps(health) + "\n")
    sys.stdout.flush()
    spawner.run()


def _calls(settings: Settings, toolbox: Toolbox) -> Calls:
    return Calls(
        Journal(f"{settings.state}/journal"), toolbox, LongResults(settings.places.results)
    )


def _installation(
    settings: Settings, spawner: Spawner, watchdog: Watchdog, toolbox: Toolbox
) -> Installation | None:
    """Of a session's own sandbox, by a user of its own in a directory of its own."""
    if not settings.installer_uid:
        return None
    if settings.identity == "user":
        os.chown(settings.packages, settings.installer_uid, settings.installer_uid)
    apart = replace(
        settings,
        tools_uid=settings.installer_uid,
        places=replace(settings.places, workspace=settings.places.temporary),
    )
    launcher = make_launcher(apart, spawner)
    return Installation(
        apart,
        launcher,
        watchdog,
        toolbox.environment,
        KeptPrefix(apart, launcher, watchdog),
        (settings.places.workspace, settings.places.outputs, settings.places.uploads),
    )


def _files(settings: Settings) -> SessionFiles:
    places = settings.places
    return SessionFiles(
        readable=(places.workspace, places.outputs, places.uploads),
        writable=(places.workspace, places.uploads),
    )


def _stay(job: Callable[[], None]) -> None:
    """Runs `job` for as long as the supervisor runs, and no longer the other way round: without its
    watchdog a sandbox must not go on.
    """

    def run() -> None:
        try:
            job()
        except BaseException:  # noqa: BLE001 - whatever it was, what guards the sandbox is gone
            traceback.print_exc()
        os._exit(1)

    Thread(target=run, daemon=True).start()


def _prepare(settings: Settings) -> None:
    """What the tools' sandbox is made of and the host does not provide."""
    os.umask(0o022)
    if settings.egress:
        os.makedirs(settings.egress, exist_ok=True)  # where nothing is mounted
    if settings.identity != "bubblewrap":
        return
    os.mkdir(f"{settings.state}/etc")
    for name, text in _ETC.items():
        with open(f"{settings.state}/etc/{name}", "w", encoding="utf-8") as file:
            file.write(text.format(uid=settings.tools_uid, home=settings.places.workspace))
    for name in ("tmp", "shm"):
        os.mkdir(f"{settings.scratch}/{name}")


def _host(where: str) -> str:
    """The address of `host:port`; empty for a unix socket."""
    return "" if where.startswith("/") else where.rpartition(":")[0]


def _listen(where: str) -> socket.socket:
    """A unix socket for a path, else `host:port`."""
    if where.startswith("/"):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Relative, because the address of a unix socket holds 107 bytes.
        os.chdir(os.path.dirname(where))
        listener.bind(os.path.basename(where))
        os.chdir("/")
    else:
        host, _, port = where.rpartition(":")
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
    listener.listen(128)
    return listener


def _end_with_standard_input() -> None:
    while os.read(0, 1024):
        pass
    _end()


def _end() -> None:
    # Where no PID namespace ends with this process, nobody else would end what it started.
    processes.kill_descendants(time.monotonic() + _END_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    main()
