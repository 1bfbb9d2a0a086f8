"""The one way out of a sandbox: what connects to it is connected to the egress proxy, by the
session's socket, or over the network where the supervisor has written down its address.

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

PROXY = "proxy"
"""A file with `host:port` of a proxy on the network, beside or in place of the `socket`."""
_CONNECT_SECONDS = 10.0
_CHUNK_BYTES = 64 * 1024
_MOST_CONNECTIONS = 256
_NOBODY = 65534


def start(directory: str, listen: str, source: str = "") -> None:
    """Connections to `listen` are taken from now on, and passed on as `directory` says, for as long
    as this process lives; over a network from the address `source`, by which the proxy knows the
    session. For a process that has no threads yet. Raises OSError when the port is taken.
    """
    host, _, port = listen.rpartition(":")
    listener = socket.create_server((host, int(port)), backlog=128)
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        # A grandchild: init, or whoever else adopts it, is its parent, and not the supervisor.
        if os.fork() == 0:
            os.close(theirs)
            _relay(listener, ours, directory, source)
        os._exit(0)
    os.waitpid(child, 0)
    listener.close()
    os.close(ours)  # `theirs` stays open here alone, and ends with this process


def _relay(listener: socket.socket, lifeline: int, directory: str, source: str) -> None:
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
        Thread(target=_pass_on, args=(connection, directory, source, free), daemon=True).start()


def _end_with(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(0)


def _pass_on(
    connection: socket.socket, directory: str, source: str, free: BoundedSemaphore
) -> None:
    try:
        with connection, _connected(directory, source) as proxy:
            back = Thread(target=_pump, args=(proxy, connection), daemon=True)
            back.start()
            _pump(connection, proxy)
            back.join()
    except OSError:
        pass  # without a proxy the client is hung up on
    finally:
        free.release()


def _connected(directory: str, source: str) -> socket.socket:
    """To the proxy that is written down now. Raises OSError."""
    address = _address(os.path.join(directory, PROXY))
    proxy = socket.socket(socket.AF_INET if address else socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if address:
            proxy.bind((source, 0))
            proxy.settimeout(_CONNECT_SECONDS)
        proxy.connect(address or os.path.join(directory, "socket"))
        proxy.settimeout(None)
    except OSError:
        proxy.close()
        raise
    return proxy


def _address(path: str) -> tuple[str, int] | None:
    """Of a proxy on the network. Nothing is imported here: nobody may be unable to read it."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        host, _, port = os.read(file, 64).decode().rpartition(":")
    finally:
        os.close(file)
    return host, int(port)


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
