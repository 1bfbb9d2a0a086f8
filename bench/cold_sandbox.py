"""First tool call of a session: from the `agent.tool_use` frame to its result, the sandbox not
started before.

The model answers at once, so the start that runs beside the first model turn has no head start
worth the name.
"""

from __future__ import annotations

from bench.api import Api, message, running_server, until
from bench.report import Bounds, options, report
from bench.tool_calls import script


def measure(api: Api, n: int) -> list[float]:
    """Seconds of the first call in each of `n` new sessions, after one that is not counted."""
    found: list[float] = []
    body = message(script(1))
    for _ in range(n + 1):
        session = api.session(tools=True)
        with api.stream(session) as frames:
            api.begin_post(f"/v1/sessions/{session}/events", body)
            use = until(frames, "agent.tool_use")
            result = until(frames, "agent.tool_result")
            if result.data.get("is_error"):
                raise RuntimeError(f"the call failed: {result.data['content']}")
            found.append(result.at - use.at)
            until(frames, "session.status_idle")
            api.end_post()
    return found[1:]


def main() -> None:
    given = options(__doc__, n=20)
    with running_server() as api:
        seconds = measure(api, given.n)
    bounds = Bounds(p50=300, p99=300)
    report("first tool call, cold sandbox", seconds, bounds, as_json=given.json)


if __name__ == "__main__":
    main()
