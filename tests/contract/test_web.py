"""`web_fetch` as it runs, but for the resolver and the last step of connecting: names resolve to
public addresses, which lead to servers on loopback that misbehave in every way they can.
"""

from __future__ import annotations

import base64
import gzip
import json
import socket
import struct
import threading
import time
import zlib

import pytest

from freehold.adapters.web import exchange
from freehold.adapters.web.connections import Connections, dial, resolve
from freehold.errors import WebCallStopped
from tests.servers import wait_for
from tests.web_pages import PUBLIC, FakeInternet, certificate, html, http, redirect


@pytest.fixture
def net():
    made = FakeInternet()
    yield made
    made.close()


def fetch(net, url="http://example.com/", *, permits=lambda _: True, tokens=None, **options):
    call = net.web(**options).fetch(url, permits=permits, max_tokens=tokens)
    return call.result()


def said(result):
    (block,) = result.content
    assert not result.is_error, block
    return block["text"]


def refused(result):
    assert result.is_error
    (block,) = result.content
    return block["text"]


# ---------------------------------------------------------------- where it connects to
def test_a_page_is_asked_for_at_the_address_that_was_checked(net):
    net.pages["example.com/a?b=c"] = html("<title>T</title><p>Hello.</p>")
    assert said(fetch(net, "http://example.com/a?b=c#d")) == (
        "URL: http://example.com/a?b=c\nTitle: T\n\nHello."
    )
    assert net.resolved == ["example.com"]
    assert net.dialled == [(PUBLIC, 80)]
    (request,) = net.requests
    lines = request.strip().split("\r\n")
    assert lines[0] == "GET /a?b=c HTTP/1.1"
    names = [line.partition(":")[0] for line in lines[1:]]
    assert names == ["Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"]
    assert "User-Agent: Freehold" in request


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.8", "fd00::1"], ["169.254.169.254"], ["::ffff:10.0.0.1"], []],
)
def test_a_name_of_this_network_is_refused_and_nothing_is_connected_to(net, addresses):
    net.names["inside.example.com"] = [addresses]
    text = refused(fetch(net, "http://inside.example.com/"))
    assert text == "url_not_allowed: inside.example.com is not on the public internet"
    assert net.dialled == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"])
def test_an_address_of_this_network_is_refused_without_a_resolver(net, host):
    assert refused(fetch(net, f"http://{host}/")).startswith("url_not_allowed: ")
    assert net.resolved == net.dialled == []


def test_of_several_addresses_only_public_ones_are_connected_to(net):
    net.pages["example.com/"] = http("hello", Content_Type="text/plain")
    net.names["example.com"] = [["10.0.0.1", "93.184.216.35", "::1"]]
    assert "hello" in said(fetch(net))
    assert net.dialled == [("93.184.216.35", 80)]


def test_a_name_that_answers_differently_the_second_time_gains_nothing(net):
    net.pages["example.com/"] = http("hello", Content_Type="text/plain")
    net.names["example.com"] = [[PUBLIC], ["127.0.0.1"]]
    assert "hello" in said(fetch(net))
    assert net.dialled == [(PUBLIC, 80)]
    assert net.resolved == ["example.com"]
    assert refused(fetch(net)).startswith("url_not_allowed: ")
    assert net.dialled == [(PUBLIC, 80)]


def test_an_address_that_does_not_answer_gives_way_to_the_next(net):
    net.pages["example.com/"] = http("hello", Content_Type="text/plain")
    net.names["example.com"] = [["93.184.216.40", "93.184.216.41"]]
    tried = []

    def dial(address, port, seconds):
        tried.append(address)
        if address.endswith("40"):
            raise ConnectionRefusedError
        return net.dial(address, port, seconds)

    connections = Connections(resolve=net.resolve, dial=dial)
    web = net.web()
    web._connections = connections
    assert "hello" in said(web.fetch("http://example.com/", permits=_any, max_tokens=None).result())
    assert tried == ["93.184.216.40", "93.184.216.41"]


def test_a_name_that_is_not_found_is_a_result(net):
    net.names["example.com"] = [socket.gaierror("no such name")]
    assert refused(fetch(net)) == "url_not_accessible: example.com is not found"


def test_the_systems_resolver_and_dialler_are_those_of_production():
    assert resolve("127.0.0.1", 80) == ["127.0.0.1"]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with dial("127.0.0.1", port, 5) as opened:
            assert opened.getpeername() == ("127.0.0.1", port)


def test_proxies_of_the_environment_are_not_used(net, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    net.pages["example.com/"] = http("hello", Content_Type="text/plain")
    assert "hello" in said(fetch(net))


# ---------------------------------------------------------------- TLS
def test_a_certificate_is_checked_for_the_name_in_the_url(tmp_path):
    server, trust = certificate(tmp_path, "example.com")
    net = FakeInternet({"": http("sealed", Content_Type="text/plain")}, tls=server)
    try:
        assert "sealed" in said(fetch(net, "https://example.com/", trust=trust))
        assert net.dialled == [(PUBLIC, 443)]
        text = refused(fetch(net, "https://other.example.com/", trust=trust))
        assert text == "url_not_accessible: its certificate is not valid"
        assert refused(fetch(net, "https://example.com/")).endswith("certificate is not valid")
        assert len(net.requests) == 1
    finally:
        net.close()


def test_a_server_without_tls_is_not_asked_in_the_clear(net):
    net.pages["example.com/"] = http("hello", Content_Type="text/plain")
    assert refused(fetch(net, "https://example.com/")).startswith("url_not_accessible: ")
    assert not [request for request in net.requests if "GET" in request]


# ---------------------------------------------------------------- redirects
def test_a_redirect_is_followed_and_the_result_says_where_to(net):
    net.pages["example.com/"] = redirect("/b?x=1", "301 Moved")
    net.pages["example.com/b"] = redirect("//www.example.com/c", "308 Permanent")
    net.pages["www.example.com/c"] = http("there", Content_Type="text/plain")
    assert said(fetch(net)) == "URL: http://www.example.com/c\n\nthere"


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://inside.example.com/",
        "http://localhost/",
        "http://example.com:8080/",
    ],
)
def test_a_redirect_to_what_may_not_be_reached_is_refused(net, location):
    net.names["inside.example.com"] = [["10.0.0.1"]]
    net.pages["example.com/"] = redirect(location)
    assert refused(fetch(net)).startswith("url_not_allowed: ")
    assert net.dialled == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "http://a@127.0.0.1/", "http://[::1", "http://0x7f.1/"]
)
def test_a_redirect_to_what_is_no_url_of_the_web_is_refused(net, location):
    net.pages["example.com/"] = redirect(location)
    assert fetch(net).is_error
    assert net.dialled == [(PUBLIC, 80)]


def test_every_redirect_is_asked_for(net):
    net.pages["example.com/"] = redirect("http://other.example.org/x")
    net.pages["other.example.org/x"] = http("there", Content_Type="text/plain")
    asked = []

    def permits(url):
        asked.append(url)
        return "example.com" in url

    text = refused(fetch(net, permits=permits))
    assert text == "url_not_allowed: other.example.org may not be reached"
    assert asked == ["http://example.com/", "http://other.example.org/x"]
    assert net.resolved == ["example.com"]


def test_redirects_without_end_are_given_up(net):
    net.pages["example.com/"] = redirect("/again")
    assert refused(fetch(net)) == "url_not_accessible: it redirects more than 5 times"
    assert len(net.requests) == 6


def test_no_cookie_and_no_referrer_is_sent_along_a_redirect(net):
    net.pages["example.com/"] = http(status="302 Found", Location="/b", Set_Cookie="a=b; Path=/")
    net.pages["example.com/b"] = http("there", Content_Type="text/plain")
    said(fetch(net))
    assert not [r for r in net.requests if "cookie" in r.lower() or "referer" in r.lower()]


# ---------------------------------------------------------------- limits
def _any(_):
    return True


def test_a_body_that_drips_for_ever_ends_with_the_time(net):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    net.pages["example.com/"] = net.hold(head, b"x", every=0.02)
    began = time.monotonic()
    text = refused(fetch(net, seconds=0.5))
    assert text == "url_not_accessible: it took longer than 0.5 seconds"
    assert time.monotonic() - began < 5
    assert net.gone.wait(10)


def test_a_head_that_drips_for_ever_ends_with_the_time(net):
    net.pages["example.com/"] = net.hold(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", every=0.02)
    began = time.monotonic()
    assert fetch(net, seconds=0.5).is_error
    assert time.monotonic() - began < 5


def test_a_server_that_says_nothing_ends_with_the_time(net):
    net.pages["example.com/"] = net.hold()
    assert "longer than 0.3 seconds" in refused(fetch(net, seconds=0.3))


def test_a_resolver_that_hangs_ends_with_the_time(net):
    go_on = threading.Event()

    def hang(host, port):
        go_on.wait(20)
        return [PUBLIC]

    web = net.web(seconds=0.3)
    web._connections = Connections(resolve=hang, dial=net.dial)
    text = refused(web.fetch("http://example.com/", permits=_any, max_tokens=None).result())
    go_on.set()
    assert "longer than 0.3 seconds" in text
    assert net.dialled == []


def test_a_connection_that_comes_too_late_is_closed(net):
    go_on, late = threading.Event(), socket.socket()

    def slow(address, port, seconds):
        go_on.wait(20)
        return late

    web = net.web(seconds=0.3)
    web._connections = Connections(resolve=net.resolve, dial=slow)
    assert web.fetch("http://example.com/", permits=_any, max_tokens=None).result().is_error
    go_on.set()
    wait_for(lambda: late.fileno() == -1)


def test_a_page_that_takes_for_ever_to_read_ends_with_the_time(net):
    net.pages["example.com/"] = html("<a " * 300_000)
    began = time.monotonic()
    assert "longer than 1.5 seconds" in refused(fetch(net, seconds=1.5))
    assert time.monotonic() - began < 10


def test_elements_without_end_inside_each_other_are_text_all_the_same(net):
    net.pages["example.com/"] = html("<div>" * 20_000 + "at the bottom")
    assert "at the bottom" in said(fetch(net, seconds=60))


def test_a_body_is_read_up_to_its_limit_and_not_beyond(net, monkeypatch):
    monkeypatch.setattr(exchange, "MAX_BODY_BYTES", 100_000)
    net.pages["example.com/fits"] = http("x" * 100_000, Content_Type="text/plain")
    assert "xxx" in said(fetch(net, "http://example.com/fits"))
    net.pages["example.com/says"] = http("x", Content_Type="text/plain", Content_Length=100_001)
    assert refused(fetch(net, "http://example.com/says")).startswith("content_too_large: ")
    endless = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    net.pages["example.com/endless"] = net.hold(endless, b"x" * 10_000, every=0.001)
    assert refused(fetch(net, "http://example.com/endless")).startswith("content_too_large: ")
    assert net.gone.wait(10)


def test_a_few_bytes_do_not_become_gigabytes(net, monkeypatch):
    bomb = gzip.compress(b"\0" * 50_000_000)
    net.pages["example.com/"] = html(bomb, Content_Encoding="gzip")
    produced = []
    decompress = zlib.decompressobj

    class Counted:
        def __init__(self, *options):
            self._inner = decompress(*options)

        def __getattr__(self, name):
            return getattr(self._inner, name)

        def decompress(self, data, limit):
            produced.append(self._inner.decompress(data, limit))
            return produced[-1]

    monkeypatch.setattr(exchange.zlib, "decompressobj", Counted)
    assert refused(fetch(net)) == "content_too_large: it is larger than 10 MiB"
    assert max(map(len, produced)) <= 64 * 1024
    assert sum(map(len, produced)) <= exchange.MAX_BODY_BYTES + 64 * 1024


def test_gzip_is_undone_in_one_member_or_several(net):
    packed = gzip.compress(b"hello ") + gzip.compress(b"world")
    net.pages["example.com/"] = http(packed, Content_Type="text/plain", Content_Encoding="gzip")
    assert "hello world" in said(fetch(net))


@pytest.mark.parametrize(
    "answer",
    [
        http("x" * 10, Content_Type="text/plain", Content_Length=1000),
        http(gzip.compress(b"hello world" * 99)[:-20], Content_Type="text/plain",
             Content_Encoding="gzip"),
        http(b"no gzip", Content_Type="text/plain", Content_Encoding="gzip"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\nhello",
        b"HTTP/1.1 two hundred\r\n\r\nhello",
        b"SSH-2.0-OpenSSH\r\n",
        b"",
    ],
)  # fmt: skip
def test_an_answer_that_breaks_off_or_lies_is_an_error_and_not_half_a_page(net, answer):
    net.pages["example.com/"] = answer
    assert refused(fetch(net)) == "url_not_accessible: its answer breaks off or is not HTTP" or (
        refused(fetch(net)) == "url_not_accessible: its answer breaks off"
    )


def test_what_comes_after_the_announced_length_is_not_the_page(net):
    net.pages["example.com/"] = http("hello", Content_Type="text/plain", Content_Length=5) + b"more"
    assert said(fetch(net)).endswith("\n\nhello")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("404 Not Found", "url_not_accessible: the server answered 404"),
        ("500 Oops", "url_not_accessible: the server answered 500"),
        ("429 Slow down", "too_many_requests: "),
        ("302 Found", "url_not_accessible: the server answered 302"),
    ],
)
def test_an_answer_that_is_no_success_is_an_error_result(net, status, code):
    net.pages["example.com/"] = http("secret words", status=status)
    text = refused(fetch(net))
    assert text.startswith(code)
    assert "secret" not in text


def test_an_unknown_compression_is_refused(net):
    net.pages["example.com/"] = html("x", Content_Encoding="br")
    assert refused(fetch(net)).startswith("unsupported_content_type: ")


# ---------------------------------------------------------------- the end from outside
@pytest.mark.parametrize("stage", ["resolve", "answer", "page"])
def test_a_call_ends_at_once_when_it_is_closed(net, stage):
    reached, go_on = threading.Event(), threading.Event()
    web = net.web(seconds=60)
    if stage == "resolve":
        web._connections = Connections(
            resolve=lambda *_: (reached.set(), go_on.wait(60), [PUBLIC])[2], dial=net.dial
        )
    elif stage == "answer":
        hold = net.hold(b"HTTP/1.1 200 OK\r\n\r\n")
        net.pages["example.com/"] = lambda connection: (reached.set(), hold(connection))
    else:
        page = html("<a " * 300_000)
        net.pages["example.com/"] = lambda c: (c.sendall(page), reached.set())
    call = web.fetch("http://example.com/", permits=_any, max_tokens=None)
    ended = []

    def run():
        try:
            call.result()
        except WebCallStopped:
            ended.append(time.monotonic())

    thread = threading.Thread(target=run)
    thread.start()
    assert reached.wait(20)
    closed = time.monotonic()
    call.close()
    call.close()
    thread.join(20)
    go_on.set()
    assert ended
    assert ended[0] - closed < 1


def test_a_call_that_was_closed_before_sends_nothing(net):
    call = net.web().fetch("http://example.com/", permits=_any, max_tokens=None)
    call.close()
    with pytest.raises(WebCallStopped):
        call.result()
    assert net.resolved == net.dialled == []


# ---------------------------------------------------------------- what comes back
def test_a_page_becomes_text_with_complete_links_and_without_its_machinery(net):
    net.pages["example.com/docs/"] = html(
        """<html><head><title> A
        title </title><style>p {}</style><base href="/base/"></head><body><nav>menu</nav>
        <script>alert(1)</script><h2>Head_line</h2><p>One <a href="x?y">two</a> &amp; three</p>
        <ul><li>a<li>b</ul><table><tr><th>k</th><th>v</th></tr><tr><td>1</td><td>2</td></tr></table>
        <pre>code  here</pre><footer>legal</footer></body></html>"""
    )
    text = said(fetch(net, "http://example.com/docs/"))
    assert text.startswith("URL: http://example.com/docs/\nTitle: A title\n\n")
    assert "## Head_line" in text
    assert "[two](http://example.com/base/x?y) & three" in text
    assert "| 1 | 2 |" in text
    assert "code  here" in text
    for noise in ("menu", "alert", "legal", "p {}"):
        assert noise not in text


def test_the_main_part_of_a_page_is_the_page(net):
    words = "word " * 100
    net.pages["example.com/"] = html(f"<div>aside</div><main>{words}</main>")
    text = said(fetch(net))
    assert "word word" in text
    assert "aside" not in text


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("caf\u00e9".encode(), "text/html; charset=utf-8"),
        ("caf\u00e9".encode("latin-1"), "text/html; charset=iso-8859-1"),
        ("caf\u00e9".encode("latin-1"), "text/html"),
        ("caf\u00e9".encode(), "text/html"),
        ("caf\u00e9".encode(), "text/html; charset=us-ascii"),
        ("caf\u00e9".encode(), "text/html; charset=zlib_codec"),
        ("caf\u00e9".encode(), "text/html; charset=nonsense"),
        ("\ufeffcaf\u00e9".encode("utf-16"), "text/html"),
        (b'<meta charset="cp1252">caf\xe9', "text/html"),
        (b'<meta http-equiv=a content="text/html; charset=windows-1252">caf\xe9', "text/html"),
        ("caf\u00e9".encode("utf-16-be"), "text/html; charset=utf-16be"),
        (b"caf\xe9", "text/html; charset=utf-8"),
    ],
)  # fmt: skip
def test_characters_are_found_whatever_a_page_says_of_them(net, body, kind):
    net.pages["example.com/"] = http(body, Content_Type=kind)
    text = said(fetch(net))
    assert "caf\u00e9" in text or (b"\xe9" in body and "utf-8" in kind and "caf\ufffd" in text)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", "plain  text"),
        ("text/csv", "a,b\n1,2"),
        ("application/json", '{"a": [1,  2]}'),
        ("application/ld+json", "{}"),
        ("application/rss+xml", "<rss/>"),
        ("image/svg+xml", "<svg/>"),
    ],
)
def test_text_of_any_kind_comes_as_it_is(net, kind, body):
    net.pages["example.com/"] = http(body, Content_Type=kind)
    assert said(fetch(net)) == f"URL: http://example.com/\n\n{body}"


def test_a_pdf_is_a_document(net):
    data = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\nbody"
    for kind in ("application/pdf", "application/octet-stream"):
        net.pages["example.com/a/The%20paper.pdf"] = http(data, Content_Type=kind)
        result = fetch(net, "http://example.com/a/The%20paper.pdf?x", tokens=1)
        assert result.content == (
            {
                "type": "document",
                "source": {
                    "type": "base64",
                    "media_type": "application/pdf",
                    "data": base64.b64encode(data).decode(),
                },
                "title": "The paper.pdf",
            },
        )


def png(width, height, size=100):
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height)
    return head.ljust(size, b"\0")


JPEG = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08" + struct.pack(">HH", 30, 40) + b"\0" * 20
IMAGES = [
    (png(10, 20), "image/png"),
    (JPEG, "image/jpeg"),
    (b"GIF89a" + struct.pack("<HH", 5, 6) + b"\0" * 9, "image/gif"),
    (b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0" + b"\x09\0\0\x13\0\0" + b"\0" * 9, "image/webp"),
]


@pytest.mark.parametrize(("data", "kind"), IMAGES, ids=[kind for _, kind in IMAGES])
def test_an_image_is_an_image_of_the_kind_it_really_is(net, data, kind):
    net.pages["example.com/"] = http(data, Content_Type="image/png")
    (block,) = fetch(net).content
    assert block["type"] == "image"
    assert block["source"]["media_type"] == kind
    assert base64.b64decode(block["source"]["data"]) == data


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (png(8001, 20), "image/png", "content_too_large"),
        (png(20, 0), "image/png", "content_too_large"),
        (png(20, 20, 4 * 1024 * 1024), "image/png", "content_too_large"),
        (b"\x89PNG\r\n\x1a\n", "image/png", "unsupported_content_type"),
        (b"\xff\xd8\xff\xe0\xff\xff", "image/jpeg", "unsupported_content_type"),
        (b"<html>", "image/png", "unsupported_content_type"),
        (b"II*\0", "image/tiff", "unsupported_content_type"),
        (b"not a pdf", "application/pdf", "unsupported_content_type"),
        (b"%PDF-1.7 /Encrypt 5 0 R", "application/pdf", "unsupported_content_type"),
        (b"PK\x03\x04", "application/zip", "unsupported_content_type"),
        (b"a\0b", "text/plain", "unsupported_content_type"),
        (b"\x7fELF\0", "application/octet-stream", "unsupported_content_type"),
    ],
)
def test_what_the_model_would_refuse_is_refused_here(net, data, kind, code):
    net.pages["example.com/"] = http(data, Content_Type=kind)
    assert refused(fetch(net)).startswith(f"{code}: ")


def test_what_does_not_say_what_it_is_is_looked_at(net):
    for body, shown in ((b"<p>hello", "hello"), (b"hello", "hello")):
        net.pages["example.com/"] = http(body)
        assert said(fetch(net)) == f"URL: http://example.com/\n\n{shown}"
    net.pages["example.com/"] = http(IMAGES[0][0])
    assert fetch(net).content[0]["type"] == "image"


def test_a_token_limit_cuts_text_and_says_so(net):
    net.pages["example.com/"] = http("abcd" * 100, Content_Type="text/plain")
    assert said(fetch(net, tokens=100)).endswith("\n\n" + "abcd" * 100)
    text = said(fetch(net, tokens=10))
    assert text.endswith("\n\n" + "abcd" * 10 + "\n[cut here: the page has more than 10 tokens]")


def test_an_empty_page_is_a_text_with_words(net):
    net.pages["example.com/"] = html("<script>only()</script>")
    assert said(fetch(net)).endswith("(no text)")


def test_the_process_that_reads_pages_inherits_no_secret(net, monkeypatch):
    from freehold.adapters.web import page_text

    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-hidden")
    given = []
    popen = page_text.subprocess.Popen

    def seen(*command, **options):
        given.append(options)
        return popen(*command, **options)

    monkeypatch.setattr(page_text.subprocess, "Popen", seen)
    net.pages["example.com/"] = html("<p>hello")
    assert "hello" in said(fetch(net))
    assert set(given[0]["env"]) == {"PYTHONPATH", "LC_ALL"}


# ---------------------------------------------------------------- web_search
@pytest.fixture
def engine():
    made = FakeInternet()
    yield made
    made.close()


def answer_of(*results):
    return http(json.dumps({"query": "x", "results": results}), Content_Type="application/json")


def endpoint(engine, path=""):
    host, port = engine._listener.getsockname()
    return f"http://{host}:{port}{path}"


def search(net, url, *, permits=_any, domains=(), location=None, key=None):
    web = net.web(search_url=url, search_key=key)
    call = web.search(
        "some words", permits=permits, domains=domains, location=location or {}, model="m"
    )
    return call.result()


FOUND = {"url": "https://Example.com/a#b", "title": " A \n title ", "content": " text ", "score": 1}


def test_results_are_search_results(net, engine):
    engine.pages[""] = answer_of(FOUND, {"url": "https://example.org/", "title": None})
    assert search(net, endpoint(engine)).content == (
        {
            "type": "search_result",
            "source": "https://example.com/a",
            "title": "A title",
            "content": [{"type": "text", "text": "text"}],
            "citations": {"enabled": False},
        },
        {
            "type": "search_result",
            "source": "https://example.org/",
            "title": "https://example.org/",
            "content": [{"type": "text", "text": "https://example.org/"}],
            "citations": {"enabled": False},
        },
    )
    assert "GET /?q=some+words&format=json HTTP/1.1" in engine.requests[0]
    assert "Authorization" not in engine.requests[0]


def test_location_and_key_are_passed_on_and_a_query_of_the_endpoint_is_kept(net, engine):
    from pydantic import SecretStr

    engine.pages[""] = answer_of(FOUND)
    place = {"country": "DE", "city": "K\u00f6ln"}
    url = endpoint(engine, "/search?engines=x")
    assert not search(net, url, location=place, key=SecretStr("k3y")).is_error
    line = engine.requests[0].split("\r\n")[0]
    assert line == (
        "GET /search?engines=x&country=DE&city=K%C3%B6ln&q=some+words&format=json HTTP/1.1"
    )
    assert "Authorization: Bearer k3y" in engine.requests[0]


def test_results_that_may_not_be_reached_are_left_out(net, engine):
    urls = ["http://127.0.0.1/", "javascript:x", "https://ads.example.com/", "http://inside/"]
    engine.pages[""] = answer_of(*({"url": url} for url in [*urls, "https://example.com/ok"]))
    result = search(net, endpoint(engine), permits=lambda url: "ads." not in url)
    assert [block["source"] for block in result.content] == ["https://example.com/ok"]
    nothing = search(net, endpoint(engine), permits=lambda _: False)
    assert nothing.content == ({"type": "text", "text": "No results."},)
    assert not nothing.is_error


def test_wanted_domains_are_hinted_at(net, engine):
    engine.pages[""] = answer_of()
    search(net, endpoint(engine), domains=("a.com", "b.org/x"))
    assert "q=some+words+%28site%3Aa.com+OR+site%3Ab.org%2Fx%29" in engine.requests[0]


@pytest.mark.parametrize(
    "answer",
    [
        http("no json"),
        http('{"results": 1}'),
        http("[1]"),
        http(status="500 Oops"),
        redirect("http://127.0.0.1:9/"),
        b"",
    ],
)
def test_a_failing_endpoint_is_an_error_result_without_an_address(net, engine, answer, caplog):
    engine.pages[""] = answer
    text = refused(search(net, endpoint(engine)))
    assert text.startswith("unavailable: the search endpoint ")
    assert "127.0.0.1" not in text
    assert [record.message for record in caplog.records] == ["search_failed"]


def test_a_search_ends_at_once_when_it_is_closed(net, engine):
    reached = threading.Event()
    hold = engine.hold()
    engine.pages[""] = lambda connection: (reached.set(), hold(connection))
    web = net.web(search_url=endpoint(engine), seconds=60)
    call = web.search("words", permits=_any, domains=(), location={}, model="m")
    closer = threading.Thread(target=lambda: (reached.wait(20), call.close()))
    closer.start()
    with pytest.raises(WebCallStopped):
        call.result()
    closer.join(20)
    assert engine.gone.wait(10)


def test_a_server_without_an_endpoint_has_no_search(net):
    assert net.web().tools == ("web_fetch",)
    assert net.web(search_url="http://127.0.0.1:9").tools == ("web_fetch", "web_search")


def test_few_pages_are_read_at_a_time_and_the_others_wait_and_end(net, monkeypatch):
    from freehold.adapters.web import page_text

    reading, go_on, most = [], threading.Event(), []
    lock = threading.Lock()

    def read(page, url, lifeline):
        with lock:
            reading.append(url)
            most.append(len(reading))
        go_on.wait(20)
        with lock:
            reading.remove(url)
        return "", "text"

    monkeypatch.setattr(page_text, "_read", read)
    net.pages["example.com/"] = html("<p>hello")
    web = net.web(seconds=60)
    calls = [web.fetch("http://example.com/", permits=_any, max_tokens=None) for _ in range(4)]
    ended = []

    def run(call):
        try:
            ended.append(call.result())
        except WebCallStopped:
            ended.append(None)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(net.requests) == 4 and len(reading) == 2)
    calls[0].close()
    calls[1].close()
    calls[2].close()
    calls[3].close()
    wait_for(lambda: len(ended) == 2)
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert max(most) == 2
    again = web.fetch("http://example.com/", permits=_any, max_tokens=None).result()
    assert said(again).endswith("text")
