"""What is mounted into a session and what it is asked to achieve (BEHAVIOUR 11, 14)."""

from typing import Annotated, Literal

from pydantic import Field

from freehold.wire.base import Omittable, WireModel


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
