"""An installation on AWS by the name of any of its stacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freehold.adapters.aws_stack import AwsStack

_STACKS = ("Data", "Engine", "Api", "Live", "Operations")


class Installation:
    """`Freehold-Data`, `Freehold-Api` and `Freehold` are the same one. Asks nobody by itself."""

    def __init__(self, stack: str) -> None:
        name, _, part = stack.rpartition("-")
        self.name = name if part in _STACKS else stack

    def stack(self, part: str) -> AwsStack:
        """Such as `Data`; whether it is there shows when it is asked."""
        from freehold.adapters.aws_clients import client  # noqa: PLC0415 - few commands pay
        from freehold.adapters.aws_stack import AwsStack  # noqa: PLC0415 - as above

        return AwsStack(f"{self.name}-{part}", client)
