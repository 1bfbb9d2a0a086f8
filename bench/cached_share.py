"""The share of its input that a session of 50 turns with tools reads from the prompt cache.

The real engine and the real adapter, over HTTP, at a double of the Messages API that accounts by
the rules which `freehold.testing.prompt_cache` cites; nothing that places breakpoints is part of
it. `measure` takes a fault to plant, for the tests that the figure falls.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from bench.report import machine
from freehold.adapters.claude import ClaudeApi, ClaudeModel
from freehold.testing.messages_server import MessagesServer
from freehold.testing.script import script
from tests.protocol.sessions import asking_agent
from tests.unit.sessions import Bench

if TYPE_CHECKING:
    from collections.abc import Callable

    from freehold.ports import Model, ModelRequest, OpenReply
    from freehold.testing.messages_server import Recorded

BOUND = 0.95
_TURNS = 50
_SYSTEM = "You keep the accounts of a small library. " * 60
_OUTPUT = "2026-01-01 a line that a program printed, with a number or two: 4711, 0815\n" * 12
_MANY = 25
"""Calls of the reply that makes most: more than a breakpoint looks back."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a session was charged, and what it sent."""

    uncached: int
    read: int
    written: int
    requests: list[Recorded]

    @property
    def share(self) -> float:
        return self.read / (self.uncached + self.read + self.written)


class _Changing:
    """A model whose requests are changed on the way, each told its number."""

    def __init__(self, inner: Model, change: Callable[[ModelRequest, int], ModelRequest]) -> None:
        self._inner = inner
        self._change = change
        self._asked = 0

    def open(self, request: ModelRequest) -> OpenReply:
        self._asked += 1
        return self._inner.open(self._change(request, self._asked))


def measure(
    turns: int = _TURNS,
    fault: Callable[[ModelRequest, int], ModelRequest] | None = None,
    *,
    window: int | None = None,
) -> Measured:
    """One session from its first message to its last idle. `window`: of the model, in tokens; where
    it is small, the session is summarized on the way.
    """
    with MessagesServer(window=window) as api, tempfile.TemporaryDirectory() as directory:
        key = SecretStr(api.api_key)
        with closing(ClaudeModel(ClaudeApi(key, api.url))) as claude:
            model = _Changing(claude, fault) if fault else claude
            agent = _agent()
            session = Bench(Path(directory), model=model, agent=agent, context_window=window)
            for n in range(turns):
                session.say(_turn(n))
            usage = session.events[-2]["usage"]
        created = usage["cache_creation"]
        return Measured(
            usage["input_tokens"],
            usage["cache_read_input_tokens"],
            created["ephemeral_5m_input_tokens"] + created["ephemeral_1h_input_tokens"],
            list(api.requests),
        )


def _agent() -> object:
    policies = dict.fromkeys(("bash", "read", "write", "edit", "glob", "grep"), "always_allow")
    return asking_agent(policies=policies).model_copy(update={"system": _SYSTEM})


def _turn(n: int) -> str:
    """A question; a call with a page of output, or many calls in one reply; an answer."""
    calls = [{"tool": "bash", "input": {"command": f"{n} {_OUTPUT}"}}]
    if n % 10 == 5:
        calls = [{"tool": "grep", "input": {"pattern": f"{n}.{m}"}} for m in range(_MANY)]
    return script({"think": f"Turn {n}.", "say": "Let me look.", "tools": calls}, {"say": f"{n}."})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=_TURNS, help=f"of the session ({_TURNS})")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    done = measure(given.turns)
    found = {
        "what": "cached share of input",
        "machine": machine(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "turns": given.turns,
        "requests": len(done.requests),
        "read_tokens": done.read,
        "written_tokens": done.written,
        "uncached_tokens": done.uncached,
        "share": round(done.share, 4),
        "bound": BOUND,
    }
    if given.json:
        print(json.dumps(found))
        return
    print(f"{found['machine']}, {found['date']}")
    print(
        f"{given.turns} turns, {len(done.requests)} requests: {done.read} tokens read, "
        f"{done.written} written, {done.uncached} neither"
    )
    print(f"cached share of input {done.share:.1%} (bound >= {BOUND:.0%})")


if __name__ == "__main__":
    main()
