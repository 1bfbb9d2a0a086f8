"""The rules of the Messages API, asked about a request that is not sent."""

from __future__ import annotations

from freehold.adapters.claude.parameters import call_of
from freehold.testing.messages_rules import Refused, Seal, check

_SEAL = Seal(sign=lambda _: "", thinking_before=lambda _: None)


def judge(request):
    """Raises AssertionError with the API's words where it would refuse the request."""
    call = call_of(request)
    betas = frozenset(call.headers.get("anthropic-beta", "").split(","))
    try:
        check({**_plain(call.body), "stream": True}, betas=betas, seal=_SEAL)
    except Refused as refused:
        raise AssertionError(f"the model refuses the transcript: {refused.message}") from refused


def _plain(value):
    """As it arrives in JSON: tuples are lists."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
