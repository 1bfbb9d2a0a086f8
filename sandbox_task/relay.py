"""Connects standard input and output to the supervisor's socket: `relay PATH`.

For a supervisor in a container without network, reached by running this inside it.
"""

from __future__ import annotations

import os
import socket
import sys
from threading import Thread

_CHUNK_BYTES = 64 * 1024


def main() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(sys.argv[1])
        Thread(target=_send, args=(connection,), daemon=True).start()
        while chunk := connection.recv(_CHUNK_BYTES):
            while chunk:
                chunk = chunk[os.write(1, chunk) :]


def _send(connection: socket.socket) -> None:
    while chunk := os.read(0, _CHUNK_BYTES):
        connection.sendall(chunk)
    connection.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main()
