"""Tool call overhead: from the `agent.tool_use` frame to its `agent.tool_result` frame, `bash`
running `true`.

The sandbox is warm. The time includes the commit of the result and the delivery of both frames, not
the sandbox alone.
"""

from __future__ import annotations

import json

from bench.api import Api, message, running_server, until
from bench.report import Bounds, options, report

_CALLS_OF_A_TURN = 20
_WARM = 20


def script(calls: int) -> str:
    """A message that makes the scripted model call `bash` so often, one call at a time."""
    rounds: list[dict[str, object]] = [{"tool": "bash", "input": {"command": "true"}}] * calls
    return "script: " + json.dumps([*rounds, {"say": "done"}])


def measure(api: Api, n: int) -> list[float]:
    """Seconds of `n` calls in one sandbox, after 20 that are not counted."""
    found: list[float] = []
    session = api.session(tools=True)
    body = message(script(_CALLS_OF_A_TURN))
    with api.stream(session) as frames:
        while len(found) < n + _WARM:
            api.begin_post(f"/v1/sessions/{session}/events", body)
            for _ in range(_CALLS_OF_A_TURN):
                use = until(frames, "agent.tool_use")
                result = until(frames, "agent.tool_result")
                if result.data.get("is_error"):
                    raise RuntimeError(f"the call failed: {result.data['content']}")
                found.append(result.at - use.at)
            until(frames, "session.status_idle")
            api.end_post()
    return found[_WARM : _WARM + n]


def main() -> None:
    given = options(__doc__, n=400)
    with running_server() as api:
        seconds = measure(api, given.n)
    report("tool call, warm sandbox", seconds, Bounds(p50=10), as_json=given.json)


if __name__ == "__main__":
    main()
