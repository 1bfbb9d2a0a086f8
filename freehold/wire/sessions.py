"""Sessions as answers show them (BEHAVIOUR 5.2)."""

from typing import Annotated, Literal

from pydantic import Field

from freehold.wire.base import Omittable, WireModel
from freehold.wire.session_agent import SessionAgent
from freehold.wire.usage import BudgetLimit, SessionUsage

__all__ = [
    "DeletedSession",
    "Session",
    "SessionAgent",
    "SessionPage",
    "SessionStats",
    "SessionStatus",
    "SessionUsage",
]

SessionStatus = Literal["rescheduling", "running", "idle", "terminated"]


class SessionStats(WireModel):
    """Time in seconds: active over all threads summed, and since creation until the end."""

    active_seconds: Omittable[float] = None
    duration_seconds: Omittable[float] = None


class BranchCheckout(WireModel):
    """A branch of a repository."""

    type: Literal["branch"] = "branch"
    name: str


class CommitCheckout(WireModel):
    """A commit of a repository."""

    type: Literal["commit"] = "commit"
    sha: str


class GitHubRepositoryResource(WireModel):
    """A repository in the sandbox."""

    id: str
    type: Literal["github_repository"] = "github_repository"
    url: str
    mount_path: str
    checkout: Omittable[Annotated[BranchCheckout | CommitCheckout, Field(discriminator="type")]] = (
        None
    )
    created_at: str
    updated_at: str


class FileResource(WireModel):
    """A file in the sandbox: the session's own copy."""

    id: str
    type: Literal["file"] = "file"
    file_id: str
    mount_path: str
    created_at: str
    updated_at: str


class MemoryStoreResource(WireModel):
    """A memory store in the sandbox."""

    type: Literal["memory_store"] = "memory_store"
    memory_store_id: str
    access: Omittable[Literal["read_write", "read_only"]] = None
    name: Omittable[str] = None
    description: Omittable[str] = None
    instructions: Omittable[str] = None
    mount_path: Omittable[str] = None


SessionResource = Annotated[
    GitHubRepositoryResource | FileResource | MemoryStoreResource, Field(discriminator="type")
]


class OutcomeEvaluationResource(WireModel):
    """An outcome and how it stands; `completed_at` is null while it is open."""

    type: Literal["outcome_evaluation"] = "outcome_evaluation"
    outcome_id: str
    description: str
    iteration: int
    result: str
    explanation: str | None
    completed_at: str | None


class Session(WireModel):
    """A session. `deployment_id` only where a deployment made it."""

    id: str
    type: Literal["session"] = "session"
    agent: SessionAgent
    environment_id: str
    title: str | None
    status: SessionStatus
    metadata: dict[str, str]
    resources: list[SessionResource]
    vault_ids: list[str]
    outcome_evaluations: list[OutcomeEvaluationResource]
    stats: SessionStats
    usage: SessionUsage
    budget: BudgetLimit | None
    deployment_id: Omittable[str] = None
    created_at: str
    updated_at: str
    archived_at: str | None


class DeletedSession(WireModel):
    """Answers a delete."""

    id: str
    type: Literal["session_deleted"] = "session_deleted"


class SessionPage(WireModel):
    """A page of sessions; a neighbour that does not exist is absent."""

    data: list[Session]
    next_page: Omittable[str] = None
    prev_page: Omittable[str] = None
