"""What all environments of functions share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "FREEHOLD_"
START = {"PYDANTIC_DISABLE_PLUGINS": "__all__"}
"""Set for every function: the layer has no plugin of pydantic's, and to look for one would read the
metadata of every distribution at each cold start.
"""

Name = Annotated[str, Field(min_length=1)]
"""Of a resource; an ARN where the field says so."""


class Environment(BaseModel):
    """The variables of one function."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, defer_build=True
    )

    installation: Name = "Freehold"
    """The context key `name`, a dimension of every metric: an account may hold two installations.
    The stacks set it for every function alike."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """From the variables of the process; others are none of its business.

        Raises ValidationError, which names each variable that is missing or empty.
        """
        found = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in environment.items()
            if name.startswith(PREFIX)
        }
        return cls.model_validate(found)

    def of(self, installation: str) -> Self:
        """The same for an installation of this name."""
        return self.model_copy(update={"installation": installation})

    def variables(self) -> dict[str, str]:
        """The variables that `read` takes; a field without a value is left out."""
        given = self.model_dump(exclude_none=True)
        return {PREFIX + field.upper(): str(value) for field, value in given.items()}
