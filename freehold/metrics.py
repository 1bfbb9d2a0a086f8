"""Every metric there is, and what each fact adds to it: for `/metrics` and for CloudWatch alike.

A label has few values, whatever callers send: no ids, no content. What callers may name freely is
one value, `custom` or `other`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from freehold.facts import (
    Committed,
    CustomToolAnswered,
    Fact,
    FollowerChanged,
    InvocationEnded,
    ModelRequestEnded,
    RequestAnswered,
    ToolCallEnded,
    TurnEnded,
)
from freehold.toolset import TOOLS

_REFUSED = 400
_MODEL = re.compile(r"[a-z][a-z0-9.:@-]{0,63}\Z")
_MODELS = 40
"""Different names of models; further ones are `other`. An agent's model is a caller's word."""
_MODEL_SECONDS = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
_TOOL_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0)
_COMMIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """`name` without the endings that Prometheus gives a kind. `cloudwatch` is the name on AWS, for
    those that are kept there. `buckets` are the upper bounds of a histogram, in seconds.
    """

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    cloudwatch: str | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """Of a counter or a gauge by how much it changes, of a histogram what was observed."""

    metric: Metric
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


INVOCATIONS = Metric(
    "freehold_invocations",
    "counter",
    "Answers of the functions run_turn, run_tools and reaper, by what comes next.",
    ("function", "outcome"),
    cloudwatch="Outcomes",
)
RELEASED_RUNS = Metric(
    "freehold_released_runs",
    "counter",
    "Dead runs that were begun anew. A healthy installation has none.",
    cloudwatch="ReleasedRuns",
)
TURNS = Metric(
    "freehold_turns", "counter", "Turns that came to rest, by their stop reason.", ("outcome",)
)
MODEL_REQUESTS = Metric(
    "freehold_model_requests", "counter", "Requests to the model.", ("model", "outcome")
)
MODEL_SECONDS = Metric(
    "freehold_model_request_seconds",
    "histogram",
    "From a request to the end of its reply.",
    ("model",),
    _MODEL_SECONDS,
)
FIRST_CHUNK_SECONDS = Metric(
    "freehold_model_first_chunk_seconds",
    "histogram",
    "From a request to the first of its reply.",
    ("model",),
    _MODEL_SECONDS,
)
TOKENS = Metric("freehold_tokens", "counter", "Tokens metered by the model.", ("model", "kind"))
TOOL_CALLS = Metric(
    "freehold_tool_calls",
    "counter",
    "Tool calls that were answered; those of clients' own tools are `custom`.",
    ("tool", "outcome"),
)
TOOL_SECONDS = Metric(
    "freehold_tool_call_seconds", "histogram", "Of one tool call.", ("tool",), _TOOL_SECONDS
)
COMMIT_SECONDS = Metric(
    "freehold_commit_seconds", "histogram", "Of one transaction of a log.", (), _COMMIT_SECONDS
)
COMMIT_RETRIES = Metric(
    "freehold_commit_retries",
    "counter",
    "Transactions of a log that met another one or got no answer, and were made again.",
)
REFUSED_REQUESTS = Metric(
    "freehold_refused_requests", "counter", "HTTP requests that were refused.", ("status",)
)
FOLLOWERS = Metric("freehold_followers", "gauge", "Open event streams and sockets.", ("kind",))
SESSIONS = Metric("freehold_sessions", "gauge", "Sessions, by their status.", ("status",))
BUSY_THREADS = Metric(
    "freehold_busy_threads",
    "gauge",
    "Threads that run: `claimed` ones are worked on, `waiting` ones wait for a worker or a retry.",
    ("state",),
)
OLDEST_SECONDS = Metric(
    "freehold_oldest_busy_seconds",
    "gauge",
    "How long ago the log of the longest silent of these threads was written.",
    ("state",),
)
METRICS = (
    *(INVOCATIONS, RELEASED_RUNS, TURNS, MODEL_REQUESTS, MODEL_SECONDS, FIRST_CHUNK_SECONDS),
    *(TOKENS, TOOL_CALLS, TOOL_SECONDS, COMMIT_SECONDS, COMMIT_RETRIES, REFUSED_REQUESTS),
    *(FOLLOWERS, SESSIONS, BUSY_THREADS, OLDEST_SECONDS),
)
_COUNTS = {"released": RELEASED_RUNS}
"""What answers of functions count, by its name there."""


class Models:
    """The model's name as a label: the first forty that look like one."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def label(self, model: str) -> str:
        if model not in self._known:
            if len(self._known) >= _MODELS or not _MODEL.match(model):
                return "other"
            self._known.add(model)
        return model


def measurements(fact: Fact, models: Models) -> Iterator[Measurement]:
    """What the fact adds."""
    if isinstance(fact, ModelRequestEnded):
        yield from _of_request(fact, models.label(fact.request.model))
    elif isinstance(fact, InvocationEnded):
        yield from _of_invocation(fact)
    elif isinstance(fact, ToolCallEnded | CustomToolAnswered):
        yield from _of_tool(fact)
    elif isinstance(fact, TurnEnded):
        yield Measurement(TURNS, 1, {"outcome": fact.outcome})
    elif isinstance(fact, Committed):
        yield Measurement(COMMIT_SECONDS, fact.seconds)
        if fact.retries:
            yield Measurement(COMMIT_RETRIES, fact.retries)
    else:
        yield from _of_connection(fact)


def _of_invocation(fact: InvocationEnded) -> Iterator[Measurement]:
    yield Measurement(INVOCATIONS, 1, {"function": fact.function, "outcome": fact.outcome})
    for name, number in fact.counts.items():
        if number:
            yield Measurement(_COUNTS[name], number)


def _of_connection(fact: RequestAnswered | FollowerChanged) -> Iterator[Measurement]:
    if isinstance(fact, FollowerChanged):
        yield Measurement(FOLLOWERS, fact.change, {"kind": fact.kind})
    elif fact.status >= _REFUSED:
        yield Measurement(REFUSED_REQUESTS, 1, {"status": str(fact.status)})


def _of_request(fact: ModelRequestEnded, model: str) -> Iterator[Measurement]:
    yield Measurement(MODEL_REQUESTS, 1, {"model": model, "outcome": fact.outcome})
    yield Measurement(MODEL_SECONDS, fact.period.seconds, {"model": model})
    if fact.first_chunk_seconds is not None:
        yield Measurement(FIRST_CHUNK_SECONDS, fact.first_chunk_seconds, {"model": model})
    usage = fact.usage
    for kind, number in (
        ("input", usage.input_tokens),
        ("output", usage.output_tokens),
        ("cache_read", usage.cache_read_input_tokens),
        ("cache_creation_5m", usage.cache_creation_5m),
        ("cache_creation_1h", usage.cache_creation_1h),
    ):
        if number:
            yield Measurement(TOKENS, number, {"model": model, "kind": kind})


def _of_tool(fact: ToolCallEnded | CustomToolAnswered) -> Iterator[Measurement]:
    if isinstance(fact, CustomToolAnswered):
        outcome = "error" if fact.is_error else "ok"
        yield Measurement(TOOL_CALLS, 1, {"tool": "custom", "outcome": outcome})
        return
    tool = fact.call.name if fact.call.name in TOOLS else "other"
    outcome = "error" if fact.result.is_error else "ok"
    yield Measurement(TOOL_CALLS, 1, {"tool": tool, "outcome": outcome})
    yield Measurement(TOOL_SECONDS, fact.period.seconds, {"tool": tool})
