"""Events of workflow runs (BEHAVIOUR 13)."""

from typing import Annotated, Literal

from pydantic import Field

from freehold.wire.base import WireModel


class TimeoutWorkflowRunErrorObject(WireModel):
    """The run took too long."""

    type: Literal["timeout_error"] = "timeout_error"
    message: str


class ProgramWorkflowRunErrorObject(WireModel):
    """The run's program failed."""

    type: Literal["program_error"] = "program_error"
    message: str


class UnknownWorkflowRunErrorObject(WireModel):
    """Anything else."""

    type: Literal["unknown_error"] = "unknown_error"
    message: str


class ThreadLimitWorkflowRunErrorObject(WireModel):
    """The run needed more threads than there may be."""

    type: Literal["thread_limit_error"] = "thread_limit_error"
    message: str


class MaxWorkflowRunsWorkflowRunErrorObject(WireModel):
    """The session has as many runs as it may."""

    type: Literal["max_workflow_runs_error"] = "max_workflow_runs_error"
    message: str


WorkflowRunError = Annotated[
    TimeoutWorkflowRunErrorObject
    | ProgramWorkflowRunErrorObject
    | UnknownWorkflowRunErrorObject
    | ThreadLimitWorkflowRunErrorObject
    | MaxWorkflowRunsWorkflowRunErrorObject,
    Field(discriminator="type"),
]


class WorkflowRunResultCompleted(WireModel):
    """The run finished."""

    type: Literal["completed"] = "completed"


class WorkflowRunResultErrorObject(WireModel):
    """The run failed."""

    type: Literal["error"] = "error"
    error: WorkflowRunError


class WorkflowRunResultStopped(WireModel):
    """The run was stopped."""

    type: Literal["stopped"] = "stopped"


WorkflowRunResult = Annotated[
    WorkflowRunResultCompleted | WorkflowRunResultErrorObject | WorkflowRunResultStopped,
    Field(discriminator="type"),
]


class WorkflowRunPhase(WireModel):
    """A part of a run, as the agent planned it."""

    id: str
    name: str
    description: str | None


class WorkflowRunCreatedEvent(WireModel):
    """A run was planned."""

    id: str
    type: Literal["workflow_run.created"] = "workflow_run.created"
    workflow_run_id: str
    name: str
    description: str | None
    phases: list[WorkflowRunPhase]
    processed_at: str


class WorkflowRunStatusRunningEvent(WireModel):
    """The run works."""

    id: str
    type: Literal["workflow_run.status_running"] = "workflow_run.status_running"
    workflow_run_id: str
    processed_at: str


class WorkflowRunStatusIdleEvent(WireModel):
    """The run waits."""

    id: str
    type: Literal["workflow_run.status_idle"] = "workflow_run.status_idle"
    workflow_run_id: str
    processed_at: str


class WorkflowRunStatusEndedEvent(WireModel):
    """The run is over."""

    id: str
    type: Literal["workflow_run.status_ended"] = "workflow_run.status_ended"
    workflow_run_id: str
    result: WorkflowRunResult
    processed_at: str


class WorkflowRunPhaseStartedEvent(WireModel):
    """A phase begins."""

    id: str
    type: Literal["workflow_run.phase_started"] = "workflow_run.phase_started"
    workflow_run_id: str
    workflow_run_phase_id: str
    processed_at: str


class WorkflowRunPhaseEndedEvent(WireModel):
    """A phase is over; `phase_started_id` names the event that began it."""

    id: str
    type: Literal["workflow_run.phase_ended"] = "workflow_run.phase_ended"
    workflow_run_id: str
    workflow_run_phase_id: str
    phase_started_id: str
    processed_at: str


class WorkflowRunErrorEvent(WireModel):
    """Something failed in a run, or kept one from starting: then there is no run to name."""

    id: str
    type: Literal["workflow_run.error"] = "workflow_run.error"
    workflow_run_id: str | None
    error: WorkflowRunError
    processed_at: str
