"""Errors by audience (STYLE, house rule 6): `ApiError` speaks to callers, `ToolError` to the model,
everything else to operators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar


class ApiError(Exception):
    """A refusal with a status and an error type of the API (BEHAVIOUR 1.3). The message is shown to
    the caller.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "api_error"

    def __init__(
        self,
        message: str,
        *,
        details: Mapping[str, object] | None = None,
        should_retry: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.should_retry = should_retry
        self.retry_after = retry_after


class InvalidRequest(ApiError):
    """400: what was sent cannot be accepted, or not now. The message names the field or the cause;
    the same request fails again.
    """

    status = 400
    type = "invalid_request_error"


class AuthenticationFailed(ApiError):
    """401: no key, or one that nobody was given or that has been revoked."""

    status = 401
    type = "authentication_error"


class PermissionDenied(ApiError):
    """403: the key does not reach what was asked for, such as another workspace."""

    status = 403
    type = "permission_error"


class NotFound(ApiError):
    """404: there is nothing of this id in the workspace, or no such path; without the beta header
    no path of the API is there.
    """

    status = 404
    type = "not_found_error"


class Conflict(ApiError):
    """409: it contradicts what is there, such as a name that is taken or a version that has moved
    on. SDKs repeat a 409 unless told otherwise, so each says whether that can help.
    """

    status = 409
    type = "conflict_error"

    def __init__(
        self, message: str, *, should_retry: bool, details: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message, details=details, should_retry=should_retry)


class RequestTooLarge(ApiError):
    """413: the body is larger than the limit that the message names."""

    status = 413
    type = "request_too_large"


class RateLimited(ApiError):
    """429: the workspace has made its requests of this minute. Headers say what was allowed and
    when a repeat helps.
    """

    status = 429
    type = "rate_limit_error"

    def __init__(self, message: str, *, retry_after: float, headers: Mapping[str, str]) -> None:
        super().__init__(message, retry_after=retry_after)
        self.headers = headers


class Unavailable(ApiError):
    """503: the store would not take the write in time, or the server is shutting down. A repeat can
    help.
    """

    status = 503
    type = "api_error"


class NotYetSupported(InvalidRequest):
    """400: a documented feature of the API that this server refuses by name. `docs/divergences.md`
    lists each.
    """

    def __init__(self, feature: str) -> None:
        super().__init__(f"`{feature}` is not supported by this server yet.")
        self.feature = feature


class ToolError(Exception):
    """A failed tool call. The text becomes an error result that the model reads; the session goes
    on.
    """


class SandboxLost(ToolError):
    """The sandbox stopped answering. A fresh one may be started; calls it had begun have an unknown
    outcome.
    """


class SandboxStarting(Exception):
    """The sandbox is not there yet. Nothing is wrong and nothing was begun: ask again in `seconds`,
    in another invocation.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"the sandbox starts; ask again in {seconds} s")
        self.seconds = seconds


class ModelError(Exception):
    """A model request that failed. `kind` is a `session.error` type without its `_error` suffix
    (BEHAVIOUR 9). `refused`: the model takes no request with this content, now or later;
    `too_long`: because there is too much of it.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        retryable: bool,
        retry_after: float | None = None,
        refused: bool = False,
        too_long: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retryable = retryable
        self.retry_after = retry_after
        self.refused = refused
        self.too_long = too_long


class NoSummary(ModelError):
    """The model was asked for a summary, and said none."""

    def __init__(self) -> None:
        super().__init__("model_request_failed", "The model gave no summary.", retryable=True)


class ModelStopped(Exception):
    """The model stream was closed from this side, by an interrupt, a deadline or a shutdown."""


class WebCallStopped(Exception):
    """A call of a web tool was closed from this side, by an interrupt, a deadline or a shutdown."""


class ConnectionGone(Exception):
    """There is no such WebSocket any more: whatever is known of it can be forgotten."""


class ConnectionBusy(Exception):
    """A WebSocket did not take a message in a moment; whether it arrives is unknown. Its client is
    slow, or all connections together are too fast.
    """


class StaleRead(Exception):
    """A condition of a transaction did not hold: what it was decided on has changed. Read again and
    decide again.

    `failed` names the conditions that did not hold, in the words of `ports.Condition.reason`.
    """

    def __init__(self, failed: Sequence[str] = ()) -> None:
        super().__init__(", ".join(failed) or "transaction conflict")
        self.failed = tuple(failed)


class AmbiguousWrite(Exception):
    """The store did not answer: the transaction may have been applied, may land later, or never."""


class ItemTooLarge(Exception):
    """A transaction breaks a limit of the store (item, transaction or count). Always a defect of
    the writer.
    """


class NewerStore(Exception):
    """What is stored has a later schema version than this release reads. The message names the
    release that reads it.
    """
