"""What each invocation on Lambda leaves behind: one line of log, its counts, one annotated segment.

They name requests, sessions, threads and runs, and how it went; never what was said. The core logs
to `logging.getLogger("freehold.…")` wherever it runs, and here those lines carry the same ids.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from freehold.facts import InvocationEnded
from freehold.ids import is_id
from freehold.metrics import Models, measurements

if TYPE_CHECKING:
    from aws_lambda_powertools import Tracer

Handler = Callable[[Any, Any], Any]
Names = Mapping[str, str]
Counts = Mapping[str, int]

_NAMESPACE = "Freehold"
_INSTALLATION = "FREEHOLD_INSTALLATION"
_IN_PATH = re.compile(r"/(agent|environment|session|thread)s/([^/?]+)")
_PREFIXES = {"agent": "agent", "environment": "env", "session": "sesn", "thread": "sthr"}


def observed(
    function: str,
    handler: Handler,
    *,
    names: Callable[[Any], Names],
    outcome: Callable[[Any], Names],
    environment: Mapping[str, str],
    counts: Callable[[Any], Counts] = lambda _: {},
) -> Handler:
    """`handler`, watched. Whatever it raises is logged with its traceback and raised again.

    `names` says from the event which request, session or run this is; `outcome` says from the
    answer how it went: its `outcome`, one of a few words, is a dimension of the metric `Outcomes`.
    `counts` says what else the answer tells numbers of. Which metrics they are: `freehold.metrics`.
    `environment` tells whose installation this is, a dimension of every metric, and whether there
    is a daemon to send traces to.
    """
    # The logger of this name is the parent of all of ours, so this formats their lines too.
    logger = Logger(service="freehold")
    tracer = _tracer(environment)
    installation = environment[_INSTALLATION]

    def count(outcome: str, also: Counts | None = None) -> None:
        for found in measurements(InvocationEnded(function, outcome, also or {}), Models()):
            if found.metric.cloudwatch is not None:
                name, number = found.metric.cloudwatch, int(found.value)
                _emit(name, number, installation=installation, **found.labels)

    def watch(event: Any, context: Any) -> Any:
        about = names(event)
        logger.clear_state()
        logger.append_keys(function=function, function_request_id=context.aws_request_id, **about)
        if tracer is not None:
            for name, value in about.items():
                tracer.put_annotation(name, value)
        started = time.perf_counter()
        try:
            answer = handler(event, context)
        except Exception:
            logger.exception("invocation_failed")
            count("failed")
            raise
        result = outcome(answer)
        elapsed = round((time.perf_counter() - started) * 1000, 1)
        logger.info("invocation_done", extra={"milliseconds": elapsed, **result})
        count(result["outcome"], counts(answer))
        return answer

    if tracer is None:
        return watch
    # Neither answers nor errors are captured: both can hold what was said.
    traced: Handler = tracer.capture_lambda_handler(
        watch, capture_response=False, capture_error=False
    )
    return traced


def log_as_json(function: str) -> None:
    """For a program that is no handler: its lines as those of the functions."""
    Logger(service="freehold").append_keys(function=function)


def _tracer(environment: Mapping[str, str]) -> Tracer | None:
    """None where nobody collects traces. Calls of AWS become segments of their own; those of the
    model do not, whose URL is the operator's business.
    """
    if "AWS_XRAY_DAEMON_ADDRESS" not in environment:
        return None
    from aws_lambda_powertools import Tracer  # noqa: PLC0415 - its SDK is in the layer only

    return Tracer(service="freehold", patch_modules=["botocore"])


def _emit(name: str, value: int, **dimensions: str) -> None:
    """A metric is found by all of its dimensions together: the alarms name the same ones
    (tests/infra/test_operations.py).
    """
    with single_metric(
        name=name, unit=MetricUnit.Count, value=value, namespace=_NAMESPACE
    ) as metric:
        for dimension, word in dimensions.items():
            metric.add_dimension(dimension, word)


# ---------------------------------------------------------------- the API
def names_of_request(event: Any) -> Names:
    """Method and objects of a request. An id that no object can have is the caller's free text, and
    left out.
    """
    found = {
        f"{kind}_id": value
        for kind, value in _IN_PATH.findall(str(event.get("path", "")))
        if is_id(_PREFIXES[kind], value)
    }
    request = event.get("requestContext") or {}
    return {
        "method": str(event.get("httpMethod", "")),
        "gateway_request_id": str(request.get("requestId", "")),
        **found,
    }


def outcome_of_request(answer: Any) -> Names:
    """The class of the status, `2xx`, and the request id that the caller was given."""
    return {
        "outcome": f"{answer['statusCode'] // 100}xx",
        "status": str(answer["statusCode"]),
        "request_id": str(answer["multiValueHeaders"]["request-id"][0]),
    }


# ---------------------------------------------------------------- WebSockets
def names_of_socket(event: Any) -> Names:
    """Which connection, and whether it begins, says something or ends."""
    about = event["requestContext"]
    return {"connection_id": str(about["connectionId"]), "event_type": str(about["eventType"])}


def outcome_of_socket(answer: Any) -> Names:
    """The class of the status, `2xx`."""
    return {"outcome": f"{answer['statusCode'] // 100}xx"}


# ---------------------------------------------------------------- runs
def names_of_run(event: Any) -> Names:
    """The ids that the state machine carries, or those of a run to release; of a tick, none."""
    run = event.get("release", event)
    if "thread_id" not in run:
        return {}
    return {
        "workspace_id": run["workspace_id"],
        "session_id": run["session_id"],
        "thread_id": run["thread_id"],
        "run": f"{run['thread_id']}-{run['epoch']}-{run['leg']}",
    }


def outcome_of_run(answer: Any) -> Names:
    """What comes next."""
    return {"outcome": str(answer["next"])}


# ---------------------------------------------------------------- the rest
def no_names(_event: Any) -> Names:
    """For events about many things at once."""
    return {}


def outcome_of_batch(answer: Any) -> Names:
    """`again` where a record was left for another delivery."""
    return {"outcome": "again" if answer["batchItemFailures"] else "done"}


def done(_answer: Any) -> Names:
    """For what does one thing only."""
    return {"outcome": "done"}


def count_released_runs(answer: Any) -> Counts:
    """Of the reaper: runs whose execution had ended or whose claim had lapsed."""
    return {"released": answer["released"]}
