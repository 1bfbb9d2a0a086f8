"""What an operator may choose: the context keys of `cdk.json`, validated.

`cdk deploy --context retain_data=false` overrides one for a deployment.
"""

from __future__ import annotations

from aws_cdk import App
from pydantic import BaseModel, ConfigDict, Field


class Context(BaseModel):
    """One installation. The defaults are those of `cdk.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="Freehold", pattern=r"^[A-Za-z][A-Za-z0-9-]{0,31}$")
    """Begins the names of the stacks; two installations of an account need two names."""
    retain_data: bool = True
    """Whether table, bucket and key outlive the stack. False deletes every session with it."""

    @classmethod
    def of(cls, app: App) -> Context:
        """From the CDK's context. Raises ValidationError, which names each key that is wrong."""
        given = {name: app.node.try_get_context(name) for name in cls.model_fields}
        return cls.model_validate({k: v for k, v in given.items() if v is not None})
