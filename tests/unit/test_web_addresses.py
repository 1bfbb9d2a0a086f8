"""Which URLs and addresses are refused before anything is sent."""

from __future__ import annotations

import pytest

from egress_proxy.public_address import is_public
from freehold.adapters.web.failure import Failed
from freehold.adapters.web.web_url import parse, parse_public


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "169.254.170.2",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:93.184.216.34",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::5db8:d822",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:5db8:d822::1",
        "3fff::1",
        "4000::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "2606:2800:220:1::1%eth0",
        "fec0::1",
        "ff02::1",
        "localhost",
        "0x7f.1",
        "",
    ],
)
def test_an_address_that_is_not_the_public_internets_is_refused(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:2800:220:1::1"]
)
def test_a_public_address_is_accepted(address):
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://example.com/", "invalid_tool_input"),
        ("file:///etc/passwd", "invalid_tool_input"),
        ("gopher://example.com/", "invalid_tool_input"),
        ("data:text/html,hello", "invalid_tool_input"),
        ("javascript:alert(1)", "invalid_tool_input"),
        ("//example.com/", "invalid_tool_input"),
        ("example.com", "invalid_tool_input"),
        ("", "invalid_tool_input"),
        ("http://", "invalid_tool_input"),
        ("http:///path", "invalid_tool_input"),
        ("http://user@example.com/", "invalid_tool_input"),
        ("http://user:pass@example.com/", "invalid_tool_input"),
        ("http://example.com@127.0.0.1/", "invalid_tool_input"),
        ("http://@example.com/", "invalid_tool_input"),
        ("http://example.com\\@127.0.0.1/", "invalid_tool_input"),
        ("http://example.com/a b", "invalid_tool_input"),
        ("http://example.com/\r\nX: y", "invalid_tool_input"),
        ("http://exa\tmple.com/", "invalid_tool_input"),
        ("http://example.com:99999/", "invalid_tool_input"),
        ("http://example.com:x/", "invalid_tool_input"),
        ("http://exa%6dple.com/", "invalid_tool_input"),
        ("http://127.1/", "invalid_tool_input"),
        ("http://0177.0.0.1/", "invalid_tool_input"),
        ("http://0x7f.0.0.1/", "invalid_tool_input"),
        ("http://0x7f000001/", "invalid_tool_input"),
        ("http://2130706433/", "invalid_tool_input"),
        ("http://017700000001/", "invalid_tool_input"),
        ("http://1.2.3.4.5/", "invalid_tool_input"),
        ("http://a.0x/", "invalid_tool_input"),
        ("http://[::1", "invalid_tool_input"),
        ("http://[v1.x]/", "invalid_tool_input"),
        ("http://a..example.com/", "invalid_tool_input"),
        ("http://-a.example.com/", "invalid_tool_input"),
        (f"http://{'a' * 64}.example.com/", "invalid_tool_input"),
        ("http://\u0661\u0662\u0667.1/", "invalid_tool_input"),
        ("http://example.com:8080/", "url_not_allowed"),
        ("https://example.com:22/", "url_not_allowed"),
        ("http://example.com:0/", "url_not_allowed"),
        ("http://localhost/", "url_not_allowed"),
        ("http://LOCALHOST./", "url_not_allowed"),
        ("http://intranet/", "url_not_allowed"),
        ("http://metadata.google.internal/", "url_not_allowed"),
        ("http://printer.local/", "url_not_allowed"),
        ("http://x.localhost/", "url_not_allowed"),
        ("http://example.com/" + "a" * 2000, "url_too_long"),
    ],
)
def test_a_url_that_is_no_plain_public_one_is_refused(url, code):
    with pytest.raises(Failed, match=f"^{code}: "):
        parse_public(url)


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("http://example.com", "http://example.com/"),
        ("HTTPS://Example.COM:443/A?b=C#d", "https://example.com/A?b=C"),
        ("http://example.com:443/", "http://example.com:443/"),
        ("http://example.com./", "http://example.com/"),
        ("http://1.1.1.1/", "http://1.1.1.1/"),
        ("http://[2606:2800::1]/x", "http://[2606:2800::1]/x"),
        (
            "https://b\u00fccher.example/\u00e9?q=\u00fc",
            "https://xn--bcher-kva.example/%C3%A9?q=%C3%BC",
        ),
        ("https://fa\u00df.example/", "https://xn--fa-hia.example/"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("http://example\u3002com/", "http://example.com/"),
        ("http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/", "http://127.0.0.1/"),
        ("http://example.com/%2e%2e/x;y=1,2?a=[1]", "http://example.com/%2e%2e/x;y=1,2?a=%5B1%5D"),
    ],
)
def test_a_url_has_one_form(url, parsed):
    assert str(parse_public(url)) == str(parse(url)) == parsed
