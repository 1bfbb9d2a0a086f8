"""`websocket` on Lambda."""

from __future__ import annotations

import os

import functions.start
from freehold.bootstrap_aws import aws, connections
from freehold.settings_aws import WebSocketEnvironment
from functions.observability import names_of_socket, observed, outcome_of_socket
from functions.websocket.handler import make_handler

_environment = WebSocketEnvironment.read(os.environ)

handler = observed(
    "websocket",
    make_handler(aws(_environment), connections(_environment.connections_url)),
    names=names_of_socket,
    outcome=outcome_of_socket,
    environment=os.environ,
)
functions.start.over()
