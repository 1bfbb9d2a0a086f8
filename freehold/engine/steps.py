"""Several steps of a run in one invocation, where each passage through the state machine is paid
for (ADR 0014).
"""

from __future__ import annotations

import time

from freehold.engine.invocation import Outcome
from freehold.engine.reply import ReplyReader
from freehold.engine.tools import run_tools
from freehold.engine.turn import run_turn
from freehold.ports import App, Run
from freehold.toolset import WEB_TOOLS


def run_steps(
    app: App,
    run: Run,
    *,
    seconds: float,
    deadline: float | None = None,
    reader: type[ReplyReader] = ReplyReader,
) -> Outcome:
    """A turn, and for so many seconds what comes next of it: calls of the sandbox, further turns.
    Safe to call again at any time, by anybody, as each of its steps is.

    A round with calls of the web is left to `RunTools`, and so is one for which there was no time.
    """
    until = time.monotonic() + seconds
    outcome = run_turn(app, run, deadline=deadline, reader=reader)
    while outcome.next in ("tools", "turn") and time.monotonic() < until:
        if outcome.next == "turn":
            outcome = run_turn(app, run, deadline=deadline, reader=reader)
            continue
        outcome = run_tools(app, run, deadline=deadline, leaves=WEB_TOOLS)
        if outcome.next == "tools":
            break
    return outcome
