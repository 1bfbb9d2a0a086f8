"""The rules of the Messages API, asked about a request that never leaves the process."""

from __future__ import annotations

import json

from freehold.adapters.claude.parameters import call_of
from freehold.testing.messages_rules import check
from freehold.testing.messages_thinking import Seal
from freehold.testing.scripted_reply import signature

_SEAL = Seal(sign=signature, thinking_before=lambda _: None, was_paused=lambda _: False)


def judge(request):
    """Raises Refused for a request that the API would not take."""
    call = call_of(request)
    betas = frozenset(call.headers.get("anthropic-beta", "").split(","))
    check(json.loads(json.dumps(dict(call.body))), betas=betas, seal=_SEAL)
