"""Sessions: what clients send and what they are answered (BEHAVIOUR 5)."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from freehold.errors import InvalidRequest
from freehold.wire.base import MAX_ID, Omittable, WireModel
from freehold.wire.event_input import MAX_INITIAL_EVENTS, InitialEventParams
from freehold.wire.metadata import Metadata, MetadataPatch, patch_metadata
from freehold.wire.queries import CreatedRange, Order, QueryBool, QueryInt
from freehold.wire.refusals import not_yet
from freehold.wire.session_agent import SessionAgent
from freehold.wire.session_agent_input import SessionAgentParams, SessionAgentUpdateParams
from freehold.wire.session_resources import OutcomeEvaluationResource, SessionResource
from freehold.wire.usage import BudgetLimit, BudgetLimitParams, SessionUsage

__all__ = [
    "CreateSession",
    "DeletedSession",
    "Session",
    "SessionAgent",
    "SessionList",
    "SessionPage",
    "SessionStats",
    "SessionStatus",
    "SessionUsage",
    "UpdateSession",
]

SessionStatus = Literal["rescheduling", "running", "idle", "terminated"]


class SessionStats(WireModel):
    """Time in seconds: active over all threads summed, and since creation until the end."""

    active_seconds: Omittable[float] = None
    duration_seconds: Omittable[float] = None


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


def _null_is_empty(value: object) -> object:
    return [] if value is None else value


InitialEvents = Annotated[list[InitialEventParams], Field(max_length=MAX_INITIAL_EVENTS)]


class CreateSession(WireModel):
    """The body of a create."""

    agent: SessionAgentParams
    environment_id: Annotated[str, Field(max_length=MAX_ID)]
    title: str | None = None
    metadata: Metadata = Field(default_factory=dict)
    initial_events: Annotated[
        InitialEvents,
        BeforeValidator(_null_is_empty, json_schema_input_type=InitialEvents | None),
    ] = Field(default_factory=list)
    resources: Annotated[None, not_yet("resources")] = None
    vault_ids: Annotated[None, not_yet("vault_ids")] = None
    budget: BudgetLimitParams | None = None

    @property
    def agent_id(self) -> str:
        """As sent; not checked."""
        return self.agent.id

    @property
    def agent_version(self) -> int | None:
        """None = the latest."""
        return self.agent.version


class UpdateSession(WireModel):
    """The body of an update: a field not in `model_fields_set` keeps its value."""

    title: str | None = None
    metadata: MetadataPatch = Field(default_factory=dict)
    agent: SessionAgentUpdateParams | None = None
    budget: BudgetLimitParams | None = None
    vault_ids: list[str] | None = None

    @field_validator("vault_ids")
    @classmethod
    def _fixed(cls, vault_ids: list[str] | None) -> None:
        if vault_ids is not None:
            raise InvalidRequest("`vault_ids` cannot be changed after a session was created.")

    @property
    def changes_budget(self) -> bool:
        """Whether it concerns the budget at all; None then removes it."""
        return "budget" in self.model_fields_set

    @property
    def changes_agent(self) -> bool:
        """Whether it concerns the agent at all, even without changing it."""
        return self.agent is not None and bool(self.agent.model_fields_set)

    def apply(
        self, title: str | None, metadata: Mapping[str, str], agent: SessionAgent
    ) -> dict[str, Any]:
        """What changes of the values as stored: `title`, `metadata` (the whole bag), `agent` (all
        of it), or nothing.

        Null and the empty title both clear it. Raises InvalidRequest for a bag out of bounds.
        """
        changed: dict[str, Any] = {}
        if "title" in self.model_fields_set and (self.title or None) != title:
            changed["title"] = self.title or None
        bag = patch_metadata(metadata, self.metadata)
        if bag != metadata:
            changed["metadata"] = bag
        if self.agent is not None and (wanted := self.agent.applied(agent)) != agent:
            changed["agent"] = wanted
        return changed


class SessionList(CreatedRange):
    """Sessions by creation, newest first unless asked otherwise."""

    limit: Annotated[QueryInt, Field(ge=1, le=100)] = 20
    page: str | None = None
    order: Order = "desc"
    include_archived: QueryBool = False
    agent_id: str | None = None
    agent_version: Annotated[QueryInt, Field(ge=1)] | None = None
    deployment_id: str | None = None
    memory_store_id: str | None = None
    statuses: list[SessionStatus] | None = Field(default=None, alias="statuses[]")

    @model_validator(mode="after")
    def _version_of_what(self) -> "SessionList":
        if self.agent_version is not None and self.agent_id is None:
            raise ValueError("agent_version only applies together with agent_id")
        return self

    def admits(self, session: Session) -> bool:
        """Whether a session passes the filters."""
        stores = (r for r in session.resources if r.type == "memory_store")
        return (
            self.spans(session.created_at)
            and (self.include_archived or session.archived_at is None)
            and (self.statuses is None or session.status in self.statuses)
            and (self.agent_id is None or session.agent.id == self.agent_id)
            and (self.agent_version is None or session.agent.version == self.agent_version)
            and (self.deployment_id is None or session.deployment_id == self.deployment_id)
            and (
                self.memory_store_id is None
                or any(store.memory_store_id == self.memory_store_id for store in stores)
            )
        )
