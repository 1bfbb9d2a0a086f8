"""Starts supervisors on this machine, for sessions and for what is made for them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from freehold.adapters.subprocess_sandbox.rungs import CannotStart, Start
from freehold.adapters.subprocess_sandbox.running import RunningSandbox

if TYPE_CHECKING:
    from freehold.adapters.subprocess_sandbox.directories import SessionDirectories
    from freehold.adapters.subprocess_sandbox.rungs import Prefix, Rung
    from freehold.ports import EgressSocket, Secrets
    from freehold.toolset import JsonObject


class Starter:
    """`limits` are fields of the supervisors' settings."""

    def __init__(self, secrets: Secrets, limits: JsonObject) -> None:
        self._secrets = secrets
        self._limits = limits
        # A sandbox dies with the thread that started it, so that must be one that stays.
        self._spawner = ThreadPoolExecutor(1, thread_name_prefix="sandbox-spawner")

    def start(
        self,
        rung: Rung,
        directories: SessionDirectories,
        session_id: str,
        egress: EgressSocket | None,
        prefix: Prefix | None = None,
    ) -> RunningSandbox:
        """A supervisor that listens. Raises CannotStart."""
        try:
            prepared = directories.prepare(session_id, rung.owner)
        except OSError as error:
            raise CannotStart(f"its directories cannot be made: {error.strerror}") from error
        public_key = self._secrets.public_key()
        start = Start(session_id, public_key, prepared, self._limits, egress, prefix)
        try:
            launched = self._spawner.submit(rung.launch, start).result()
            return RunningSandbox(launched, self._secrets, start, rung)
        except CannotStart:
            directories.end_boot(prepared)
            raise

    def close(self) -> None:
        """Nothing can be started afterwards."""
        self._spawner.shutdown()
