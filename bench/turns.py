"""Turn overhead: from the first byte of a POST to the `session.status_idle` frame on a stream that
is open already.
"""

from __future__ import annotations

import time

from bench.api import Api, message, running_server, until
from bench.report import Bounds, options, report

_TURNS_OF_A_SESSION = 25
_WARM = 50


def measure(api: Api, n: int) -> list[float]:
    """Seconds of `n` turns, after 50 that are not counted; a session has 25 turns, so that
    histories stay short.
    """
    found: list[float] = []
    body = message("Say one word.")
    while len(found) < n + _WARM:
        session = api.session(tools=False)
        with api.stream(session) as frames:
            for _ in range(_TURNS_OF_A_SESSION):
                began = time.perf_counter()
                api.begin_post(f"/v1/sessions/{session}/events", body)
                found.append(until(frames, "session.status_idle").at - began)
                api.end_post()
    return found[_WARM : _WARM + n]


def main() -> None:
    given = options(__doc__, n=500)
    with running_server() as api:
        seconds = measure(api, given.n)
    report("turn overhead", seconds, Bounds(p50=15, p99=60), as_json=given.json)


if __name__ == "__main__":
    main()
