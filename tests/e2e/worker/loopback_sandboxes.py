"""`Sandboxes` of another process, over loopback (tests/e2e/sandbox_host.py serves them)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from http.client import HTTPConnection
from typing import Any

from freehold.errors import SandboxLost
from freehold.ports import SandboxRef
from freehold.toolset import ToolCall, ToolResult


class LoopbackSandboxes:
    """Where `E2E_SANDBOX_PORT` says."""

    def prewarm(self, sandbox: SandboxRef) -> None:
        self._ask("prewarm", sandbox)

    def boot(self, sandbox: SandboxRef) -> str:
        return self._ask("boot", sandbox)

    def execute(self, sandbox: SandboxRef, boot_id: str, call: ToolCall) -> ToolResult | None:
        found = self._ask("execute", sandbox, boot_id=boot_id, call=asdict(call))
        return None if found is None else ToolResult(tuple(found["content"]), found["is_error"])

    def cancel(self, sandbox: SandboxRef, boot_id: str, calls: Sequence[ToolCall]) -> None:
        self._ask("cancel", sandbox, boot_id=boot_id, calls=[asdict(call) for call in calls])

    def remove(self, sandbox: SandboxRef) -> None:
        self._ask("remove", sandbox)

    def _ask(self, verb: str, sandbox: SandboxRef, **arguments: Any) -> Any:
        connection = HTTPConnection("127.0.0.1", int(os.environ["E2E_SANDBOX_PORT"]), timeout=60)
        body = {"sandbox": asdict(sandbox), **arguments}
        try:
            connection.request("POST", f"/{verb}", json.dumps(body))
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "lost" in answer:
            raise SandboxLost(answer["lost"])
        return answer["result"]
