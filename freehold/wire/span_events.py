"""Brackets around model requests and outcome evaluations (BEHAVIOUR 6.2, 14)."""

from typing import Literal

from freehold.wire.base import WireModel
from freehold.wire.usage import SpanModelUsage


class SpanModelRequestStartEvent(WireModel):
    """A model request begins."""

    id: str
    type: Literal["span.model_request_start"] = "span.model_request_start"
    processed_at: str


class SpanModelRequestEndEvent(WireModel):
    """It ended; every start gets an end, also on error and interrupt."""

    id: str
    type: Literal["span.model_request_end"] = "span.model_request_end"
    model_request_start_id: str
    is_error: bool | None
    model_usage: SpanModelUsage
    processed_at: str


class SpanOutcomeEvaluationStartEvent(WireModel):
    """The grader begins a round, counted from 0."""

    id: str
    type: Literal["span.outcome_evaluation_start"] = "span.outcome_evaluation_start"
    outcome_id: str
    iteration: int
    processed_at: str


class SpanOutcomeEvaluationOngoingEvent(WireModel):
    """The grader still works."""

    id: str
    type: Literal["span.outcome_evaluation_ongoing"] = "span.outcome_evaluation_ongoing"
    outcome_id: str
    iteration: int
    processed_at: str


class SpanOutcomeEvaluationEndEvent(WireModel):
    """The grader's word. The start's id is empty where an interrupt came before any evaluation."""

    id: str
    type: Literal["span.outcome_evaluation_end"] = "span.outcome_evaluation_end"
    outcome_id: str
    outcome_evaluation_start_id: str
    iteration: int
    result: str
    explanation: str
    usage: SpanModelUsage
    processed_at: str
