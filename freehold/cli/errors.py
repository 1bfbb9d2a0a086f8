"""`freehold errors`: what each error means. docs/errors.md is what it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from freehold.errors import ApiError

_CODES = {
    "budget_create_only": "A session without a budget, or whose budget was removed, gets none.",
    "budget_not_raised": "The new budget is not above what the session has consumed.",
    "environment_archived": "The environment is archived: it takes no changes and no new sessions.",
    "invalid_config_type_change": "An update may not change an environment's `config.type`.",
    "invalid_metadata": "`metadata` has too many pairs, or one whose key or value is too long.",
    "model_not_budgetable": "No list price is available for a model of a session with a budget.",
}
"""`error.details.error_code`, where a refusal has one; a test holds it against the code."""

_HEAD = """\
# Errors

Printed by `freehold errors`; a test compares the two.

Every refusal has one shape, whatever refuses it. `details` is there only where a machine can use it; the `request-id` header
repeats `request_id`, which names the request in the server's log.

```json
{"type": "error", "error": {"type": "...", "message": "...", "details": {"error_code": "..."}}, "request_id": "req_..."}
```

On the WebSocket it is a frame `{"type": "error", "error": {...}, "action": "..."}` with the same `error`.

"""  # noqa: E501 - Markdown


_REPEATS = """\
SDKs repeat 408, 409, 429 and 5xx by themselves, unless `x-should-retry` says no; `retry-after` says when.
"""  # noqa: E501 - Markdown
_LATER = """\
Events of type `session.error`: the request was accepted, and its work failed later. `error.retry_status.type` says what
follows.
"""  # noqa: E501 - Markdown


def errors() -> None:
    """Print what each error of the API means, as Markdown."""
    typer.echo(error_reference(), nl=False)


def error_reference() -> str:
    """The whole document."""
    from functions import envelope  # noqa: PLC0415, F401 - it has errors of its own

    return _HEAD + "\n".join(
        (
            "## Refusals\n",
            _REPEATS,
            *_table(("Status", "`error.type`", "Meaning"), _refusals()),
            "",
            "## Codes\n",
            "In `error.details.error_code`.\n",
            *_table(("Code", "Meaning"), ((f"`{c}`", m) for c, m in sorted(_CODES.items()))),
            "",
            "## Errors of a session\n",
            _LATER,
            *_table(("`error.type`", "Meaning"), _session_errors()),
            "",
            *_table(("`error.retry_status.type`", "Meaning"), _retry_statuses()),
            "",
        )
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _refusals() -> list[tuple[str, str, str]]:
    """By status; what its class says of itself."""
    from freehold.errors import ApiError  # noqa: PLC0415 - no other command pays

    found = sorted(_kinds(ApiError), key=lambda kind: (kind.status, kind.__name__))
    return [(str(kind.status), f"`{kind.type}`", _meaning(kind)) for kind in found]


def _kinds(kind: type[ApiError]) -> Iterator[type[ApiError]]:
    for inner in kind.__subclasses__():
        yield inner
        yield from _kinds(inner)


def _session_errors() -> Iterator[tuple[str, str]]:
    from freehold.wire.errors import SessionError  # noqa: PLC0415 - no other command pays

    return ((f"`{_type_of(kind)}`", _meaning(kind)) for kind in get_args(get_args(SessionError)[0]))


def _retry_statuses() -> Iterator[tuple[str, str]]:
    from freehold.wire.errors import RetryStatus  # noqa: PLC0415 - no other command pays

    return ((f"`{_type_of(kind)}`", _meaning(kind)) for kind in get_args(get_args(RetryStatus)[0]))


def _type_of(model: Any) -> str:
    found: str = get_args(model.model_fields["type"].annotation)[0]
    return found


def _meaning(kind: type) -> str:
    """Its docstring on one line, without the status that stands before it."""
    text = " ".join((kind.__doc__ or "").split())
    status, _, rest = text.partition(": ")
    return rest[:1].upper() + rest[1:] if status.isdigit() else text
