"""What a failed request means: its kind (BEHAVIOUR 9), a line for a person, whether to try again.

Importing this module imports `anthropic`, which takes seconds.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import anthropic
import httpx2

from freehold.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freehold.adapters.claude.endpoint import Endpoint

_LONGEST = 400
_MOST_CAUSES = 10
_FAILED = "model_request_failed"
_OUT_OF_CREDIT = (
    "credit balance is too low",
    "api usage limits",
    "spend limit",
    "invalid_payment_instrument",
)
_TOO_LONG = ("prompt is too long", "exceed context limit", "input is too long")
"""Of the Claude API, of a model that counts its reply's tokens too, and of Bedrock."""
_TOO_LARGE = 413
"""Status of a body that is, whoever refuses it in whatever words."""
_UNKNOWN_ON_BEDROCK = ("model identifier is invalid", "on-demand throughput isn")


@dataclass(frozen=True, slots=True)
class _Meaning:
    """`text` may use `{host}`, `{model}` and `{said}`, the endpoint's own words, and
    `{url_variable}`. Two stand for texts of the endpoint.
    """

    kind: str
    text: str
    retryable: bool


_REFUSED = _Meaning(_FAILED, "{host} refused the request: {said}", retryable=False)
_BROKEN = _Meaning(_FAILED, "{host} failed: {said}", retryable=True)
_UNKNOWN_MODEL = _Meaning(_FAILED, "{host} knows no model {model!r}.", retryable=False)
_UNKNOWN_ID = _Meaning(
    _FAILED, "{host} serves no {model} under the id that was asked for: {said}", retryable=False
)
_CREDENTIALS = _Meaning(_FAILED, "{refused_credentials}", retryable=False)
_FORBIDDEN = _Meaning(_FAILED, "{forbidden}", retryable=False)
_BY_TYPE = {
    "billing_error": _Meaning("billing", "{host} does not serve this account: {said}", False),
    "overloaded_error": _Meaning("model_overloaded", "The model is overloaded.", True),
    "rate_limit_error": _Meaning(
        "model_rate_limited", "{host} limits the rate of requests: {said}", True
    ),
    "authentication_error": _CREDENTIALS,
    "permission_error": _FORBIDDEN,
    "not_found_error": _Meaning(
        _FAILED, "{host} has no Messages API at this URL: check {url_variable}.", False
    ),
    "timeout_error": _BROKEN,
    "conflict_error": _BROKEN,
    "api_error": _BROKEN,
}
_TYPE_OF_STATUS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_TYPE_OF_EXCEPTION = {
    "accessdenied": "permission_error",
    "accessdeniedexception": "permission_error",
    "expiredtokenexception": "authentication_error",
    "incompletesignature": "authentication_error",
    "incompletesignatureexception": "authentication_error",
    "internalserverexception": "api_error",
    "invalidsignatureexception": "authentication_error",
    "missingauthenticationtokenexception": "authentication_error",
    "modelerrorexception": "api_error",
    "modelnotreadyexception": "overloaded_error",
    "modelstreamerrorexception": "api_error",
    "modeltimeoutexception": "timeout_error",
    "resourcenotfoundexception": "permission_error",
    "servicequotaexceededexception": "rate_limit_error",
    "serviceunavailableexception": "overloaded_error",
    "throttlingexception": "rate_limit_error",
    "toomanyrequestsexception": "rate_limit_error",
    "unrecognizedclientexception": "authentication_error",
    "validationexception": "invalid_request_error",
}
"""AWS's names, as a header or a frame has them, in lower case. A model of Bedrock that is not found
is one that the account has not been given yet.
"""
_SERVER_ERRORS = range(500, 600)


def failure_of(error: Exception, endpoint: Endpoint, model: str) -> ModelError | None:
    """The failure in the port's words; None for an error that is no failed request but a defect."""
    if isinstance(error, ModelError):
        return error
    return (
        _of_the_client(error, endpoint, model)
        or endpoint.failure_of(error)
        or _senseless(error, endpoint)
    )


def _of_the_client(error: Exception, endpoint: Endpoint, model: str) -> ModelError | None:
    if isinstance(error, anthropic.APIStatusError):
        return _answered(error, endpoint, model)
    if isinstance(error, anthropic.APIConnectionError | httpx2.TransportError | httpx2.StreamError):
        return _unanswered(error, endpoint)
    if isinstance(error, anthropic.APIError):
        return ModelError("unknown", _line(error.message, endpoint), retryable=False)
    return None


def _senseless(error: Exception, endpoint: Endpoint) -> ModelError | None:
    if isinstance(error, ValueError):
        return ModelError(
            _FAILED, f"{endpoint.host} sent what is no message stream.", retryable=True
        )
    return None


def without_certificates(error: Exception) -> ModelError:
    """The trusted certificates cannot be loaded."""
    known = isinstance(error, OSError) and error.strerror
    return ModelError(
        _FAILED,
        f"The trusted certificates cannot be loaded ({known or type(error).__name__}):"
        " check SSL_CERT_FILE.",
        retryable=False,
    )


# ---------------------------------------------------------------- no answer
def _unanswered(error: Exception, endpoint: Endpoint) -> ModelError:
    host = endpoint.host
    if isinstance(error, anthropic.APITimeoutError | httpx2.TimeoutException):
        return ModelError(_FAILED, f"{host} did not answer in time.", retryable=True)
    if not isinstance(error, anthropic.APIConnectionError):
        return ModelError(_FAILED, "The connection to the model broke off.", retryable=True)
    causes = _causes(error)
    for cause in causes:
        if (failure := endpoint.failure_of(cause)) is not None:  # type: ignore[arg-type]  # causes are Exceptions, but for an exit
            return failure
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        text = f"The certificate of {host} is not trusted: check SSL_CERT_FILE."
        return ModelError(_FAILED, text, retryable=False)
    if any(isinstance(cause, httpx2.ProxyError) for cause in causes):
        why = "the proxy of HTTPS_PROXY refused"
    else:
        why = _line(str(causes[-1]), endpoint) if causes else "no connection"
    return ModelError(_FAILED, f"{host} cannot be reached: {why}", retryable=True)


def _causes(error: BaseException) -> list[BaseException]:
    """What led to it, the first cause last."""
    found: list[BaseException] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(found) < _MOST_CAUSES:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


# ---------------------------------------------------------------- an error for an answer
def _answered(error: anthropic.APIStatusError, endpoint: Endpoint, model: str) -> ModelError:
    said = _line(_message(error) or f"status {error.status_code}", endpoint)
    meaning = _meaning(error, said)
    own = {_CREDENTIALS: endpoint.refused_credentials, _FORBIDDEN: endpoint.forbidden}
    text = own.get(meaning, meaning.text)
    retryable = meaning.retryable
    headers = error.response.headers
    told = headers.get("x-should-retry")
    if told in {"true", "false"}:
        retryable = told == "true"
    refused = meaning is _REFUSED and not retryable
    is_large = error.status_code == _TOO_LARGE or any(w in said.lower() for w in _TOO_LONG)
    return ModelError(
        meaning.kind,
        text.format(host=endpoint.host, model=model, said=said, url_variable=endpoint.url_variable),
        retryable=retryable,
        retry_after=_retry_after(headers),
        refused=refused,
        too_long=refused and is_large,
    )


def _message(error: anthropic.APIStatusError) -> str | None:
    """AWS puts it at the top of the body."""
    body = error.body
    above = body.get("message") or body.get("Message") if isinstance(body, dict) else None
    return error.api_message or (above if isinstance(above, str) else None)


def _type(error: anthropic.APIStatusError) -> str | None:
    """The API's `error.type`; for an exception of AWS, the one that means the same."""
    named = str(error.type or error.response.headers.get("x-amzn-errortype"))
    exception = named.partition(":")[0].rpartition("#")[2].casefold()
    return _TYPE_OF_EXCEPTION.get(exception, error.type)


def _meaning(error: anthropic.APIStatusError, said: str) -> _Meaning:
    """By `error.type` first: within a stream the status is 200 whatever went wrong.

    A spend limit comes as 400 or 429, told apart by its text alone.
    """
    if any(words in said.lower() for words in _OUT_OF_CREDIT):
        return _BY_TYPE["billing_error"]
    type_ = _type(error)
    if type_ == "not_found_error" and "model" in said:
        return _UNKNOWN_MODEL
    if type_ == "invalid_request_error" and any(w in said for w in _UNKNOWN_ON_BEDROCK):
        return _UNKNOWN_ID
    for name in (type_, _TYPE_OF_STATUS.get(error.status_code)):
        if name in _BY_TYPE:
            return _BY_TYPE[name]
    return _BROKEN if error.status_code in _SERVER_ERRORS else _REFUSED


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from now: `retry-after-ms`, or `retry-after` as a number or a date."""
    with suppress(KeyError, ValueError):
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    given = headers.get("retry-after", "")
    with suppress(ValueError):
        return max(0.0, float(given))
    with suppress(ValueError):
        return max(0.0, (parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds())
    return None


def _line(text: str, endpoint: Endpoint) -> str:
    """One line of it, without secrets."""
    line = endpoint.without_secrets(" ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
