"""What an invocation leaves in the log: who and how it went, never what was said."""

from __future__ import annotations

import json
import logging

import pytest

from functions.api.handler import make_handler as make_api
from functions.observability import (
    count_released_runs,
    done,
    names_of_request,
    names_of_run,
    no_names,
    observed,
    outcome_of_request,
    outcome_of_run,
)
from tests.unit.apps import app_on, memory_records

SESSION = "sesn_01ARZ3NDEKTSV4RRFFQ69G5FAV"
RUN = {"workspace_id": "w", "session_id": SESSION, "thread_id": "sthr_1", "epoch": 2, "leg": 0}
SAID = "the launch code is 0000"


class Context:
    """The part of a Lambda context that is read."""

    aws_request_id = "11111111-2222"


@pytest.fixture
def own_logger():
    """Powertools configures a logger once for ever; the other tests get theirs back."""
    logger = logging.getLogger("freehold")
    before = vars(logger).copy()
    yield
    vars(logger).clear()
    vars(logger).update(before)
    logger.handlers = []


def _observed(handler, **given):
    environment = {"FREEHOLD_INSTALLATION": "Second"}
    return observed("run_turn", handler, environment=environment, **given)


def _lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("own_logger")
def test_an_invocation_leaves_one_line_and_one_count(capsys):
    watched = _observed(
        lambda event, _: {"next": "tools", "said": SAID},
        names=names_of_run,
        outcome=outcome_of_run,
    )
    assert watched(RUN, Context())["next"] == "tools"
    line, metric = _lines(capsys)
    assert line["message"] == "invocation_done"
    assert line["outcome"] == "tools"
    assert line["run"] == "sthr_1-2-0"
    assert line["session_id"] == SESSION
    assert line["function_request_id"] == Context.aws_request_id
    assert (metric["function"], metric["outcome"], metric["Outcomes"]) == (
        "run_turn",
        "tools",
        [1.0],
    )
    assert metric["installation"] == "Second"
    assert metric["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Freehold"
    assert SAID not in json.dumps([line, metric])


@pytest.mark.usefixtures("own_logger")
def test_lines_of_the_core_carry_the_ids_of_the_invocation_and_no_other(capsys):
    def handler(event, _):
        logging.getLogger("freehold.runs").warning("released", extra={"epoch": 3})
        return {"next": "idle"}

    watched = _observed(handler, names=names_of_run, outcome=outcome_of_run)
    watched(RUN, Context())
    watched({**RUN, "thread_id": "sthr_9"}, Context())
    released = [line for line in _lines(capsys) if line.get("message") == "released"]
    assert [line["thread_id"] for line in released] == ["sthr_1", "sthr_9"]
    assert released[0]["epoch"] == 3


@pytest.mark.usefixtures("own_logger")
def test_released_runs_are_counted_and_none_are_not(capsys):
    watched = _observed(
        lambda event, _: event, names=no_names, outcome=done, counts=count_released_runs
    )
    watched({"released": 2, "visited": 5}, Context())
    watched({"released": 0, "visited": 5}, Context())
    counted = [line["ReleasedRuns"] for line in _lines(capsys) if "ReleasedRuns" in line]
    assert counted == [[2.0]]


@pytest.mark.usefixtures("own_logger")
def test_a_failure_is_counted_logged_and_raised(capsys):
    def handler(event, _):
        raise ConnectionError("no table")

    watched = _observed(handler, names=names_of_run, outcome=outcome_of_run)
    with pytest.raises(ConnectionError):
        watched(RUN, Context())
    line, metric = _lines(capsys)
    assert line["message"] == "invocation_failed"
    assert line["exception_name"] == "ConnectionError"
    assert metric["outcome"] == "failed"


def test_a_request_is_named_by_the_objects_of_its_path():
    event = {
        "httpMethod": "POST",
        "path": f"/v1/sessions/{SESSION}/events",
        "requestContext": {"requestId": "gateway-1"},
        "headers": {"x-api-key": "secret"},
        "body": SAID,
    }
    assert names_of_request(event) == {
        "method": "POST",
        "gateway_request_id": "gateway-1",
        "session_id": SESSION,
    }


def test_free_text_in_a_path_is_not_logged():
    assert names_of_request({"path": f"/v1/sessions/{SAID}", "httpMethod": "GET"}) == {
        "method": "GET",
        "gateway_request_id": "",
    }


def test_a_request_ends_with_the_id_that_its_caller_was_given(tmp_path):
    event = {"httpMethod": "GET", "path": "/v1/agents", "headers": {}, "body": None}
    answer = make_api(app_on(memory_records(), tmp_path))(event, Context())
    assert outcome_of_request(answer) == {
        "outcome": "4xx",
        "status": "401",
        "request_id": json.loads(answer["body"])["request_id"],
    }


@pytest.mark.parametrize(
    ("event", "run"), [({"release": RUN}, "sthr_1-2-0"), (RUN, "sthr_1-2-0"), ({}, None)]
)
def test_a_run_is_named_whoever_asks_for_it(event, run):
    assert names_of_run(event).get("run") == run
