"""What work asks of AWS, counted: the units that prices are for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from importlib import resources
from typing import Self

from pydantic import BaseModel, ConfigDict, Field


class Work(BaseModel):
    """Units of one piece of work. Fractions come of averages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    transitions: Decimal = Decimal(0)
    """Of the state machine."""
    invocations: Mapping[str, Decimal] = Field(default_factory=dict)
    """By the folder of the function."""
    read_units: Decimal = Decimal(0)
    write_units: Decimal = Decimal(0)
    """The index's among them; transactions count double."""
    log_bytes: Decimal = Decimal(0)
    requests: Mapping[str, Decimal] = Field(default_factory=dict)
    """Of other services, by the name of their price: `s3.put`, `kms.request`."""

    def times(self, number: Decimal | int) -> Work:
        """So many of it."""
        return Work(
            transitions=self.transitions * number,
            invocations={name: n * number for name, n in self.invocations.items()},
            read_units=self.read_units * number,
            write_units=self.write_units * number,
            log_bytes=self.log_bytes * number,
            requests={name: n * number for name, n in self.requests.items()},
        )

    def __add__(self, other: Work) -> Work:
        return Work(
            transitions=self.transitions + other.transitions,
            invocations=_sum(self.invocations, other.invocations),
            read_units=self.read_units + other.read_units,
            write_units=self.write_units + other.write_units,
            log_bytes=self.log_bytes + other.log_bytes,
            requests=_sum(self.requests, other.requests),
        )


class Counts(BaseModel):
    """One count, on an emulated deployment (`python -m bench.aws_cost`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    counted: date
    turn: Work
    """A request to the model and the round of tools that answers it."""
    run: Work
    """What a run adds to its turns, however many: a message comes in, an execution starts, the last
    reply, the session is idle."""

    @classmethod
    def shipped(cls) -> Self:
        """Those of this version."""
        text = resources.files("freehold.aws_cost").joinpath("counts.json").read_text()
        return cls.model_validate_json(text)


def _sum(one: Mapping[str, Decimal], other: Mapping[str, Decimal]) -> dict[str, Decimal]:
    names = sorted({*one, *other})
    return {name: one.get(name, Decimal(0)) + other.get(name, Decimal(0)) for name in names}
