"""What the egress proxy lets through, what it refuses, and to whom (DESIGN 7)."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from contextlib import closing

import pytest

from egress_proxy.policy import Policy, parse
from freehold.adapters.egress.control import EgressControl, ProxyRefused
from freehold.adapters.local_secrets import LocalSecrets
from freehold.testing.sandbox_calls import eventually
from tests.egress import (
    OPEN,
    PUBLIC,
    Internet,
    Recorder,
    Server,
    ask,
    authority,
    basic,
    echo,
    everything,
    hello,
    limited,
    open_tunnel,
    refused_tunnel,
    running,
)

LISTED = limited("ok.example", "*.sub.example")


class World:
    """A proxy, and an internet with a TLS server that echoes and an HTTP server that records."""

    def __init__(self, proxy, certificate, tls, plain, recorder):
        self.proxy = proxy
        self.internet = proxy.internet
        self.certificate = certificate
        self.tls = tls
        self.plain = plain
        self.recorder = recorder

    def connect(self, session_id="sesn_a"):
        return closing(self.proxy.connect(session_id))

    def tunnel(self, host, session_id="sesn_a", **given):
        """Status and body of CONNECT."""
        with self.connect(session_id) as connection:
            status, headers, body = refused_tunnel(connection, host, session_id, **given)
            return status, headers, body if status == 200 else body + everything(connection)

    def secured(self, connection, host="ok.example"):
        assert open_tunnel(connection, host)[0] == 200
        context = ssl.create_default_context(cafile=self.certificate)
        return context.wrap_socket(connection, server_hostname=host)


@pytest.fixture
def world(tmp_path):
    internet = Internet()
    internet.hosts = {"ok.example": [PUBLIC], "a.sub.example": [PUBLIC], "other.example": [PUBLIC]}
    certificate, context = authority(tmp_path, "ok.example")
    recorder = Recorder()
    with (
        closing(Server(echo, context)) as tls,
        closing(Server(recorder)) as plain,
        running(tmp_path, internet, head_seconds=5) as proxy,
    ):
        internet.servers = {(PUBLIC, 443): tls.port, (PUBLIC, 80): plain.port}
        proxy.put("sesn_a", LISTED)
        yield World(proxy, certificate, tls, plain, recorder)


# ---------------------------------------------------------------- what is let through
def test_a_tunnel_carries_tls_that_the_proxy_does_not_open(world):
    with world.connect() as connection, world.secured(connection) as secured:
        secured.sendall(b"x" * 300_000)
        received = b""
        while len(received) < 300_000:
            received += secured.recv(65536)
        assert received == b"x" * 300_000


def test_plain_http_is_sent_on_without_what_is_meant_for_the_proxy(world):
    with world.connect() as connection:
        status, headers, body = ask(
            connection,
            "POST http://OK.example:80/a%20b?q=1 HTTP/1.1\r\nHost: ok.example\r\nX-Mine: 1\r\n"
            "Connection: keep-alive, x-hop\r\nX-Hop: 1\r\nProxy-Connection: keep-alive\r\n"
            "Upgrade: h2c\r\nTE: trailers\r\nContent-Length: 0",
        )
    assert (status, body) == (200, b"hello")
    assert headers["connection"] == "close"
    head, _, rest = world.recorder.seen[0].partition(b"\r\n\r\n")
    assert rest == b""
    assert sorted(head.decode().lower().split("\r\n")) == sorted(
        [
            "post /a%20b?q=1 http/1.1",
            "host: ok.example",
            "x-mine: 1",
            "content-length: 0",
            "connection: close",
        ]
    )


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        ("Content-Length: 11", b"hello world"),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
    ],
)
def test_a_body_arrives_whole_and_once(world, framing, body):
    with world.connect() as connection:
        connection.sendall(
            f"PUT http://ok.example/f HTTP/1.1\r\nHost: ok.example\r\n{framing}\r\n"
            f"Proxy-Authorization: Basic {basic('sesn_a', 'token')}\r\n\r\n".encode()
            + body
        )
        assert b"hello" in everything(connection)
    sent = world.recorder.seen[0].partition(b"\r\n\r\n")[2]
    assert sent.replace(b"\r\n", b"").replace(b"5hello6 world0", b"hello world") == b"hello world"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"
            b"3\r\nabc\r\n0\r\n\r\n"
        ),
        b"HTTP/1.0 200 OK\r\n\r\nabc",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
def test_an_answer_comes_back_in_one_framing(world, answer):
    world.recorder.answer = answer
    with world.connect() as connection:
        connection.sendall(
            b"GET http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\nProxy-Authorization: Basic "
            + basic("sesn_a", "token").encode()
            + b"\r\n\r\n"
        )
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert (response.status, response.read()) == (200, b"abc")
        lengths = response.getheader("content-length"), response.getheader("transfer-encoding")
        assert lengths.count(None) == 1


def test_an_answer_that_is_no_http_is_a_502(world):
    world.recorder.answer = b"SSH-2.0-OpenSSH_9.2\r\n"
    with world.connect() as connection:
        status, headers, body = ask(
            connection, "GET http://ok.example/ HTTP/1.1\r\nHost: ok.example"
        )
    assert (status, headers["x-freehold-egress"]) == (502, "failed")
    assert b"ok.example" in body


def test_names_below_a_star_and_addresses_of_an_unrestricted_session(world):
    assert world.tunnel("a.sub.example")[0] == 200
    world.proxy.put("sesn_a", OPEN)
    assert world.tunnel("other.example")[0] == 200
    assert world.tunnel(PUBLIC)[0] == 200
    world.proxy.put("sesn_a", limited(PUBLIC))
    assert world.tunnel(PUBLIC)[0] == 200


@pytest.mark.parametrize("which", ["hosts", "package_managers", "mcp_hosts"])
def test_each_list_of_a_policy_lets_through(world, which):
    world.proxy.put("sesn_a", {"mode": "limited", which: ["other.example"]})
    assert world.tunnel("other.example")[0] == 200
    assert world.tunnel("ok.example")[0] == 403


# ---------------------------------------------------------------- hosts that are refused
@pytest.mark.parametrize(
    "host",
    [
        "other.example",
        "sub.example",
        "xsub.example",
        "ok.example.evil.example",
        "xok.example",
        PUBLIC,
        "8.8.8.8",
        "secret-data.other.example",
        "localhost",
        "metadata.google.internal",
    ],
)
def test_what_is_not_listed_is_neither_resolved_nor_connected_to(world, host):
    status, headers, body = world.tunnel(host)
    assert (status, headers["x-freehold-egress"]) == (403, "refused")
    assert host in body.decode()
    with world.connect() as connection:
        status, _, body = ask(connection, f"GET http://{host}/secret HTTP/1.1\r\nHost: {host}")
    assert status == 403
    assert host in body.decode()
    assert "/secret" not in body.decode()
    assert (world.internet.resolved, world.internet.dialled) == ([], [])


def test_the_reason_phrase_names_the_host_since_package_managers_show_nothing_else(world):
    with world.connect() as connection:
        connection.sendall(
            b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example\r\nProxy-Authorization:"
            b" Basic " + basic("sesn_a", "token").encode() + b"\r\n\r\n"
        )
        line = everything(connection).split(b"\r\n")[0]
    assert line == b"HTTP/1.1 403 Forbidden by the environment: other.example"


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "metadata.google.internal",
        "metadata.goog",
        "intranet",
        "db.internal",
        "x.local",
    ],
)
def test_an_unrestricted_session_reaches_no_name_of_a_network(world, host):
    world.proxy.put("sesn_a", OPEN)
    world.internet.hosts[host] = [PUBLIC]
    assert world.tunnel(host)[0] == 403
    assert world.internet.dialled == []


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "172.16.0.1",
        "192.168.1.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "::1",
        "::",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        f"::ffff:{PUBLIC}",
        "::127.0.0.1",
        "2002:7f00:1::1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2001::1",
    ],
)
def test_an_address_that_is_not_public_is_refused_however_it_is_reached(world, address):
    world.proxy.put("sesn_a", OPEN)
    world.internet.hosts["sly.example"] = [address]
    assert world.tunnel("sly.example")[0] == 403
    shown = f"[{address}]" if ":" in address else address
    status, headers, _ = world.tunnel(shown)
    assert (status, headers["x-freehold-egress"]) == (403, "refused")
    # Listing an address changes nothing about what it is.
    world.proxy.put("sesn_a", limited(address, "sly.example"))
    assert world.tunnel(shown)[0] == world.tunnel("sly.example")[0] == 403
    assert world.internet.dialled == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "1.1", "0"])
def test_another_spelling_of_an_address_is_no_host(world, host):
    world.proxy.put("sesn_a", OPEN)
    assert world.tunnel(host)[0] == 400
    assert world.internet.resolved == []


def test_a_range_of_the_operators_is_refused(tmp_path):
    internet = Internet()
    internet.hosts = {"ok.example": [PUBLIC, "2606:2800:220:1::1"]}
    ranges = ("93.184.0.0/16", "2606:2800::/32")
    with running(tmp_path, internet, refused_ranges=ranges) as proxy:
        proxy.put("sesn_a", OPEN)
        with closing(proxy.connect("sesn_a")) as connection:
            assert open_tunnel(connection, "ok.example")[0] == 403
    assert internet.dialled == []


def test_a_name_is_resolved_once_and_what_was_looked_at_is_connected_to(world):
    """Rebinding: every answer but the first is the metadata address."""
    answers = iter([[PUBLIC]])
    world.internet.hosts["ok.example"] = lambda: next(answers, ["169.254.169.254"])
    with world.connect() as connection, world.secured(connection) as secured:
        secured.sendall(b"hi")
        assert secured.recv(10) == b"hi"
    assert world.internet.resolved == ["ok.example"]
    assert world.internet.dialled == [(PUBLIC, 443)]
    assert world.tunnel("ok.example")[0] == 403
    assert world.internet.dialled == [(PUBLIC, 443)]


def test_private_addresses_beside_public_ones_are_passed_over(world):
    world.internet.hosts["ok.example"] = ["10.0.0.1", "::1", PUBLIC]
    assert world.tunnel("ok.example")[0] == 200
    assert world.internet.dialled == [(PUBLIC, 443)]


def test_a_redirect_is_a_request_like_any_other(world):
    world.recorder.answer = (
        b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    with world.connect() as connection:
        status, headers, _ = ask(connection, "GET http://ok.example/ HTTP/1.1\r\nHost: ok.example")
    assert (status, headers["location"]) == (302, "http://169.254.169.254/latest")
    with world.connect() as connection:
        line = f"GET {headers['location']} HTTP/1.1\r\nHost: 169.254.169.254"
        assert ask(connection, line)[0] == 403


def test_a_host_that_is_permitted_and_silent_is_a_502(world):
    world.internet.servers = {}
    status, headers, body = world.tunnel("ok.example")
    assert (status, headers["x-freehold-egress"]) == (502, "failed")
    assert b"does not answer" in body
    world.internet.hosts = {}
    assert b"not found" in world.tunnel("ok.example")[2]


# ---------------------------------------------------------------- ports and protocols
@pytest.mark.parametrize("port", [22, 25, 53, 80, 853, 3306, 8443, 65535])
def test_a_tunnel_leads_to_port_443_only(world, port):
    assert world.tunnel("ok.example", port=port)[0] == 403
    assert world.internet.resolved == []


@pytest.mark.parametrize("port", [443, 22, 8080, 6379])
def test_plain_http_leads_to_port_80_only(world, port):
    with world.connect() as connection:
        place = f"ok.example:{port}"
        assert ask(connection, f"GET http://{place}/ HTTP/1.1\r\nHost: {place}")[0] == 403
    assert world.internet.resolved == []


@pytest.mark.parametrize("name", ["other.example", "evil.ok.example", None])
def test_a_handshake_that_names_another_host_or_none_ends_the_tunnel(world, name):
    heard = []
    with closing(Server(lambda opened: heard.append(everything(opened)))) as server:
        world.internet.servers[PUBLIC, 443] = server.port
        with world.connect() as connection:
            assert open_tunnel(connection, "ok.example")[0] == 200
            connection.sendall(hello(name))
            assert everything(connection) == b"\x15\x03\x03\x00\x02\x02\x70"
        eventually(lambda: heard)
    assert heard == [b""]  # connected to, and not told a byte


def test_a_name_in_another_case_is_the_same(world):
    with world.connect() as connection:
        assert open_tunnel(connection, "OK.Example.")[0] == 200
        connection.sendall(hello("ok.EXAMPLE"))
        assert connection.recv(1) == b"\x16"


def test_a_tunnel_to_an_address_carries_a_handshake_without_a_name(world):
    world.proxy.put("sesn_a", OPEN)
    with world.connect() as connection:
        assert open_tunnel(connection, PUBLIC)[0] == 200
        connection.sendall(hello(None))
        assert connection.recv(1) == b"\x16"
    with world.connect() as connection:
        assert open_tunnel(connection, PUBLIC)[0] == 200
        connection.sendall(hello("ok.example"))
        assert everything(connection)[:1] == b"\x15"


@pytest.mark.parametrize(
    "first",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"GET / HTTP/1.1\r\nHost: ok.example\r\n\r\n",
        b"\x00\x00\x00\x00",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x80\x2e\x01\x00\x02",
    ],
)
def test_what_is_no_tls_is_not_carried(world, first):
    with world.connect() as connection:
        assert open_tunnel(connection, "ok.example")[0] == 200
        connection.sendall(first)
        assert everything(connection)[:1] == b"\x15"


def test_a_handshake_in_the_same_packet_as_connect_is_checked_as_well(world):
    for name, answered in (("ok.example", b"\x16"), ("other.example", b"\x15")):
        with world.connect() as connection:
            connection.sendall(
                b"CONNECT ok.example:443 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic "
                + basic("sesn_a", "token").encode()
                + b"\r\n\r\n"
                + hello(name)
            )
            data = b""
            while len(data) < 40:
                chunk = connection.recv(65536)
                if not chunk:
                    break
                data += chunk
        assert data.partition(b"\r\n\r\n")[2][:1] in (answered, b"")
        assert (b"\x15\x03\x03\x00\x02\x02\x70" in data) == (name != "ok.example")


# ---------------------------------------------------------------- who is asking
@pytest.mark.parametrize(
    ("session_id", "token"),
    [("sesn_a", "wrong"), ("sesn_a", ""), ("sesn_b", "token"), ("", "token"), ("sesn_c", "token")],
)
def test_a_token_is_good_for_its_session_alone(world, session_id, token):
    world.proxy.put("sesn_b", OPEN, token="another")
    with world.connect("sesn_a") as connection:
        status, headers = open_tunnel(connection, "ok.example", session_id=session_id, token=token)
    assert status == 407
    assert headers["proxy-authenticate"].startswith("basic")


def test_another_sessions_token_is_refused_on_ones_own_socket_and_the_other_way_round(world):
    world.proxy.put("sesn_b", OPEN, token="stolen")
    with world.connect("sesn_a") as connection:
        assert open_tunnel(connection, "other.example", "sesn_b", "stolen")[0] == 407
    with world.connect("sesn_b") as connection:
        assert open_tunnel(connection, "other.example", "sesn_a", "token")[0] == 407
        assert world.internet.resolved == []
    with world.connect("sesn_b") as connection:
        assert open_tunnel(connection, "other.example", "sesn_b", "stolen")[0] == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Proxy-Authorization: Bearer token\r\n",
        "Proxy-Authorization: Basic !!!\r\n",
        "Proxy-Authorization: Basic /////w==\r\n",
        f"Authorization: Basic {basic('sesn_a', 'token')}\r\n",
        f"Proxy-Authorization: Basic {basic('sesn_a', 'token')}\r\n" * 2,
    ],
)
def test_who_does_not_say_who_he_is_is_asked(world, header):
    with world.connect() as connection:
        connection.sendall(f"CONNECT ok.example:443 HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode())
        assert everything(connection).startswith(b"HTTP/1.1 407 ")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("OPTIONS *", 204),
        ("OPTIONS http://ok.example/", 407),
        ("GET *", 407),
        ("CONNECT ok.example:443", 407),
    ],
)
def test_who_asks_only_whether_there_is_a_proxy_is_told_and_not_noted(world, capfd, line, status):
    with world.connect() as connection:
        connection.sendall(f"{line} HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n".encode())
        answer = everything(connection)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert answer.count(b"HTTP/1.1 ") == 1
    assert world.internet.resolved == []
    assert ('"status": 407' in _peek(capfd)) == (status != 204)


def test_on_a_network_a_session_is_known_by_its_address_too(tmp_path):
    internet = Internet()
    internet.hosts = {"ok.example": [PUBLIC]}
    with closing(Server(echo)) as server, running(tmp_path, internet, by_network=True) as proxy:
        internet.servers = {(PUBLIC, 443): server.port}
        proxy.put("sesn_a", LISTED, source="127.0.0.1")
        proxy.put("sesn_b", LISTED, source="127.0.0.2")
        host, port = proxy.addresses[1].split(":")

        def status(session_id, source):
            with socket.create_connection((host, int(port)), source_address=(source, 0)) as opened:
                return open_tunnel(opened, "ok.example", session_id)[0]

        assert status("sesn_a", "127.0.0.1") == 200
        assert status("sesn_b", "127.0.0.2") == 200
        assert status("sesn_a", "127.0.0.2") == 407
        assert status("sesn_b", "127.0.0.1") == 407
        with pytest.raises(ProxyRefused, match="source"):
            proxy.put("sesn_c", LISTED)


# ---------------------------------------------------------------- control
def test_a_new_policy_closes_the_tunnels_that_it_would_not_open(world):
    world.internet.hosts["a.sub.example"] = [PUBLIC]
    with (
        world.connect() as connection,
        world.connect() as lost,
        world.secured(connection) as kept,
    ):
        assert open_tunnel(lost, "a.sub.example")[0] == 200
        lost.sendall(hello("a.sub.example"))
        assert lost.recv(1) == b"\x16"
        world.proxy.put("sesn_a", limited("ok.example"))
        everything(lost)
        kept.sendall(b"still")
        assert kept.recv(10) == b"still"
        world.proxy.put("sesn_a", limited("ok.example"), token="renewed")
        with pytest.raises(OSError):
            kept.unwrap()
    assert world.tunnel("ok.example")[0] == 407
    assert world.tunnel("ok.example", token="renewed")[0] == 200


def test_a_session_that_is_removed_loses_its_tunnels_and_its_socket(world):
    world.proxy.put("sesn_b", LISTED)
    with (
        world.connect() as connection,
        world.connect("sesn_b") as bystander,
        world.secured(connection) as secured,
    ):
        assert open_tunnel(bystander, "ok.example", "sesn_b")[0] == 200
        world.proxy.control.remove("sesn_a")
        with pytest.raises(OSError):
            secured.unwrap()
        with pytest.raises(OSError):
            world.connect("sesn_a")
        bystander.sendall(hello("ok.example"))
        assert bystander.recv(1) == b"\x16"
    world.proxy.control.remove("sesn_a")


def _control(world, method, path, body=b"", headers=()):
    connection = http.client.HTTPConnection(*world.proxy.control_address, timeout=10)
    with closing(connection):
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def test_only_signed_requests_of_this_boot_are_obeyed(world, tmp_path):
    grant = json.dumps({"policy": OPEN, "token_sha256": "0" * 64, "source": None}).encode()
    assert _control(world, "PUT", "/sessions/sesn_a", grant) == (401, {"error": "signature"})
    assert _control(world, "DELETE", "/sessions/sesn_a")[0] == 401
    stranger = LocalSecrets(tmp_path / "stranger.key")
    for secrets, boot_id, status in (
        (stranger, world.proxy.boot_id, "401"),
        (world.proxy.secrets, "boot_of_a_sandbox", "409"),
    ):
        control = EgressControl(
            lambda: socket.create_connection(world.proxy.control_address), secrets, boot_id
        )
        with pytest.raises(ProxyRefused, match=status):
            control.remove("sesn_a")
    assert world.tunnel("ok.example")[0] == 200
    status, health = _control(world, "GET", "/healthz")
    assert (status, health) == (200, {"boot_id": world.proxy.boot_id, "sessions": 1})
    assert _control(world, "POST", "/sessions/sesn_a")[0] == 404


def test_a_request_is_obeyed_once_and_as_it_was_signed(world):
    sent = []

    class Tapped(EgressControl):
        pass

    class Tap:
        def __init__(self):
            self._socket = socket.create_connection(world.proxy.control_address)

        def __getattr__(self, name):
            return getattr(self._socket, name)

        def sendall(self, data):
            sent.append(bytes(data))
            self._socket.sendall(data)

    control = Tapped(Tap, world.proxy.secrets, world.proxy.boot_id)
    control.put("sesn_a", LISTED, "0" * 64, None)
    raw = b"".join(sent)

    def replay(data):
        with socket.create_connection(world.proxy.control_address, timeout=10) as opened:
            opened.sendall(data)
            return everything(opened)

    assert b'"nonce"' in replay(raw)
    assert b"401" in replay(raw.replace(b"/sessions/sesn_a", b"/sessions/sesn_b"))
    assert b'"digest"' in replay(raw.replace(b"ok.example", b"ko.example"))


@pytest.mark.parametrize(
    ("policy", "word"),
    [
        ({}, "mode"),
        ({"mode": "open"}, "mode"),
        ({"mode": "limited", "host": []}, "host"),
        ({"mode": "limited", "hosts": "ok.example"}, "hosts"),
        ({"mode": "limited", "hosts": [1]}, "hosts"),
        ({"mode": "limited", "hosts": ["http://ok.example"]}, "hosts"),
        ({"mode": "limited", "hosts": ["*"]}, "hosts"),
        ({"mode": "limited", "hosts": ["a.*.example"]}, "hosts"),
        ({"mode": "limited", "hosts": ["*.1.2.3.4"]}, "hosts"),
        ({"mode": "limited", "substitutions": [{"host": "ok.example"}]}, "does not open TLS"),
        ({"mode": "unrestricted", "substitutions": {}}, "does not open TLS"),
        ([], "object"),
    ],
)
def test_a_policy_that_is_not_understood_changes_nothing(world, policy, word):
    with pytest.raises(ValueError, match=word):
        parse(policy)
    with pytest.raises(ProxyRefused, match="400"):
        world.proxy.put("sesn_a", policy)
    assert world.tunnel("ok.example")[0] == 200


def test_a_policy_without_a_word_reaches_nothing():
    assert Policy("limited").refusal("ok.example")
    assert parse({"mode": "limited"}) == Policy("limited")


# ---------------------------------------------------------------- the log
def test_the_log_names_hosts_and_bytes_and_no_content(world, capfd):
    with world.connect() as connection:
        ask(
            connection,
            "GET http://ok.example/private?key=hidden HTTP/1.1\r\n"
            "Host: ok.example\r\nX-Key: hidden",
        )
    world.tunnel("other.example")
    world.tunnel("ok.example", token="hidden-token")
    eventually(lambda: '"closed"' in _peek(capfd))
    said = _peek(capfd)
    for hidden in ("hidden", "private", basic("sesn_a", "token"), basic("sesn_a", "hidden-token")):
        assert hidden not in said
    lines = [json.loads(line) for line in said.splitlines()]
    for line in lines:
        del line["at"]
    where = {"session": "sesn_a", "host": "ok.example", "port": 80}
    assert {"event": "allowed", **where} in lines
    assert {"event": "closed", **where, "sent": 0, "received": 5} in lines
    refused = [line for line in lines if line["event"] == "refused"]
    assert [line.get("host") for line in refused] == ["other.example", None]


_SAID = {}


def _peek(capfd):
    _SAID[capfd] = _SAID.get(capfd, "") + capfd.readouterr().err
    return _SAID[capfd]
