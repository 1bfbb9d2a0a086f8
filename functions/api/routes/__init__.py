"""Every operation that is served, by resource, and what is said about the rest."""

from __future__ import annotations

from functions.api.routes import agents, environments, events, sessions, threads, tickets

OPERATIONS = (
    *agents.OPERATIONS,
    *environments.OPERATIONS,
    *sessions.OPERATIONS,
    *events.OPERATIONS,
    *threads.OPERATIONS,
    *tickets.OPERATIONS,
)

_ELSEWHERE = ("messages", "models", "complete")
_LATER = (
    "deployment_runs",
    "deployments",
    "dreams",
    "files",
    "memory_stores",
    "organizations",
    "skills",
    "tunnels",
    "user_profiles",
    "vaults",
)


def unserved(path: str) -> str:
    """The message of the 404 for a path without an operation."""
    family = path.removeprefix("/v1/").split("/")[0]
    if family in _ELSEWHERE:
        return (
            f"Not found: /v1/{family} is not served here. Ask the Claude API, or a gateway to it."
        )
    if family in _LATER:
        return f"Not found: /v1/{family} is not supported by this server yet."
    return "Not found"
