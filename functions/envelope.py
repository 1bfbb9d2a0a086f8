"""The shape of every refusal, and the headers of every answer (BEHAVIOUR 1.2, 1.3)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from freehold.errors import ApiError, RateLimited
from freehold.services.keys import Caller

ORGANIZATION = "org_freehold"
"""One installation is one organization; clients only log the header."""


class MethodNotAllowed(ApiError):
    """405: the path exists, the method does not."""

    status = 405
    type = "invalid_request_error"


class InternalError(ApiError):
    """500: what nobody foresaw. It says nothing but the request id to look for in the log."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"Internal server error. The server's log says more about {request_id}.")


def error_body(error: ApiError, request_id: str) -> str:
    """The JSON of a refusal."""
    return json.dumps({"type": "error", "error": error_object(error), "request_id": request_id})


def error_object(error: ApiError) -> Mapping[str, object]:
    """What was wrong; `details` only where there are any."""
    shown: dict[str, object] = {"type": error.type, "message": error.message}
    if error.details:
        shown["details"] = dict(error.details)
    return shown


def answer_headers(
    request_id: str, caller: Caller | None = None, error: ApiError | None = None
) -> Mapping[str, str]:
    """Headers of any answer. No workspace is named before the caller is known."""
    headers = {"request-id": request_id, "anthropic-organization-id": ORGANIZATION}
    if caller is not None:
        headers["anthropic-workspace-id"] = caller.workspace_id
    if error is not None and error.should_retry is not None:
        headers["x-should-retry"] = "true" if error.should_retry else "false"
    if error is not None and error.retry_after is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after))
    if isinstance(error, RateLimited):
        headers.update(error.headers)
    return headers
