"""What the supervisor in a task is told: its one argument (`sandbox_task.settings`)."""

from __future__ import annotations

from freehold.adapters.fargate_sandbox.access_points import TOOLS_UID
from freehold.adapters.fargate_sandbox.fleet import Fleet
from freehold.adapters.fargate_sandbox.slot import Slot
from freehold.ports import Secrets
from freehold.toolset import JsonObject, image
from freehold.toolset.egress_environment import EGRESS

INSTALLER_UID = 10003
"""Installs packages of the environment: not the tools' user, whose they must not be to change."""
_PROGRAMS = "/opt/freehold"
_TOOL_HOST = (
    f"import sys; sys.path[:0] = {[_PROGRAMS, f'{_PROGRAMS}/packages']!r}; "
    "from sandbox_task.tool_host import main; main()"
)


class SupervisorSettings:
    """Nothing in it is secret: whoever may describe tasks reads it."""

    def __init__(self, secrets: Secrets, fleet: Fleet) -> None:
        self._secrets = secrets
        self._fleet = fleet

    def __call__(self, slot: Slot) -> JsonObject:
        """For the slot's boot. Its session is the slot: a task may start before a session has it.
        The same each time, or `RunTask` would refuse to answer a repeated token.
        """
        return {
            "session_id": slot.slot_id,
            "boot_id": slot.boot_id,
            "ends_with": "signal",
            "public_key": self._secrets.public_key().hex(),
            "state": "/run/freehold",
            "listen": f"0.0.0.0:{self._fleet.port}",
            "egress": EGRESS if self._fleet.egress else "",
            "identity": "user",
            "tools_uid": TOOLS_UID,
            "packages": image.PACKAGES,
            "installer_uid": INSTALLER_UID,
            "tool_host": [image.PYTHON, "-I", "-S", "-c", _TOOL_HOST],
            "environment": {
                **image.ENVIRONMENT,
                "PATH": image.SEARCH_PATH,
                "HOME": "/workspace",
                "USER": "agent",
                "LANG": "C.UTF-8",
                "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
                "TERM": "dumb",
                "PS1": "",
                "PS2": "",
            },
            **_limits(slot),
        }


def _limits(slot: Slot) -> JsonObject:
    """Of a task's memory the supervisor keeps an eighth: so it is what ends a call that takes too
    much, and not the kernel, which might end the supervisor.
    """
    if not slot.memory_mib:
        return {}
    return {"limits": {"memory_bytes": (slot.memory_mib << 20) // 8 * 7}}
