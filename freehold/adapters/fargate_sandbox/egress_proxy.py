"""The one egress proxy of an installation: an item that says what there is of it, and its task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from freehold import keys
from freehold.adapters.fargate_sandbox.boots import Boots
from freehold.adapters.fargate_sandbox.dispatch import Dispatch, Line
from freehold.adapters.fargate_sandbox.fleet import EgressFleet
from freehold.adapters.fargate_sandbox.tasks import Start, Task, Tasks
from freehold.errors import SandboxLost
from freehold.ids import timestamp
from freehold.ports import Condition, Records, Secrets, Write, known
from freehold.toolset import JsonObject

CONTAINER = "egress"
NAME = "egress"
"""What its task says it belongs to, in place of a slot."""
LIMITS = {"connections": 128, "all_connections": 1536}
"""`egress_proxy.settings.Limits` of a task whose memory all sessions share: a connection whose two
sides send and read nothing holds 0.2 MB (`tests/infra/test_sandboxes.py`).
"""


@dataclass(frozen=True, slots=True)
class Proxy:
    """As a slot has it (`slot.Slot`). `used_at` is when a sandbox last came to it, at most a minute
    late.
    """

    revision: int = 0
    boot_id: str = ""
    boot_at: str = ""
    task: str = ""
    address: str = ""
    stopping: bool = False
    failed_starts: int = 0
    used_at: str = ""

    @property
    def slot_id(self) -> str:
        return NAME


class Proxies:
    """Its item. `write` raises StaleRead when it is not as it was read any more."""

    def __init__(self, records: Records, clock: Callable[[], datetime]) -> None:
        self._records = records
        self._clock = clock

    def now(self) -> str:
        return timestamp(self._clock())

    def get(self) -> Proxy:
        """One without a task where there never was any."""
        (item,) = self._records.get([keys.egress_proxy()])
        return Proxy(**known(Proxy, item or {}))

    def write(self, old: Proxy, /, **changed: Any) -> Proxy:
        new = replace(old, revision=old.revision + 1, **changed)
        put = {name: value for name, value in asdict(new).items() if value}
        as_read = Condition("revision", "==", old.revision or None, "proxy as read")
        self._records.write([Write(keys.egress_proxy(), put=put, conditions=(as_read,))])
        return new


class ProxyTasks:
    """Its task, of the family that the stack registers."""

    def __init__(self, tasks: Tasks, fleet: EgressFleet) -> None:
        self._tasks = tasks
        self._fleet = fleet

    def run(self, proxy: Proxy, settings: JsonObject, /) -> str:
        """As `Tasks.run`. It has a public address, since a way out by address translation costs
        ten times as much; its security group lets in sandboxes and `dispatch` alone.
        """
        network = {
            "subnets": list(self._fleet.subnets),
            "securityGroups": [self._fleet.security_group],
            "assignPublicIp": "ENABLED",
        }
        start = Start(NAME, proxy.boot_id, self._fleet.family, CONTAINER, network)
        return self._tasks.start(start, settings)

    def look(self, arn: str, /) -> Task | None:
        return self._tasks.look(arn)

    def stop(self, arn: str, /) -> None:
        self._tasks.stop(arn)


class ProxyLine:
    """Whether it listens."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    def answers(self, line: Line, /) -> bool:
        """Raises DispatchFailed."""
        try:
            _, answer = self._dispatch.get(line, "/healthz")
        except SandboxLost:
            return False
        return answer.get("boot_id") == line.boot_id


def proxy_boots(
    proxies: Proxies, tasks: Tasks, dispatch: Dispatch, secrets: Secrets, fleet: EgressFleet
) -> Boots[Proxy]:
    """How it comes to run and to stop."""

    def settings(proxy: Proxy) -> JsonObject:
        """`egress_proxy.settings`; nothing in it is secret."""
        return {
            "public_key": secrets.public_key().hex(),
            "boot_id": proxy.boot_id,
            "control": f"0.0.0.0:{fleet.control_port}",
            "listen": f"0.0.0.0:{fleet.port}",
            "refused_ranges": list(fleet.refused_ranges),
            "limits": {**LIMITS},
        }

    return Boots(proxies, ProxyTasks(tasks, fleet), ProxyLine(dispatch), settings)
