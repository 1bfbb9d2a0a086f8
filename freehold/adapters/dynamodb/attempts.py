"""Requests and what becomes of them: answered, throttled, or never answered.

The only module of the package that knows the client's exceptions. A client may repeat requests by
itself: a write that it has repeated counts as one that was not answered before.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from botocore.exceptions import (  # type: ignore[import-untyped]  # publishes no types
    ChecksumError,
    ClientError,
    ConnectionError,  # noqa: A004 - the client's own, of which the built-in one is no base
    HTTPClientError,
    IncompleteReadError,
)
from botocore.parsers import (  # type: ignore[import-untyped]  # as above
    ResponseParserError,
)

from freehold.errors import AmbiguousWrite, Unavailable

T = TypeVar("T")

_ATTEMPTS = 8
_FIRST_PAUSE = 0.025
_LONGEST_PAUSE = 0.8
_PATIENCE_SECONDS = 5.0
"""No attempt begins later than this: a caller behind API Gateway has 29 s for all its requests."""

_UNANSWERED = (
    ChecksumError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ResponseParserError,
)
_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
    }
)
_THROTTLED_REASONS = {"None", "ProvisionedThroughputExceeded", "ThrottlingError"}
_SERVER_ERRORS = 500


def pauses() -> Iterator[None]:
    """Once for each attempt, after the pause before it; ends when no further one should be made."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for attempt in range(_ATTEMPTS):
        if attempt:
            ceiling = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)
            # Full jitter: callers that were throttled together must not return together.
            threading.Event().wait(random.uniform(0.0, ceiling))  # noqa: S311 - guards nothing
            if time.monotonic() > deadline:
                return
        yield


def read(request: Callable[[], T]) -> T:
    """The answer. Repeats what was throttled or not answered; Unavailable after too many attempts.

    Raises ClientError for what no repetition helps: permissions, a table that is not there.
    """
    return _repeated(request, "The store cannot be read.")


def put(request: Callable[[], object]) -> None:
    """As `read`, of a write that may be made twice."""
    _repeated(request, "The store cannot take the write.")


def _repeated(request: Callable[[], T], failure: str) -> T:
    cause: Exception | None = None
    for _ in pauses():
        try:
            return request()
        except _UNANSWERED as error:
            cause = error
        except ClientError as error:
            if not _may_be_repeated(error):
                raise
            cause = error
    raise Unavailable(failure, retry_after=1) from cause


def write(
    request: Callable[[], object], refusal: Callable[[Mapping[str, Any]], Exception | None]
) -> None:
    """Repeats a request that carries a token, so that the table applies it once.

    `refusal` says what the table's answer to a refused request means. Once an attempt went
    unanswered only success is certain: that attempt may still arrive, after a later one was
    refused. All else is AmbiguousWrite then. Unavailable: the table was too busy all along.
    """
    is_unsure = False
    cause: Exception | None = None
    for _ in pauses():
        try:
            request()
        except _UNANSWERED as error:
            is_unsure, cause = True, error
        except ClientError as error:
            is_unsure, cause = is_unsure or _is_unsure(error), error
            if _may_be_repeated(error):
                continue
            if is_unsure:
                break
            meaning = refusal(error.response)
            if meaning is None:
                raise
            raise meaning from error
        else:
            return
    if is_unsure:
        raise AmbiguousWrite("the table did not answer") from cause
    raise Unavailable("The store cannot take the write.", retry_after=1) from cause


def _may_be_repeated(error: ClientError) -> bool:
    return _is_throttled(error) or _is_unanswered(error)


def _is_throttled(error: ClientError) -> bool:
    reasons = {reason["Code"] for reason in error.response.get("CancellationReasons", ())}
    return error.response["Error"]["Code"] in _THROTTLED or (
        bool(reasons) and reasons <= _THROTTLED_REASONS
    )


def _is_unsure(error: ClientError) -> bool:
    """Also when the client has repeated it by itself: what was said before is not known."""
    was_repeated = bool(error.response["ResponseMetadata"].get("RetryAttempts"))
    return was_repeated or _is_unanswered(error)


def _is_unanswered(error: ClientError) -> bool:
    """The table says itself that it does not know: it failed, or an earlier attempt under the same
    token has not ended.
    """
    status: int = error.response["ResponseMetadata"]["HTTPStatusCode"]
    code: str = error.response["Error"]["Code"]
    return status >= _SERVER_ERRORS or code == "TransactionInProgressException"
