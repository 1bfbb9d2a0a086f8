"""The error envelope (BEHAVIOUR 1.3) and the errors a session reports as events (BEHAVIOUR 9)."""

from typing import Annotated, Any, Literal

from pydantic import Field

from freehold.wire.base import Omittable, WireModel


class ErrorBody(WireModel):
    """What went wrong. `details` only where a machine code exists."""

    type: str
    message: str
    details: Omittable[dict[str, Any]] = None


class ErrorEnvelope(WireModel):
    """The body of every refusal."""

    type: Literal["error"] = "error"
    error: ErrorBody
    request_id: str


class RetryStatusRetrying(WireModel):
    """The server tries again by itself."""

    type: Literal["retrying"] = "retrying"


class RetryStatusExhausted(WireModel):
    """This turn is dead; a new message starts afresh."""

    type: Literal["exhausted"] = "exhausted"


class RetryStatusTerminal(WireModel):
    """The session ends."""

    type: Literal["terminal"] = "terminal"


RetryStatus = Annotated[
    RetryStatusRetrying | RetryStatusExhausted | RetryStatusTerminal, Field(discriminator="type")
]


class _Failure(WireModel):
    message: str
    retry_status: RetryStatus


class UnknownErrorObject(_Failure):
    """Anything without a type of its own."""

    type: Literal["unknown_error"] = "unknown_error"


class ModelOverloadedErrorObject(_Failure):
    """The provider is overloaded."""

    type: Literal["model_overloaded_error"] = "model_overloaded_error"


class ModelRateLimitedErrorObject(_Failure):
    """The provider's rate limit."""

    type: Literal["model_rate_limited_error"] = "model_rate_limited_error"


class ModelRequestFailedErrorObject(_Failure):
    """Any other failure of a model request."""

    type: Literal["model_request_failed_error"] = "model_request_failed_error"


class BillingErrorObject(_Failure):
    """Out of credit."""

    type: Literal["billing_error"] = "billing_error"


class MCPConnectionFailedErrorObject(_Failure):
    """An MCP server did not answer."""

    type: Literal["mcp_connection_failed_error"] = "mcp_connection_failed_error"
    mcp_server_name: str


class MCPAuthenticationFailedErrorObject(_Failure):
    """An MCP server refused the credential."""

    type: Literal["mcp_authentication_failed_error"] = "mcp_authentication_failed_error"
    mcp_server_name: str


class CredentialHostUnreachableErrorObject(_Failure):
    """A credential is for a host the environment forbids."""

    type: Literal["credential_host_unreachable_error"] = "credential_host_unreachable_error"
    credential_id: str
    vault_id: str


class ToolUseLimitReachedErrorObject(_Failure):
    """Too many rounds of tools without an end."""

    type: Literal["tool_use_limit_reached_error"] = "tool_use_limit_reached_error"


class CompactionLimitReachedErrorObject(_Failure):
    """Too many compactions in a row."""

    type: Literal["compaction_limit_reached_error"] = "compaction_limit_reached_error"


class RepositoryAuthenticationErrorObject(_Failure):
    """A repository's token was refused."""

    type: Literal["repository_authentication_error"] = "repository_authentication_error"
    repository_url: str | None


class RepositoryForbiddenErrorObject(_Failure):
    """A repository's token does not reach it."""

    type: Literal["repository_forbidden_error"] = "repository_forbidden_error"
    repository_url: str | None


class RepositoryNotFoundErrorObject(_Failure):
    """A repository that is not there."""

    type: Literal["repository_not_found_error"] = "repository_not_found_error"
    repository_url: str | None


class RepositoryCheckoutErrorObject(_Failure):
    """A branch or commit that is not there."""

    type: Literal["repository_checkout_error"] = "repository_checkout_error"
    repository_url: str | None


class RepositoryCloneErrorObject(_Failure):
    """A repository that could not be cloned."""

    type: Literal["repository_clone_error"] = "repository_clone_error"
    repository_url: str | None


SessionError = Annotated[
    UnknownErrorObject
    | ModelOverloadedErrorObject
    | ModelRateLimitedErrorObject
    | ModelRequestFailedErrorObject
    | MCPConnectionFailedErrorObject
    | MCPAuthenticationFailedErrorObject
    | BillingErrorObject
    | CredentialHostUnreachableErrorObject
    | ToolUseLimitReachedErrorObject
    | CompactionLimitReachedErrorObject
    | RepositoryAuthenticationErrorObject
    | RepositoryForbiddenErrorObject
    | RepositoryNotFoundErrorObject
    | RepositoryCheckoutErrorObject
    | RepositoryCloneErrorObject,
    Field(discriminator="type"),
]

PlainSessionError = (
    UnknownErrorObject
    | ModelOverloadedErrorObject
    | ModelRateLimitedErrorObject
    | ModelRequestFailedErrorObject
    | BillingErrorObject
    | ToolUseLimitReachedErrorObject
    | CompactionLimitReachedErrorObject
)

_PLAIN: dict[str, type[PlainSessionError]] = {
    "model_overloaded": ModelOverloadedErrorObject,
    "model_rate_limited": ModelRateLimitedErrorObject,
    "model_request_failed": ModelRequestFailedErrorObject,
    "billing": BillingErrorObject,
    "tool_use_limit_reached": ToolUseLimitReachedErrorObject,
    "compaction_limit_reached": CompactionLimitReachedErrorObject,
}
_RETRY: dict[str, RetryStatusRetrying | RetryStatusExhausted | RetryStatusTerminal] = {
    "retrying": RetryStatusRetrying(),
    "exhausted": RetryStatusExhausted(),
    "terminal": RetryStatusTerminal(),
}


def session_error(
    kind: str, message: str, retry_status: Literal["retrying", "exhausted", "terminal"]
) -> PlainSessionError:
    """The error of a `session.error` from its type without the `_error` suffix.

    A kind without a class is `unknown_error`. Errors that need further ids are built from
    their class.
    """
    return _PLAIN.get(kind, UnknownErrorObject)(message=message, retry_status=_RETRY[retry_status])
