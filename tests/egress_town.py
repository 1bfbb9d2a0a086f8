"""`python tests/egress_town.py SETTINGS… PROXY…`: a network of its own with a small internet in it,
and then the program PROXY, in the same process.

Needs `unshare --net --mount` around it. `93.184.216.34` serves a package index by HTTP and HTTPS;
and so does `93.184.216.35` to whoever is on this machine. `10.9.9.9` and `169.254.169.254` note who
comes. Names are answered, and noted, by a name server on loopback. Notes are lines of files in the
directory given.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PUBLIC, OWN, PRIVATE, METADATA = "93.184.216.34", "93.184.216.35", "10.9.9.9", "169.254.169.254"
NAMES = {
    "packages.example": [PUBLIC],
    "files.example": [PUBLIC],
    "ok.example": [PUBLIC],
    "inside.example": [PRIVATE],
    "credentials.example": [METADATA],
    "own.example": [OWN],
}
REBOUND = "rebound.example"


def note(directory, name, text):
    with (directory / name).open("a") as file:
        file.write(text + "\n")


def lay_out(directory):
    """Addresses, and what the machine's files say of names. Raises CalledProcessError."""
    (directory / "hosts").write_text("127.0.0.1 localhost\n")
    (directory / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    (directory / "nsswitch.conf").write_text("hosts: files dns\n")
    lines = [f"mount --bind {directory}/{n} /etc/{n}" for n in ("hosts", "resolv.conf")]
    lines += [f"mount --bind {directory}/nsswitch.conf /etc/nsswitch.conf", "ip link set lo up"]
    lines += [f"ip addr add {a}/32 dev lo" for a in (PUBLIC, OWN, PRIVATE, METADATA)]
    # From another address than the server's own, as it is with a server elsewhere.
    lines += [f"ip route replace local {PUBLIC} dev lo src {PRIVATE} table local"]
    subprocess.run(["sh", "-ec", "\n".join(lines)], check=True, stdout=sys.stderr)


def answer_names(directory, opened):
    rebound = iter([[PUBLIC]])
    while True:
        query, sender = opened.recvfrom(512)
        labels, place = [], 12
        while query[place]:
            labels.append(query[place + 1 : place + 1 + query[place]].decode())
            place += 1 + query[place]
        name, question = ".".join(labels), query[12 : place + 5]
        is_ipv4 = question[-4:-2] == b"\0\1"
        note(directory, "names", name)
        found = NAMES.get(name, []) if is_ipv4 else []
        if name == REBOUND and is_ipv4:
            found = next(rebound, [METADATA])
        head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(found), 0, 0)
        records = b"".join(
            b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(address) for address in found
        )
        opened.sendto(head + question + records, sender)


class Index(BaseHTTPRequestHandler):
    """`/simple/` as pip asks for it, files, a redirect, and a body that takes its time."""

    directory = Path()

    def do_GET(self):
        if self.path == "/simple/freehold-sample/":
            name = next(self.directory.glob("*.whl")).name
            page = f'<a href="https://files.example/{name}">{name}</a>'
            self._answer(page.encode(), "text/html")
        elif self.path.endswith((".whl", ".tar.gz", ".tgz", ".json")):
            self._answer_file(self.directory / self.path[1:])
        elif self.path == "/away":
            self.send_response(302)
            self.send_header("Location", f"http://{METADATA}/latest/meta-data/")
            self.end_headers()
        elif self.path == "/endless":
            self._answer(b"", length=1 << 30)
            self.wfile.write(b"begun")
            self.wfile.flush()
            note(self.directory, "begun", "one")
            self.connection.recv(1)
        else:
            self._answer(b"served")

    def _answer_file(self, path):
        if path.is_file():
            self._answer(path.read_bytes())
        else:
            self.send_error(404)

    def _answer(self, body, kind="application/octet-stream", length=None):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def watch(directory, address, port):
    """Notes who connects where nobody should."""
    listener = socket.create_server((address, port))
    while True:
        listener.accept()[0].close()
        note(directory, "trespassers", address)


def serve(directory):
    """All of the servers, on threads."""
    Index.directory = directory
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    plain, secured = (ThreadingHTTPServer((PUBLIC, port), Index) for port in (80, 443))
    own = ThreadingHTTPServer((OWN, 80), Index)
    secured.socket = context.wrap_socket(secured.socket, server_side=True)
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 53))
    jobs = [server.serve_forever for server in (plain, secured, own)]
    jobs.append(lambda: answer_names(directory, names))
    for job in jobs:
        threading.Thread(target=job).start()
    for address in (PRIVATE, METADATA, "127.0.0.1"):
        for port in (80, 443):
            threading.Thread(target=watch, args=(directory, address, port)).start()


def end_with_proxy(ended):
    """The kernel would not tell: a proxy that became nobody may signal no child of root's."""
    os.read(ended, 1)
    os._exit(0)


def main():
    directory, proxy = Path(sys.argv[1]), sys.argv[2:]
    lay_out(directory)
    ready, told = os.pipe()
    ended, held = os.pipe()
    os.set_inheritable(held, True)
    if os.fork() == 0:
        os.close(held)
        threading.Thread(target=end_with_proxy, args=(ended,)).start()
        os.close(0)
        os.dup2(2, 1)
        serve(directory)
        os.write(told, b"x")
        os.close(told)
        return
    os.read(ready, 1)
    os.close(ready)
    os.close(told)
    json.loads(proxy[-1])
    os.execv(proxy[0], proxy)


if __name__ == "__main__":
    main()
