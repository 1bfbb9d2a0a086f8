"""The guard of tests/conftest.py holds: a test that would leave this machine fails."""

from __future__ import annotations

import os
import socket

import pytest


@pytest.mark.parametrize("address", ["192.0.2.1", "169.254.169.254", "2001:db8::1"])
def test_no_connection_leaves_this_machine(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as opened, pytest.raises(Exception, match=r"socket\.connect to"):
        opened.connect((address, 80))


def test_no_datagram_leaves_this_machine():
    with (
        socket.socket(type=socket.SOCK_DGRAM) as opened,
        pytest.raises(Exception, match=r"socket\.sendto to"),
    ):
        opened.sendto(b"x", ("192.0.2.1", 9))


def test_no_name_is_looked_up():
    with pytest.raises(Exception, match=r"socket\.getaddrinfo of"):
        socket.getaddrinfo("api.anthropic.com", 443)


def test_no_server_listens_beyond_this_machine():
    with socket.socket() as opened, pytest.raises(Exception, match=r"socket\.bind to"):
        opened.bind(("0.0.0.0", 0))


def test_this_machine_can_be_reached():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


def test_no_key_is_in_the_environment():
    assert not [name for name in os.environ if name.startswith("ANTHROPIC_")]
