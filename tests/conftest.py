"""Guards for every test: nothing leaves this machine, no real key is in reach, no model is called.

Child processes inherit the environment, not the audit hook; they are given loopback addresses only.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys

import pytest

_PREFIXES = ("ANTHROPIC_", "FREEHOLD_", "AWS_")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

for _name in list(os.environ):
    if _name.startswith(_PREFIXES) or _name.upper() in _PROXIES:
        del os.environ[_name]


class NetworkForbidden(Exception):
    """A test reached for an address that is not this machine's own."""


def _is_loopback(host: object) -> bool:
    if isinstance(host, bytes | bytearray):
        host = bytes(host).decode()
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(str(host).partition("%")[0]).is_loopback
    except ValueError:
        return False


def _guard(event: str, arguments: tuple) -> None:
    """An audit hook cannot be taken off again, and sees what C code does as well."""
    if event in {"socket.connect", "socket.sendto", "socket.bind"}:
        opened, address = arguments
        if opened.family in {socket.AF_INET, socket.AF_INET6} and not _is_loopback(address[0]):
            raise NetworkForbidden(f"{event} to {address[0]!r}")
    elif event in {"socket.getaddrinfo", "socket.gethostbyname"}:
        host = arguments[0]
        if host and not _is_loopback(host):
            raise NetworkForbidden(f"{event} of {host!r}")


sys.addaudithook(_guard)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI, where `scripts/test` made everything, nothing waits for what it makes."""
    report = yield
    if report.skipped and "CI" in os.environ and "waits for" in str(report.longrepr):
        report.outcome = "failed"
    return report


@pytest.fixture(scope="session")
def emulated_aws():
    """An `Endpoint` of one emulated account for all who give what they make there names of their
    own. Its state machines wait a hundredth of what they should; its functions run under the Python
    of the tests.
    """
    from tests.ministack import ministack

    with ministack({"LAMBDA_PYTHON": sys.executable, "SFN_WAIT_SCALE": "0.01"}) as endpoint:
        yield endpoint
