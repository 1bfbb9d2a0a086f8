"""First tool call of a session: from the `agent.tool_use` frame to its result, the sandbox not
started before.

The model answers at once, so the start that runs beside the first model turn has no head start
worth the name. With `--packages` the environment has packages that are installed already; `--rung`
is the isolation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.api import Api, message, running_server, until
from bench.report import Bounds, options, report
from bench.tool_calls import script
from freehold.adapters.subprocess_sandbox.prefixes import Prefixes, key_of
from freehold.services.keys import DEFAULT_WORKSPACE_ID

_PACKAGE = "freehold-bench"
_FILES = 5000


def measure(api: Api, n: int, config: dict[str, object]) -> list[float]:
    """Seconds of the first call in each of `n` new sessions, after one that is not counted."""
    found: list[float] = []
    body = message(script(1))
    for _ in range(n + 1):
        session = api.session(tools=True, config=config)
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


def install(data_dir: Path, rung: str) -> None:
    """What `pip install` of a package of 5,000 files would have left: no registry is asked."""

    def write(directory: Path) -> None:
        place = directory / "prefix/pip" / _PACKAGE
        place.mkdir(parents=True)
        for number in range(_FILES):
            (place / f"{number}.py").write_text("")

    key = key_of(DEFAULT_WORKSPACE_ID, {"pip": (_PACKAGE,)}, rung)
    Prefixes(data_dir).build(key, write)


def _more(parser: argparse.ArgumentParser) -> None:
    rungs = ("bubblewrap", "container", "none")
    parser.add_argument("--rung", choices=rungs, default="bubblewrap")
    parser.add_argument("--packages", action="store_true", help="an environment with packages")


def main() -> None:
    given = options(__doc__, n=20, more=_more)
    packages = {"pip": [_PACKAGE]} if given.packages else {}
    config: dict[str, object] = {"type": "cloud", "packages": packages}
    with running_server(sandbox=given.rung) as api:
        if given.packages and api.data_dir:
            install(api.data_dir, given.rung)
        seconds = measure(api, given.n, config)
    what = f"first tool call, cold {given.rung}{', packages' if given.packages else ''}"
    report(what, seconds, Bounds(p50=300, p99=300), as_json=given.json)


if __name__ == "__main__":
    main()
