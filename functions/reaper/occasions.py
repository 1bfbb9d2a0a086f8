"""Why the reaper is called, told from what calls it."""

from __future__ import annotations

import json
from typing import Any

_STATUS_CHANGE = "Step Functions Execution Status Change"


def occasion(event: Any) -> dict[str, Any]:
    """The event in the reaper's own words: `{"release": ids of a run}`, or `{}` for a tick.

    The state machine's Catch says `release` itself; EventBridge tells of an execution that failed
    beyond its Catch, with the input it was started with. Without that input, which EventBridge
    leaves out when it is too long, the sweep finds the run.
    """
    if "release" in event:
        return {"release": event["release"]}
    if event.get("detail-type") != _STATUS_CHANGE or not event["detail"].get("input"):
        return {}
    return {"release": json.loads(event["detail"]["input"])}
