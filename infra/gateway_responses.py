"""What API Gateway answers by itself, in the shape of every other refusal (BEHAVIOUR 1.3)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import aws_apigateway as apigateway

_GATEWAY_MESSAGE = "$context.error.message"
"""API Gateway's own words; they hold nothing of the request."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """`status` None leaves the one that API Gateway chose."""

    type: str
    message: str = _GATEWAY_MESSAGE
    status: int | None = None


REFUSALS: Mapping[apigateway.ResponseType, Refusal] = {
    apigateway.ResponseType.DEFAULT_4_XX: Refusal("invalid_request_error"),
    apigateway.ResponseType.DEFAULT_5_XX: Refusal("api_error"),
    apigateway.ResponseType.ACCESS_DENIED: Refusal("permission_error"),
    apigateway.ResponseType.WAF_FILTERED: Refusal("permission_error"),
    # What is no route is answered as if a signature were missing.
    apigateway.ResponseType.MISSING_AUTHENTICATION_TOKEN: Refusal(
        "not_found_error", "Not found.", 404
    ),
    apigateway.ResponseType.RESOURCE_NOT_FOUND: Refusal("not_found_error", "Not found."),
    apigateway.ResponseType.REQUEST_TOO_LARGE: Refusal(
        "request_too_large", "Request body exceeds the limit of API Gateway, 10 MB."
    ),
    apigateway.ResponseType.THROTTLED: Refusal("rate_limit_error"),
    apigateway.ResponseType.QUOTA_EXCEEDED: Refusal("rate_limit_error"),
    apigateway.ResponseType.INTEGRATION_TIMEOUT: Refusal(
        "timeout_error", "The server did not answer in time. What was sent may have been accepted."
    ),
}


def add_refusals(api: apigateway.RestApi, cors_origins: Sequence[str]) -> None:
    """The SDKs read the status, the type and the `request-id` of whatever goes wrong.

    API Gateway sets headers without looking at the request, so one origin can be named and no more.
    """
    headers = {"request-id": "context.requestId"}
    if cors_origins:
        headers["Access-Control-Allow-Origin"] = f"'{cors_origins[0]}'"
        headers["Access-Control-Expose-Headers"] = "'*'"
    for kind, refusal in REFUSALS.items():
        api.add_gateway_response(
            "".join(word.capitalize() for word in kind.response_type.split("_")),
            type=kind,
            status_code=None if refusal.status is None else str(refusal.status),
            response_headers=headers,
            templates={"application/json": _template(refusal)},
        )


def _template(refusal: Refusal) -> str:
    body = {
        "type": "error",
        "error": {"type": refusal.type, "message": refusal.message},
        "request_id": "$context.requestId",
    }
    # With its quotes the gateway's message is a JSON string, escaped; without them it is bare text.
    return json.dumps(body).replace(f'"{_GATEWAY_MESSAGE}"', "$context.error.messageString")
