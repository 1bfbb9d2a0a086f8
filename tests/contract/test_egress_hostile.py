"""Clients of the egress proxy that do not keep to any protocol. Each costs one closed connection,
nothing reaches a server, and another session is served.
"""

from __future__ import annotations

import random
import socket
import sys
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from threading import Event

import pytest

from egress_proxy import client_hello
from egress_proxy.client_hello import ClientHello, NotTls
from freehold.testing.sandbox_calls import eventually
from tests.egress import (
    OPEN,
    PUBLIC,
    Internet,
    Recorder,
    Server,
    basic,
    echo,
    everything,
    head,
    hello,
    limited,
    open_tunnel,
    running,
)

WHO = f"Proxy-Authorization: Basic {basic('sesn_a', 'token')}"
HELLO = hello("ok.example")


@pytest.fixture
def internet():
    made = Internet()
    made.hosts = {"ok.example": [PUBLIC]}
    return made


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def servers(internet, recorder):
    with closing(Server(echo)) as tunnelled, closing(Server(recorder)) as plain:
        internet.servers = {(PUBLIC, 443): tunnelled.port, (PUBLIC, 80): plain.port}
        yield tunnelled, plain


@pytest.fixture
def proxy(tmp_path, internet, servers):
    with running(tmp_path, internet, head_seconds=1, connections=8) as made:
        made.put("sesn_a", limited("ok.example"))
        made.put("sesn_b", OPEN)
        yield made
        assert _is_served(made, "sesn_b")


def _is_served(proxy, session_id):
    with closing(proxy.connect(session_id)) as connection:
        if open_tunnel(connection, "ok.example", session_id)[0] != 200:
            return False
        connection.sendall(HELLO)
        return connection.recv(1) == HELLO[:1]


def answer(proxy, data):
    with closing(proxy.connect("sesn_a")) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the proxy has heard enough
        return everything(connection)


# ---------------------------------------------------------------- heads
@pytest.mark.parametrize(
    "line",
    [
        "CONNECT ok.example HTTP/1.1",
        "CONNECT ok.example: HTTP/1.1",
        "CONNECT ok.example:443:443 HTTP/1.1",
        "CONNECT ok.example:0x1bb HTTP/1.1",
        "CONNECT ok.example:+443 HTTP/1.1",
        "CONNECT ok.example:443@other.example:443 HTTP/1.1",
        "CONNECT other.example@ok.example:443 HTTP/1.1",
        "CONNECT ok.example/../:443 HTTP/1.1",
        "CONNECT ok.example%00:443 HTTP/1.1",
        "CONNECT ok_.example..:443 HTTP/1.1",
        "CONNECT [ok.example]:443 HTTP/1.1",
        "CONNECT [::1:443 HTTP/1.1",
        "CONNECT https://ok.example:443 HTTP/1.1",
        "CONNECT :443 HTTP/1.1",
        "CONNECT * HTTP/1.1",
        "GET / HTTP/1.1",
        "GET https://ok.example/ HTTP/1.1",
        "GET ftp://ok.example/ HTTP/1.1",
        "GET http:ok.example/ HTTP/1.1",
        "GET http:///ok.example HTTP/1.1",
        "GET http://user:pass@ok.example/ HTTP/1.1",
        "GET http://ok.example#@other.example/ HTTP/1.1",
        "GET http://ok.example\\@other.example/ HTTP/1.1",
        "GET http://other.example/ HTTP/1.1",
        "GET * HTTP/1.1",
        "PRI * HTTP/2.0",
        "GET http://ok.example/ HTTP/3.0",
        "get\thttp://ok.example/ HTTP/1.1",
    ],
)
def test_a_line_that_names_no_host_or_two_is_refused(proxy, servers, line):
    said = answer(proxy, f"{line}\r\nHost: ok.example\r\n{WHO}\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 4")
    assert [server.accepted for server in servers] == [0, 0]


SMUGGLING = [
    "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 5, 6",
    "Content-Length: +5",
    "Content-Length: 0x5",
    "Content-Length: -1",
    "Content-Length : 5",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding:\x0bchunked",
    "Connection: content-length\r\nContent-Length: 5",
    "Connection: host",
    "Host: other.example",
    "Host: ok.example:443",
    "X\x00: y",
    "Bad Name: y",
]


@pytest.mark.parametrize("header", SMUGGLING)
def test_a_message_that_could_have_two_ends_is_refused(proxy, recorder, header):
    given = "" if header.startswith("Host:") else "Host: ok.example\r\n"
    request = f"POST http://ok.example/ HTTP/1.1\r\n{given}{WHO}\r\n{header}\r\n\r\n"
    hidden = "GET http://ok.example/hidden HTTP/1.1\r\nHost: ok.example\r\n\r\n"
    said = answer(proxy, f"{request}0\r\n\r\n{hidden}".encode("latin-1"))
    assert said[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 501", b"HTTP/1.1 403")
    assert recorder.seen == []


def test_a_line_that_others_may_read_in_another_way_is_sent_on_as_it_was_read(proxy, recorder):
    request = f"GET http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\n{WHO}\r\n"
    answer(proxy, f"{request}X: y\r\n folded: z\nEnd: 1\r\n\r\n".encode())
    lines = recorder.seen[0].split(b"\r\n")
    assert {b"x: y folded: z", b"end: 1"} <= {line.lower() for line in lines}


def test_a_second_request_on_one_connection_is_not_read(proxy, recorder):
    one = f"GET http://ok.example/{{}} HTTP/1.1\r\nHost: ok.example\r\n{WHO}\r\n\r\n"
    said = answer(proxy, (one.format(1) + one.format(2)).encode())
    assert said.count(b"HTTP/1.1 200") == 1
    assert len(recorder.seen) == 1
    assert b"GET /2" not in recorder.seen[0]


@pytest.mark.parametrize(
    "data",
    [
        b"GET http://ok.example/ HTTP/1.1\r\n" + b"X: " + b"y" * 200_000,
        b"GET http://ok.example/" + b"a" * 200_000,
        b"GET http://ok.example/ HTTP/1.1\r\n" + b"X: y\r\n" * 40_000,
        b"\0" * 200_000,
        b"\x16\x03\x01" * 70_000,
    ],
    ids=["header", "line", "headers", "zeros", "tls"],
)
def test_a_head_that_does_not_end_is_not_kept(proxy, data):
    begun = time.monotonic()
    said = answer(proxy, data)
    assert said[:10] in (b"HTTP/1.1 4", b"")
    assert time.monotonic() - begun < 5


def test_a_slow_head_and_a_slow_handshake_are_hung_up_on(proxy):
    with closing(proxy.connect("sesn_a")) as idle, closing(proxy.connect("sesn_a")) as slow:
        assert open_tunnel(slow, "ok.example")[0] == 200
        slow.sendall(HELLO[:-1])
        idle.sendall(b"CONNECT ok.example:443 HTTP/1.1\r\n")
        begun = time.monotonic()
        assert everything(idle) == b""
        assert everything(slow) == b""
        assert time.monotonic() - begun < 5


def test_a_session_has_so_many_connections_and_others_have_theirs(proxy):
    opened = [proxy.connect("sesn_a") for _ in range(8)]
    try:
        for connection in opened:
            assert open_tunnel(connection, "ok.example")[0] == 200
        with closing(proxy.connect("sesn_a")) as one_more, pytest.raises(OSError):
            open_tunnel(one_more, "ok.example")
        assert _is_served(proxy, "sesn_b")
    finally:
        for connection in opened:
            connection.close()
    eventually(lambda: _is_served_or_hung_up(proxy))


def _is_served_or_hung_up(proxy):
    try:
        return _is_served(proxy, "sesn_a")
    except OSError:
        return False


def test_random_bytes_are_answered_or_hung_up_on(proxy, servers):
    chosen = random.Random(6)
    whole = f"CONNECT ok.example:443 HTTP/1.1\r\nHost: ok.example\r\n{WHO}\r\n\r\n".encode()
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chosen.randint(1, 6)):
            data[chosen.randrange(len(data))] = chosen.randrange(256)
        said = answer(proxy, bytes(data))
        assert said[:9] in (b"HTTP/1.1 ", b"")
        if said.startswith(b"HTTP/1.1 200"):  # what was changed was of no account
            assert b"ok.example:443" in bytes(data).lower()
    assert proxy.internet.resolved in ([], ["ok.example"] * len(proxy.internet.resolved))


# ---------------------------------------------------------------- the handshake
def test_a_clienthello_cut_anywhere_is_waited_for_and_never_carried(proxy, servers):
    for length in range(len(HELLO)):
        assert client_hello.read(HELLO[:length]) is None
    assert client_hello.read(HELLO) == ClientHello("ok.example")
    assert client_hello.read(HELLO + b"early data") == ClientHello("ok.example")


@pytest.mark.parametrize("cut", [1, 4, 5, 9, 50, len(HELLO) - 1])
def test_a_clienthello_in_pieces_arrives_whole(proxy, cut):
    with closing(proxy.connect("sesn_a")) as connection:
        connection.setblocking(True)
        assert open_tunnel(connection, "ok.example")[0] == 200
        connection.sendall(HELLO[:cut])
        connection.sendall(HELLO[cut:])
        received = b""
        while len(received) < len(HELLO):
            received += connection.recv(65536)
        assert received == HELLO


def records(message, size):
    """A handshake message in records of at most `size` bytes."""
    parts = [message[n : n + size] for n in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)


def test_a_clienthello_over_many_records_is_read_as_one():
    message = HELLO[5:]
    for size in (1, 3, 100):
        assert client_hello.read(records(message, size)) == ClientHello("ok.example")


def test_no_change_of_a_byte_makes_the_reader_fail():
    chosen = random.Random(7)
    for _ in range(20_000):
        data = bytearray(HELLO)
        for _ in range(chosen.randint(1, 4)):
            data[chosen.randrange(len(data))] = chosen.randrange(256)
        try:
            found = client_hello.read(bytes(data))
        except NotTls:
            continue
        assert found is None or found.server_name is None or found.server_name.isascii()


def extended(*extensions):
    """A ClientHello with these extensions and no others."""
    body = b"\x03\x03" + b"r" * 32 + b"\0" + b"\0\x02\x13\x01" + b"\x01\0"
    packed = b"".join(
        kind.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content
        for kind, content in extensions
    )
    body += len(packed).to_bytes(2, "big") + packed
    return records(b"\x01" + len(body).to_bytes(3, "big") + body, 16384)


def named(name, kind=0):
    entry = kind.to_bytes(1, "big") + len(name).to_bytes(2, "big") + name
    return 0, len(entry).to_bytes(2, "big") + entry


ECH = (0xFE0D, b"\0" + b"\0" * 40)


@pytest.mark.parametrize(
    ("extensions", "name"),
    [
        ((named(b"ok.example"),), "ok.example"),
        ((named(b"ok.example"), ECH), "ok.example"),
        ((ECH, named(b"cloud.example")), "cloud.example"),
        ((ECH,), None),
        ((), None),
    ],
)
def test_the_outer_name_is_what_counts(extensions, name):
    assert client_hello.read(extended(*extensions)) == ClientHello(name)


@pytest.mark.parametrize(
    "extensions",
    [
        (named(b"ok.example"), named(b"other.example")),
        (named(b"ok.example"), named(b"ok.example")),
        (named(b""),),
        (named(b"ok.example", kind=1),),
        ((0, named(b"ok.example")[1] + b"x"),),
        ((0, b"\0\x1e" + b"\0\0\x0aok.example" + b"\0\0\x0eother.example.."),),
        (named("ök.example".encode()),),
        ((0, b""),),
        ((0, b"\xff\xff"),),
    ],
)
def test_a_name_that_could_be_read_in_two_ways_is_none(extensions):
    with pytest.raises(NotTls):
        client_hello.read(extended(*extensions))


@pytest.mark.parametrize(
    ("first", "passes"),
    [
        (extended(named(b"ok.example"), ECH), True),
        (extended(ECH, named(b"hidden.example")), False),
        (extended(ECH), False),
        (extended(named(b"ok.example\0.evil.example")), False),
        (extended(named(b"93.184.216.34")), False),
    ],
    ids=["outer", "other outer", "no outer", "zero", "address"],
)
def test_a_hidden_name_is_carried_behind_the_right_one_only(proxy, first, passes):
    with closing(proxy.connect("sesn_a")) as connection:
        assert open_tunnel(connection, "ok.example")[0] == 200
        connection.sendall(first)
        assert (connection.recv(len(first)) == first) == passes


# ---------------------------------------------------------------- bounded
def test_a_client_that_reads_nothing_holds_up_its_server_and_no_memory(tmp_path, internet):
    """The server can send only what fits into the kernel's buffers and the proxy's two chunks."""
    sent = []

    def flood(connection):
        connection.recv(65536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        connection.settimeout(1)
        try:
            while True:
                sent.append(connection.send(b"x" * 65536))
        except TimeoutError:
            sent.append(None)

    with closing(Server(flood)) as server, running(tmp_path, internet, idle_seconds=3) as proxy:
        internet.servers = {(PUBLIC, 443): server.port}
        proxy.put("sesn_a", OPEN)
        with closing(proxy.connect("sesn_a")) as connection:
            assert open_tunnel(connection, "ok.example")[0] == 200
            connection.sendall(HELLO)
            eventually(lambda: sent and sent[-1] is None)
            assert sum(filter(None, sent)) < 16 << 20


def resident():
    """KiB of this process, the proxy's thread included."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def fill(connection):
    """Sends until nothing more is taken for now."""
    connection.settimeout(0.02)
    with suppress(TimeoutError):
        while True:
            connection.sendall(MEGABYTE)


MEGABYTE = b"x" * (1 << 20)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_tunnels_that_nobody_reads_from_cost_little_on_either_side(tmp_path, internet):
    """A task that has 512 MB serves the sessions of everybody."""
    over = Event()

    def flood(connection):
        connection.recv(4096)
        while not over.is_set():
            fill(connection)

    with (
        closing(Server(flood)) as server,
        running(tmp_path, internet) as proxy,
        ExitStack() as all_,
    ):
        all_.callback(over.set)
        internet.servers = {(PUBLIC, 443): server.port}
        proxy.put("sesn_a", OPEN)
        tunnels = [all_.enter_context(closing(proxy.connect("sesn_a"))) for _ in range(40)]
        for tunnel in tunnels:
            assert open_tunnel(tunnel, "ok.example")[0] == 200
        before = resident()
        for tunnel in tunnels:
            tunnel.sendall(HELLO)
        for _ in range(3):
            for tunnel in tunnels:
                fill(tunnel)
        assert (resident() - before) / len(tunnels) < 400


def test_an_idle_tunnel_ends_and_one_that_is_used_does_not(tmp_path, internet):
    with closing(Server(echo)) as server, running(tmp_path, internet, idle_seconds=0.6) as proxy:
        internet.servers = {(PUBLIC, 443): server.port}
        proxy.put("sesn_a", OPEN)
        with closing(proxy.connect("sesn_a")) as used, closing(proxy.connect("sesn_a")) as idle:
            for connection in (used, idle):
                assert open_tunnel(connection, "ok.example")[0] == 200
                connection.sendall(HELLO)
                assert connection.recv(65536)
            begun = time.monotonic()
            idle.settimeout(0.05)
            while True:
                used.sendall(b"x")
                assert used.recv(65536)
                try:
                    assert idle.recv(65536) == b""
                except TimeoutError:
                    continue
                break
            assert time.monotonic() - begun > 0.4


def test_slow_names_of_one_session_do_not_hold_up_another(tmp_path, internet):
    let_go = Event()

    def slow():
        let_go.wait(20)
        return [PUBLIC]

    internet.hosts["slow.example"] = slow
    with closing(Server(echo)) as server, running(tmp_path, internet, connections=64) as proxy:
        internet.servers = {(PUBLIC, 443): server.port}
        proxy.put("sesn_a", OPEN)
        proxy.put("sesn_b", OPEN)
        waiting = [proxy.connect("sesn_a") for _ in range(48)]
        try:
            for connection in waiting:
                connection.sendall(
                    f"CONNECT slow.example:443 HTTP/1.1\r\nHost: x\r\n{WHO}\r\n\r\n".encode()
                )
            eventually(lambda: internet.resolved.count("slow.example") == 4)
            assert _is_served(proxy, "sesn_b")
            assert internet.resolved.count("slow.example") == 4
            let_go.set()
            assert all(head(connection)[0] == 200 for connection in waiting)
        finally:
            let_go.set()
            for connection in waiting:
                connection.close()
