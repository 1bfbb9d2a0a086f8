"""The public web as a test has it: names with public addresses, and behind them servers on loopback
that say whatever the test wants, byte for byte.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from contextlib import suppress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from freehold.adapters.web import PublicWeb
from freehold.adapters.web.connections import Connections

PUBLIC = "93.184.216.34"


def http(body=b"", *, status="200 OK", **headers):
    """An answer as bytes; `Content_Type="…"` is the header of that name."""
    data = body.encode() if isinstance(body, str) else body
    given = {"Content-Length": len(data), **{k.replace("_", "-"): v for k, v in headers.items()}}
    lines = [f"{name}: {value}" for name, value in given.items() if value is not None]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + data


def html(body, **headers):
    return http(body, **{"Content_Type": "text/html; charset=utf-8", **headers})


def redirect(location, status="302 Found"):
    return http(status=status, Location=location)


class FakeInternet:
    """`pages` maps the start of a URL without its scheme to an answer, or to a function that is
    given the connection. `names` maps hosts to lists of answers of the resolver, the last of which
    stays. `dialled` is what was connected to, `requests` what was sent.
    """

    def __init__(self, pages=None, names=None, tls=None):
        self.pages = dict(pages or {})
        self.names = dict(names or {})
        self.dialled = []
        self.resolved = []
        self.requests = []
        self.gone = threading.Event()
        """Set when a client has closed a connection that a page held open."""
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()
        self._open = []

    def close(self):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    # ------------------------------------------------------------ what the adapter is given
    def resolve(self, host, port):
        self.resolved.append(host)
        answers = self.names.get(host, [[PUBLIC]])
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(found, Exception):
            raise found
        return found

    def dial(self, address, port, seconds):
        self.dialled.append((address, port))
        return socket.create_connection(self._listener.getsockname(), timeout=seconds)

    def connections(self, **options):
        tls = {"tls": lambda: options.pop("trust")} if "trust" in options else {}
        return Connections(resolve=self.resolve, dial=self.dial, **tls)

    def web(self, *, seconds=10.0, search_url=None, search_key=None, **options):
        return PublicWeb(
            search_url, search_key, connections=self.connections(**options), seconds=seconds
        )

    # ------------------------------------------------------------ the servers
    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            thread = threading.Thread(target=self._answer, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _answer(self, connection):
        with suppress(OSError, ssl.SSLError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            head = b""
            while b"\r\n\r\n" not in head:
                chunk = connection.recv(65536)
                if not chunk:
                    return
                head += chunk
            self.requests.append(head.decode())
            answer = self._page(head.decode())
            if callable(answer):
                answer(connection)
            else:
                connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
        connection.close()

    def _page(self, head):
        target = head.split(" ")[1]
        host = next(line[6:] for line in head.split("\r\n") if line.lower().startswith("host: "))
        place = host + target
        starts = [start for start in self.pages if place.startswith(start)]
        if not starts:
            return http("nothing here", status="404 Not Found")
        return self.pages[max(starts, key=len)]

    def hold(self, *parts, every=None):
        """A page that sends `parts` and then nothing, or the last of them again and again, until
        the client goes away.
        """

        def answer(connection):
            for part in parts:
                connection.sendall(part)
            connection.settimeout(every)
            while True:
                try:
                    if not connection.recv(1):
                        break
                except TimeoutError:
                    try:
                        connection.sendall(parts[-1])
                    except OSError:
                        break
                except OSError:
                    break
            self.gone.set()

        return answer


def certificate(directory, host):
    """A server's context for `host`, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    try:
        subject = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        subject = x509.DNSName(host)
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([subject]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = directory / f"{host}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))
