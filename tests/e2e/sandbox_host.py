"""Serves child-process sandboxes over loopback, to functions that come and go."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from dataclasses import asdict

from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.subprocess_sandbox import SubprocessSandboxes
from freehold.errors import SandboxLost
from freehold.ports import SandboxRef
from freehold.toolset import ToolCall
from tests.loopback import LoopbackServer, QuietHandler


@contextmanager
def sandbox_host(directory):
    """The port on 127.0.0.1. The sandboxes live until the end."""
    secrets = LocalSecrets(directory / "secret.key")
    sandboxes = SubprocessSandboxes(directory / "sandboxes", secrets)
    sandboxes.usable()

    class Handler(QuietHandler):
        def serve(self, body):
            asked = json.loads(body)
            try:
                answer = {"result": _perform(sandboxes, self.path.strip("/"), asked)}
            except SandboxLost as lost:
                answer = {"lost": str(lost)}
            self.answer_json(answer)

    with closing(sandboxes), LoopbackServer(Handler) as server:
        yield server.server_port


def _perform(sandboxes, verb, asked):
    sandbox = SandboxRef(**asked.pop("sandbox"))
    if "call" in asked:
        asked["call"] = ToolCall(**asked["call"])
    if "calls" in asked:
        asked["calls"] = [ToolCall(**call) for call in asked["calls"]]
    found = getattr(sandboxes, verb)(sandbox, *asked.values())
    return asdict(found) if verb == "execute" and found is not None else found
