"""An egress proxy in this process, between a client here and servers on loopback that stand for the
internet: names and addresses are the test's.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from egress_proxy.destinations import CHUNK_BYTES, Destinations
from egress_proxy.proxy import Proxy
from egress_proxy.settings import Limits, Settings
from freehold.adapters.egress.control import EgressControl
from freehold.adapters.local_secrets import LocalSecrets

PUBLIC = "93.184.216.34"
OPEN = {"mode": "unrestricted"}


def limited(*hosts, **lists):
    return {"mode": "limited", "hosts": list(hosts), **lists}


def basic(session_id, token):
    return base64.b64encode(f"{session_id}:{token}".encode()).decode()


class Internet:
    """`hosts` are the addresses of names; `servers` the loopback ports that answer for an address
    and port. What was asked for is kept.
    """

    def __init__(self):
        self.hosts = {}
        self.servers = {}
        self.resolved = []
        self.dialled = []

    def resolve(self, host, port):
        self.resolved.append(host)
        found = self.hosts.get(host)
        if found is None:
            raise OSError("no such name")
        return found() if callable(found) else found

    async def dial(self, address, port):
        self.dialled.append((address, port))
        if (address, port) not in self.servers:
            raise ConnectionRefusedError
        return await asyncio.open_connection(
            "127.0.0.1", self.servers[address, port], limit=CHUNK_BYTES
        )


class RunningProxy:
    """`proxy` serves on a thread; sessions are put by signed requests, as the server does."""

    def __init__(self, directory, internet, *, by_network=False, **limits):
        self.internet = internet
        self.directory = directory
        self.secrets = LocalSecrets(directory / "secret.key")
        settings = Settings(
            public_key=self.secrets.public_key().hex(),
            control="127.0.0.1:0",
            listen="127.0.0.1:0" if by_network else "",
            sockets="" if by_network else str(directory),
            refused_ranges=limits.pop("refused_ranges", ()),
            limits=Limits(**limits),
        )
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(settings)))
        self._thread.start()
        self._ready.wait()
        host, port = self.addresses[0].split(":")
        self.control_address = (host, int(port))
        self.control = EgressControl(
            lambda: socket.create_connection(self.control_address), self.secrets, self.boot_id
        )

    async def _run(self, settings):
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        places = Destinations(
            settings.refused_ranges,
            seconds=settings.limits.connect_seconds,
            resolve=self.internet.resolve,
            dial=self.internet.dial,
        )
        proxy = Proxy(settings, places)
        await proxy.start()
        self.boot_id, self.addresses = proxy.boot_id, proxy.addresses
        self._ready.set()
        await self._over.wait()
        proxy.close()

    def close(self):
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def put(self, session_id, policy, token="token", source=None):
        (self.directory / session_id).mkdir(exist_ok=True)
        digest = hashlib.sha256(token.encode()).hexdigest()
        self.control.put(session_id, policy, digest, source)

    def connect(self, session_id):
        """To the session's socket."""
        opened = socket.socket(socket.AF_UNIX)
        opened.settimeout(10)
        try:
            opened.connect(str(self.directory / session_id / "socket"))
        except OSError:
            opened.close()
            raise
        return opened


@contextmanager
def running(directory, internet, **settings):
    proxy = RunningProxy(directory, internet, **settings)
    try:
        yield proxy
    finally:
        proxy.close()


# ---------------------------------------------------------------- servers that stand for others
class Server:
    """A TCP server on loopback. `serve` gets each connection, on a thread of its own."""

    def __init__(self, serve, tls=None):
        self._serve = serve
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.accepted = 0
        self._open = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._open.append(connection)
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                self._serve(connection)
        except OSError:
            pass

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()
        self._thread.join()


def echo(connection):
    while chunk := connection.recv(65536):
        connection.sendall(chunk)


class Recorder:
    """Keeps what was sent, and answers each connection with `answer` once a head has come."""

    def __init__(self, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"):
        self.answer = answer
        self.seen = []

    def __call__(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(65536)
            if not chunk:
                break
            data += chunk
        connection.settimeout(0.2)
        try:
            while chunk := connection.recv(65536):
                data += chunk
        except TimeoutError:
            pass
        self.seen.append(data)
        connection.sendall(self.answer)


def authority(directory, *names):
    """The path of a CA's certificate, and a server's context with one of the CA's for `names`."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a CA of the tests")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(issuer)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = built.public_bytes(serialization.Encoding.PEM)
    certificate = directory / "ca.pem"
    certificate.write_bytes(pem)
    private = directory / "server.pem"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + pem
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(private)
    return certificate, context


# ---------------------------------------------------------------- clients
def head(connection):
    """Status, headers and what followed of it already."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            raise ConnectionResetError(data)
        data += chunk
    text, _, rest = data.partition(b"\r\n\r\n")
    lines = text.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), headers, rest


def everything(connection):
    """Until the other side ends."""
    data = b""
    try:
        while chunk := connection.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


def ask(connection, text, session_id="sesn_a", token="token"):
    """Sends a head, with who is asking, and answers status, headers and all of the body."""
    lines = f"{text}\r\nProxy-Authorization: Basic {basic(session_id, token)}\r\n\r\n"
    connection.sendall(lines.encode())
    status, headers, rest = head(connection)
    return status, headers, rest + everything(connection)


def open_tunnel(connection, host, session_id="sesn_a", token="token", port=443):
    """Status and headers of CONNECT; after 200 the connection is a tunnel."""
    return refused_tunnel(connection, host, session_id, token, port)[:2]


def refused_tunnel(connection, host, session_id="sesn_a", token="token", port=443):
    """The same, and what of the body has come already."""
    connection.sendall(
        f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Proxy-Authorization: Basic {basic(session_id, token)}\r\n\r\n".encode()
    )
    return head(connection)


def hello(server_name):
    """A ClientHello as OpenSSL sends it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if server_name is None:
        context.check_hostname = False
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=server_name).do_handshake()
    return outgoing.read()
