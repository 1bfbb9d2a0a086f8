"""The fields of an agent as clients send them (BEHAVIOUR 2)."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from freehold.wire.agent_definition import (
    Effort,
    EffortLevel,
    ModelConfig,
    ServiceAccountExecutionIdentity,
    Speed,
)
from freehold.wire.base import WireModel
from freehold.wire.efforts import default_effort, effort_levels
from freehold.wire.refusals import not_yet, not_yet_types

MAX_NAME = 256
MAX_DESCRIPTION = 2_048
MAX_SYSTEM = 100_000


def _model_object(value: object) -> object:
    """The short form of a model is its id."""
    return {"id": value} if isinstance(value, str) else value


def _effort_object(value: object) -> object:
    """The short form of an effort is its level."""
    return {"type": value} if isinstance(value, str) else value


def not_null(value: object) -> object:
    """For fields that may be omitted but not cleared."""
    if value is None:
        raise ValueError("cannot be null")
    return value


ModelId = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class ModelConfigParams(WireModel):
    """A model. Raises ValueError for a level the model does not know."""

    id: ModelId
    effort: Annotated[
        Effort | None,
        BeforeValidator(_effort_object, json_schema_input_type=EffortLevel | Effort | None),
    ] = None
    speed: Speed | None = None
    inference_geo: Annotated[None, not_yet("model.inference_geo")] = None

    @model_validator(mode="after")
    def _check_level(self) -> Self:
        levels = effort_levels(self.id)
        if self.effort and levels is not None and self.effort.type not in levels:
            raise ValueError(f"effort {self.effort.type} is not supported by {self.id}")
        return self

    def resolved(self, stored: ModelConfig | None = None) -> ModelConfig:
        """The model as it is stored.

        An omitted effort is kept while the id stays, else it is the default (BEHAVIOUR 2.3).
        """
        level = default_effort(self.id)
        effort = Effort(type=level) if level else None
        if stored is not None and stored.id == self.id:
            effort = stored.effort
        return ModelConfig(id=self.id, effort=self.effort or effort, speed=self.speed or "standard")


ModelParams = Annotated[
    ModelConfigParams,
    BeforeValidator(_model_object, json_schema_input_type=ModelId | ModelConfigParams),
]
ExecutionIdentityParams = Annotated[
    ServiceAccountExecutionIdentity | None,
    not_yet_types({"aws_role": "execution_identity: aws_role"}),
]
NameParams = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
DescriptionParams = Annotated[str | None, Field(max_length=MAX_DESCRIPTION)]
SystemParams = Annotated[str | None, Field(max_length=MAX_SYSTEM)]
