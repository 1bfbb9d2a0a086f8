"""Why the reaper is called."""

from __future__ import annotations

import json

import pytest

from functions.reaper.occasions import occasion

RUN = {"workspace_id": "w", "session_id": "s", "thread_id": "t", "epoch": 1, "leg": 0}


def _failed(given):
    return {
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {"status": "TIMED_OUT", "input": given, "inputDetails": {"included": True}},
    }


@pytest.mark.parametrize(
    ("event", "meant"),
    [
        ({"release": RUN}, {"release": RUN}),
        (_failed(json.dumps(RUN)), {"release": RUN}),
        (_failed(None), {}),
        ({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}, {}),
    ],
    ids=["caught", "failed", "failed, input left out", "tick"],
)
def test_what_calls_the_reaper_tells_what_to_do(event, meant):
    assert occasion(event) == meant
