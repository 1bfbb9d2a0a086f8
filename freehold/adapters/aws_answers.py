"""What it means that AWS does not answer, the same for every adapter of one of its services.

A client repeats a request by itself a few times with growing pauses (`aws_clients`), so whatever
arrives here has been tried long enough for whoever waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (  # type: ignore[import-untyped]  # publishes no types
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - the client's own, of which the built-in one is no base
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
)
from botocore.parsers import (  # type: ignore[import-untyped]  # as above
    ResponseParserError,
)

from freehold.errors import Unavailable

_UNANSWERED = (
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    ResponseParserError,
)
_PASSING = frozenset(
    {
        "ExecutionLimitExceeded",
        "RequestTimeout",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
    }
)
_SERVER_ERRORS = 500


@contextmanager
def answered(service: str) -> Iterator[None]:
    """Raises Unavailable when the service failed, was too busy or did not answer: whether it did
    what it was asked for is unknown then. What no repetition helps stays a ClientError.
    """
    try:
        yield
    except _UNANSWERED as error:
        raise Unavailable(f"{service} does not answer.", retry_after=1) from error
    except ClientError as error:
        status: int = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status < _SERVER_ERRORS and code(error) not in _PASSING:
            raise
        raise Unavailable(f"{service} is too busy.", retry_after=1) from error


def code(error: ClientError) -> str:
    """The service's own name of what it refused."""
    name: str = error.response["Error"]["Code"]
    return name


FAILURES = (BotoCoreError, ClientError, ResponseParserError)
"""All that a call raises for what comes of it."""


def in_words(error: Exception) -> str:
    """One of FAILURES for the person at a terminal, on one line: what AWS refused, or why it was
    not reached.
    """
    if isinstance(error, ClientError):
        return f"{code(error)}: {error.response['Error'].get('Message', '')}".strip(": ")
    if isinstance(error, ResponseParserError):
        return "what answers is not AWS"
    return " ".join(str(error).split())
