"""Clients of AWS services, with the credentials and the Region that the environment has."""

from __future__ import annotations

from typing import Any

import boto3  # type: ignore[import-untyped]  # publishes no types
from botocore.config import Config  # type: ignore[import-untyped]  # as above

_CONFIG = Config(
    connect_timeout=2,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 3},
)
"""A request that hangs must leave the others of an invocation their time: API Gateway waits 29 s
for all of them. Every call here may be repeated: writes are conditional, starts have a name.
"""


def client(service: str) -> Any:
    """A client, thread-safe. Connects with its first call.

    Raises BotoCoreError without a Region.
    """
    return boto3.client(service, config=_CONFIG)
