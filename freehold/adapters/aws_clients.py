"""Clients of AWS services, with the credentials and the Region that the environment has."""

from __future__ import annotations

from threading import Lock
from typing import Any

import boto3  # type: ignore[import-untyped]  # publishes no types
from botocore.config import Config  # type: ignore[import-untyped]  # as above
from botocore.exceptions import (  # type: ignore[import-untyped]  # as above
    BotoCoreError,
    ClientError,
)

_CONFIG = Config(
    connect_timeout=2,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 3},
)
"""A request that hangs must leave the others of an invocation their time: API Gateway waits 29 s
for all of them. Every call here may be repeated: starts have a name.
"""
_ONCE = _CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
"""The store repeats its requests itself and must know of each: what was not answered may land."""
_PATIENT = _ONCE.merge(Config(read_timeout=60))
"""A call of a sandbox is waited for 25 s, and what is sent there is signed for once."""
_REGIONAL = _CONFIG.merge(Config(s3={"us_east_1_regional_endpoint": "regional"}))
"""In us-east-1 the client would else ask S3 by its older name, which does not resolve where
sandboxes are (`infra/sandboxes.py` lists what does).
"""
_CONFIGS = {"dynamodb": _ONCE, "lambda": _PATIENT, "s3": _REGIONAL}
_MOMENT = Config(
    connect_timeout=1,
    read_timeout=1,
    retries={"mode": "standard", "total_max_attempts": 1},
    max_pool_connections=64,
)
"""A WebSocket that is slow to take a message waits for its next turn, and the others do not."""


def connections_client(url: str) -> Any:
    """For the connections of the WebSocket API behind `url`, thread-safe."""
    return boto3.client("apigatewaymanagementapi", endpoint_url=url, config=_MOMENT)


def client(service: str) -> Any:
    """A client, thread-safe. Connects with its first call.

    Raises BotoCoreError without a Region.
    """
    return boto3.client(service, config=_CONFIGS.get(service, _CONFIG))


class CredentialsRefused(Exception):
    """AWS does not take them, or cannot be asked. The message is one line, without a secret."""


def has_credentials() -> bool:
    """Whether the environment, a profile or this machine's role has any. May ask the machine's
    metadata service, a second at most.
    """
    try:
        return boto3.Session().get_credentials() is not None
    except BotoCoreError:  # a profile that is not there, a sign-in that has run out
        return False


def account(region: str | None) -> str:
    """The account that the credentials are of, which every caller may ask. Raises
    CredentialsRefused.
    """
    try:
        # A session of its own: the default one keeps the credentials that it found first.
        sts = boto3.Session().client("sts", region_name=region, config=_CONFIG)
        found: str = sts.get_caller_identity()["Account"]
    except ClientError as error:
        raise CredentialsRefused(f"AWS answers {error.response['Error']['Code']}") from error
    except BotoCoreError as error:
        raise CredentialsRefused(f"AWS cannot be asked ({type(error).__name__})") from error
    return found


class LateClient:
    """A client that is made when it is first used: a function starts without those that most of its
    requests do not need.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._made: Any = None
        self._lock = Lock()

    def close(self) -> None:
        """Drops idle connections, if there is a client yet."""
        with self._lock:
            if self._made is not None:
                self._made.close()

    def __getattr__(self, name: str) -> Any:
        with self._lock:  # boto3 makes one client at a time
            if self._made is None:
                self._made = client(self._service)
        return getattr(self._made, name)
