"""What every request must pass: a query that parses, a key, its workspace, the beta header
(BEHAVIOUR 1.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from freehold.errors import AuthenticationFailed, InvalidRequest, NotFound, PermissionDenied
from freehold.ports import App
from freehold.services import keys
from freehold.services.keys import Caller

_MANAGED_AGENTS = "managed-agents-2026-04-01"

KNOWN_BETAS = frozenset(
    {
        "admin-user-sign-out-2026-10-08",
        "advisor-tool-2026-03-01",
        "agent-memory-2026-07-22",
        "analytics-usage-cost-2026-08-24",
        "cache-diagnosis-2026-04-07",
        "ce-plugins-2026-09-01",
        "ce-user-management-2026-07-13",
        "code-execution-2025-05-22",
        "compact-2026-01-12",
        "compact-2026-09-04",
        "computer-use-2024-10-22",
        "computer-use-2025-01-24",
        "computer-use-2025-11-24",
        "context-1m-2025-08-07",
        "context-management-2025-06-27",
        "dev-full-thinking-2025-05-14",
        "dreaming-2026-04-21",
        "experimental-claude-tag-2026-10-21",
        "extended-cache-ttl-2025-04-11",
        "fallback-credit-2026-06-01",
        "fallback-credit-2026-07-01",
        "fast-mode-2026-02-01",
        "files-api-2025-04-14",
        "fine-grained-tool-streaming-2025-05-14",
        "inline-tools-2026-09-15",
        "interleaved-thinking-2025-05-14",
        "managed-agents-2026-04-01",
        "mcp-client-2025-04-04",
        "mcp-client-2025-11-20",
        "mcp-client-2026-09-15",
        "mcp-tunnels-2026-06-22",
        "message-batches-2024-09-24",
        "message-threads-2026-08-12",
        "mid-conversation-output-config-2026-07-01",
        "mid-conversation-system-clear-at-2026-08-21",
        "mid-conversation-tool-changes-2026-07-01",
        "model-context-window-exceeded-2025-08-26",
        "oauth-2025-04-20",
        "oidc-federation-2026-04-01",
        "output-128k-2025-02-19",
        "output-300k-2026-03-24",
        "pdfs-2024-09-25",
        "prompt-caching-2024-07-31",
        "server-side-fallback-2026-06-01",
        "server-side-fallback-2026-07-01",
        "skills-2025-10-02",
        "spend-limit-reads-2026-09-26",
        "structured-outputs-2025-11-13",
        "task-budgets-2026-03-13",
        "telemetry-destinations-2026-08-11",
        "thinking-binding-controls-2026-08-01",
        "thinking-display-updates-2026-08-18",
        "thinking-token-count-2026-05-13",
        "token-counting-2024-11-01",
        "token-efficient-tools-2025-02-19",
        "user-profiles-2026-03-24",
        "user-profiles-2026-08-18",
        "user-profiles-2026-09-04",
        "user-profiles-billing-2026-10-01",
        "webhooks-2026-10-07",
    }
)
"""Every value a released client may send; `test_errors` compares it with the SDK's."""


def parse_query(raw: bytes) -> list[tuple[str, str]]:
    """Every pair in order, percent-decoded.

    Raises InvalidRequest for what is not name=value pairs of UTF-8: a half-read query can drop what
    made a request safe (WIRE_FACTS).
    """
    if not raw:
        return []
    try:
        return parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict"
        )
    except ValueError:
        raise InvalidRequest("The query string cannot be parsed.") from None


def joined_headers(rows: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Names in lower case; the values of one that was sent more than once as one list."""
    found: dict[str, list[str]] = {}
    for name, value in rows:
        found.setdefault(name.lower(), []).append(value)
    return {name: ", ".join(values) for name, values in found.items()}


def headers_of(event: Mapping[str, Any]) -> dict[str, str]:
    """Of an event of API Gateway, joined."""
    many: dict[str, list[str]] = event.get("multiValueHeaders") or {
        name: [value] for name, value in (event.get("headers") or {}).items()
    }
    return joined_headers((name, value) for name, values in many.items() for value in values)


def query_of(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every pair of an event of API Gateway, which has decoded them."""
    found: dict[str, list[str]] = event.get("multiValueQueryStringParameters") or {}
    return [(name, value) for name, values in found.items() for value in values]


def admit(app: App, headers: Mapping[str, str]) -> Caller:
    """The caller behind these headers (names in lower case), allowed to use the managed-agents API.

    Raises AuthenticationFailed, PermissionDenied for another workspace's name, InvalidRequest for
    an unknown beta value, NotFound without the managed-agents one.
    """
    caller = authenticate(app, headers)
    _check_beta(headers.get("anthropic-beta", ""))
    return caller


def authenticate(app: App, headers: Mapping[str, str]) -> Caller:
    """The caller behind these headers, names in lower case. Raises AuthenticationFailed,
    PermissionDenied.
    """
    caller = keys.authenticate(app, _secret(headers))
    wanted = headers.get("anthropic-workspace-id")
    if wanted is not None and wanted != caller.workspace_id:
        raise PermissionDenied("This API key does not belong to the workspace that was asked for.")
    return caller


def _secret(headers: Mapping[str, str]) -> str:
    """`x-api-key`, else a bearer token; SDKs send one or the other."""
    secret = headers.get("x-api-key", "").strip()
    if secret:
        return secret
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    raise AuthenticationFailed("x-api-key or Authorization: Bearer header is required.")


def _check_beta(header: str) -> None:
    """A list of known values with the managed-agents one among them; without it nothing is here."""
    values = {value.strip() for value in header.split(",") if value.strip()}
    unknown = sorted(values - KNOWN_BETAS)
    if unknown:
        shown = ", ".join(f"`{value[:100]}`" for value in unknown)
        raise InvalidRequest(f"Unexpected value(s) {shown} for the `anthropic-beta` header.")
    if _MANAGED_AGENTS not in values:
        raise NotFound(f"Not found. Send the header `anthropic-beta: {_MANAGED_AGENTS}`.")
