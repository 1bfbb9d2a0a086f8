"""What API Gateway's answers mean to who posts to a connection."""

from __future__ import annotations

import socket

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from freehold.adapters.gateway_connections import GatewayConnections
from freehold.errors import ConnectionBusy, ConnectionGone

CREDENTIALS = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}


def client(url="http://127.0.0.1:9"):
    return boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=url,
        region_name="eu-west-1",
        config=Config(
            connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1}, proxies={}
        ),
        **CREDENTIALS,
    )


@pytest.mark.parametrize(
    ("code", "status", "meaning"),
    [
        ("GoneException", 410, ConnectionGone),
        ("LimitExceededException", 429, ConnectionBusy),
        ("ThrottlingException", 400, ConnectionBusy),
        ("TooManyRequestsException", 429, ConnectionBusy),
        ("InternalServerError", 500, ConnectionBusy),
        ("ServiceUnavailable", 503, ConnectionBusy),
        ("ForbiddenException", 403, ClientError),
        ("PayloadTooLargeException", 413, ClientError),
    ],
)
def test_a_refusal_is_gone_busy_or_a_defect(code, status, meaning):
    made = client()
    with Stubber(made) as stubbed:
        stubbed.add_client_error("post_to_connection", code, http_status_code=status)
        with pytest.raises(meaning):
            GatewayConnections(made).post("a", "{}")


def test_what_is_not_answered_in_a_moment_is_busy():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConnectionBusy):
            GatewayConnections(client(url)).post("a", "{}")


def test_a_message_is_sent_as_it_is():
    made = client()
    with Stubber(made) as stubbed:
        stubbed.add_response("post_to_connection", {}, {"ConnectionId": "a", "Data": "é".encode()})
        GatewayConnections(made).post("a", "é")
        stubbed.assert_no_pending_responses()


@pytest.mark.parametrize("code", ["GoneException", "ForbiddenException", "LimitExceededException"])
def test_closing_fails_nobody(code):
    made = client()
    with Stubber(made) as stubbed:
        stubbed.add_client_error("delete_connection", code, http_status_code=410)
        GatewayConnections(made).close("a")
