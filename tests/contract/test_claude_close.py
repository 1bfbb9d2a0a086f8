"""`close` ends a request at once: wherever it waits, whoever closes it, also within TLS."""

from __future__ import annotations

import socket
import time

import pytest

from freehold.errors import ModelStopped
from freehold.ports import ReplyDone
from freehold.testing.messages_faults import Silence, Stall
from freehold.testing.messages_server import MessagesServer
from freehold.testing.model_contract import read, request_for
from tests.contract.claude_endpoint import KEY, certificate, failure_of, model_at, reading
from tests.servers import wait_for


@pytest.fixture(scope="module")
def api():
    with MessagesServer(api_key=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def claude(api):
    with model_at(api.url) as model:
        yield model


@pytest.mark.parametrize("fault", [Silence(), Stall(after=1), Stall(after=4)], ids=str)
def test_close_wakes_a_read_and_drops_the_connection_at_once(api, claude, fault):
    """`Silence` blocks before there is a status, `Stall` within the stream."""
    before = len(api.requests)
    api.fail_next(fault)
    reply = claude.open(request_for({"say": "one two three four five six"}))
    reader, result = reading(reply)
    sent = wait_for(lambda: api.requests[before:])[0]
    expected = {Silence(): 0, Stall(1): 1, Stall(4): 3}[fault]
    wait_for(lambda: len(result) == expected)
    started = time.monotonic()
    reply.close()
    reader.join(5)
    assert not reader.is_alive()
    assert time.monotonic() - started < 1
    assert isinstance(result[-1], ModelStopped)
    assert sent.left.wait(5)


def test_close_wakes_a_tls_handshake():
    """Somebody listens who never speaks."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with model_at(f"https://127.0.0.1:{silent.getsockname()[1]}") as model:
            reply = model.open(request_for({"say": "never"}))
            reader, result = reading(reply)
            connection, _ = silent.accept()
            with connection:
                assert connection.recv(1)  # the handshake has begun
                reply.close()
                reader.join(5)
        assert [type(item) for item in result] == [ModelStopped]


def test_a_certificate_is_trusted_by_ssl_cert_file(monkeypatch, tmp_path):
    """Also: close wakes a read of a TLS connection, and the peer sees it end."""
    tls, trusted = certificate(tmp_path)
    with MessagesServer(api_key=KEY, tls=tls) as api:
        with model_at(api.url) as model:
            error = failure_of(model)
            assert "SSL_CERT_FILE" in error.message
            assert not error.retryable
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        with model_at(api.url) as model:
            assert isinstance(read(model, request_for({"say": "hello"}))[-1], ReplyDone)
            api.fail_next(Stall(after=2))
            reply = model.open(request_for({"say": "hello"}))
            reader, result = reading(reply)
            wait_for(lambda: len(result) == 2)
            reply.close()
            reader.join(5)
            assert isinstance(result[-1], ModelStopped)
            assert api.requests[-1].left.wait(5)


def test_a_reply_that_nobody_reads_on_gives_up_its_connection(api, claude):
    before = len(api.requests)
    api.fail_next(Stall(after=2))
    for _chunk in claude.open(request_for({"say": "hello"})):
        break
    assert api.requests[before].left.wait(5)
