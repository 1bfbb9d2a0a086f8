"""The rules of the Messages API, asked about a request that never leaves the process."""

from __future__ import annotations

import json

from freehold.adapters.claude.parameters import call_of
from freehold.testing.messages_rules import Seal, check
from freehold.testing.scripted_reply import signature

_SEAL = Seal(sign=signature, thinking_before=lambda _: None, was_paused=lambda _: False)


def judge(request):
    """Raises Refused for a request that the API would not take."""
    body = json.loads(json.dumps(dict(call_of(request).body)))
    check(body, betas=frozenset(), seal=_SEAL)
