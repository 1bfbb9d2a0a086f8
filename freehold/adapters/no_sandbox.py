"""`Sandboxes` where there are none yet: every call is answered with an error that says so."""

from __future__ import annotations

from collections.abc import Sequence

from freehold.errors import SandboxLost
from freehold.ports import SandboxRef
from freehold.toolset import ToolCall, ToolResult

REFUSAL = (
    "This server has no sandbox yet: files and programs are not available. "
    "Answer without tools, or say what you would need."
)
"""For the model, which reads it as the result of each call."""


class NoSandbox:
    """Refuses to start anything; there is nothing to cancel or remove."""

    def prewarm(self, sandbox: SandboxRef) -> None:
        """Nothing could be warm."""

    def boot(self, sandbox: SandboxRef) -> str:  # noqa: ARG002 - the port's
        raise SandboxLost(REFUSAL)

    def execute(
        self,
        sandbox: SandboxRef,  # noqa: ARG002 - the port's
        boot_id: str,  # noqa: ARG002 - the port's
        call: ToolCall,  # noqa: ARG002 - the port's
    ) -> ToolResult | None:
        raise SandboxLost(REFUSAL)

    def cancel(self, sandbox: SandboxRef, boot_id: str, calls: Sequence[ToolCall]) -> None:
        """No call ever began."""

    def remove(self, sandbox: SandboxRef) -> None:
        """No file was ever kept."""
