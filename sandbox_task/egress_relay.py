"""The one way out of a sandbox's empty network: what connects to 127.0.0.1:3128 is connected to the
session's socket of the egress proxy.

It runs beside the supervisor, as a process of its own that is no child: what the tools make it do
is not the supervisor's time, and not counted as theirs. It looks at no byte.
"""

# ruff: noqa: PTH118 - pathlib is slow to import

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from threading import BoundedSemaphore, Thread

PORT = 3128
_CHUNK_BYTES = 64 * 1024
_MOST_CONNECTIONS = 256
_NOBODY = 65534


def start(directory: str) -> None:
    """Connections are taken from now on, and passed to `directory`/socket for as long as this
    process lives. For a process that has no threads yet. Raises OSError when the port is taken.
    """
    listener = socket.create_server(("127.0.0.1", PORT), backlog=128)
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        # A grandchild: init, or whoever else adopts it, is its parent, and not the supervisor.
        if os.fork() == 0:
            os.close(theirs)
            _relay(listener, ours, os.path.join(directory, "socket"))
        os._exit(0)
    os.waitpid(child, 0)
    listener.close()
    os.close(ours)  # `theirs` stays open here alone, and ends with this process


def _relay(listener: socket.socket, lifeline: int, path: str) -> None:
    """Never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for standard in (0, 1):
        os.close(standard)  # whose end others wait for
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    free = BoundedSemaphore(_MOST_CONNECTIONS)
    while True:
        connection, _ = listener.accept()
        free.acquire()
        Thread(target=_pass_on, args=(connection, path, free), daemon=True).start()


def _end_with(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(0)


def _pass_on(connection: socket.socket, path: str, free: BoundedSemaphore) -> None:
    try:
        with connection, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as proxy:
            proxy.connect(path)
            back = Thread(target=_pump, args=(proxy, connection), daemon=True)
            back.start()
            _pump(connection, proxy)
            back.join()
    except OSError:
        pass  # without a proxy the client is hung up on
    finally:
        free.release()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Until one side ends; the other hears of it."""
    with suppress(OSError):
        while chunk := source.recv(_CHUNK_BYTES):
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
    # A side that is broken, not just done, ends the other direction as well.
    with suppress(OSError):
        source.shutdown(socket.SHUT_RD)
