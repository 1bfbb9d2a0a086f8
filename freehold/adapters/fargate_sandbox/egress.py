"""The network of sandboxes that are tasks: each one's way to the egress proxy, or none at all.

The proxy runs while a sandbox does that may reach something. It keeps what it is told in memory, so
who boots a sandbox tells it again; a session that a proxy does not know reaches nothing.
"""

from __future__ import annotations

import hashlib
import logging
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from freehold.adapters.fargate_sandbox.boots import Boots, after
from freehold.adapters.fargate_sandbox.dispatch import Dispatch, DispatchFailed, Line
from freehold.adapters.fargate_sandbox.egress_proxy import NAME, Proxies, Proxy
from freehold.adapters.fargate_sandbox.slot import Slot
from freehold.adapters.fargate_sandbox.slots import Slots
from freehold.adapters.fargate_sandbox.tasks import Task
from freehold.errors import AmbiguousWrite, SandboxLost, SandboxStarting, StaleRead, Unavailable
from freehold.ports import Network, SandboxRef, Secrets
from freehold.toolset import JsonObject

_log = logging.getLogger("freehold.egress")

_TOUCH_SECONDS = 60.0
_UNUSED_SECONDS = 300.0
"""Longer than a boot may take from its look at the proxy to its grant (`Egress.settle`)."""
_OK = 200
_TOKEN = b"freehold-egress-token-1\n"
_BUSY = (StaleRead, AmbiguousWrite, Unavailable, SandboxStarting, SandboxLost)


@dataclass(frozen=True, slots=True)
class Grants:
    """What a sandbox may reach: `network_of` asks its environment now, `policy_of` says it in the
    words of `egress_proxy.policy`, `variables` tell package managers of mirrors.
    """

    network_of: Callable[[SandboxRef], Network]
    policy_of: Callable[[Network], JsonObject]
    variables: Mapping[str, str]


class Egress:
    """Threads and processes share what is in the table. An instance keeps which boots it has told
    which proxy.
    """

    def __init__(
        self,
        proxies: Proxies,
        boots: Boots[Proxy],
        slots: Slots,
        dispatch: Dispatch,
        secrets: Secrets,
        port: int,
    ) -> None:
        self._proxies = proxies
        self._boots = boots
        self._slots = slots
        self._dispatch = dispatch
        self._secrets = secrets
        self._port = port
        self._told: dict[str, str] = {}

    # ------------------------------------------------------------ a sandbox
    def prewarm(self, sandbox: SandboxRef, grants: Grants) -> None:
        """Asks for the proxy's task where the sandbox will need it. Raises what `open` does."""
        if grants.network_of(sandbox) != Network():
            proxy = self._proxies.get()
            if not proxy.stopping:
                self._boots.started(proxy)

    def open(self, sandbox: SandboxRef, slot: Slot, grants: Grants) -> Slot:
        """The slot, whose boot reaches what its environment grants. One whose proxy does not come
        up reaches nothing, and is of use without. Raises SandboxStarting while the proxy starts,
        SandboxLost where the session is gone or the supervisor is, StaleRead.
        """
        network = grants.network_of(sandbox)
        if network == Network():
            return slot
        try:
            proxy = self._used(self._boots.up(self._proxies.get()))
        except SandboxLost:
            _log.warning("egress_failed", extra={"session_id": sandbox.session_id})
            return slot
        if self._told.get(slot.boot_id) == proxy.boot_id:
            return slot
        if slot.egress != proxy.boot_id:
            # Written first: who stops the task must know whom to tell.
            slot = self._slots.write(slot, egress=proxy.boot_id)
        self._tell(slot, proxy, grants, network)
        self._told[slot.boot_id] = proxy.boot_id
        return slot

    def shut(self, slot: Slot) -> Slot:
        """The slot, of which no proxy knows. Raises SandboxStarting while that is not certain."""
        if not slot.egress:
            return slot
        proxy = self._proxies.get()
        if proxy.boot_id == slot.egress and proxy.address:
            line = Line(slot.slot_id, proxy.boot_id, proxy.address)
            try:
                status, _ = self._dispatch.delete(line, f"/sessions/{slot.slot_id}")
            except SandboxLost:
                status = _OK  # nobody listens there: what it knew went with it
            except DispatchFailed as failed:
                raise SandboxStarting(2) from failed
            if status != _OK:
                raise SandboxStarting(2)
        self._told.pop(slot.boot_id, None)
        return self._slots.write(slot, egress="")

    # ------------------------------------------------------------ the proxy
    def settle(self) -> None:
        """Stops a proxy that no sandbox uses any more. For upkeep; what is busy is left for the
        next time.
        """
        proxy = self._proxies.get()
        if not proxy.boot_id:
            return
        now = self._proxies.now()
        with suppress(*_BUSY):
            if proxy.stopping:
                self._boots.down(proxy)
            elif now < after(max(proxy.used_at, proxy.boot_at), _UNUSED_SECONDS):
                return
            elif any(slot.egress == proxy.boot_id for slot in self._slots.all().values()):
                self._proxies.write(proxy, used_at=now)
            else:
                # Conditions on what was read: a sandbox that came meanwhile has written it.
                self._boots.down(proxy)

    def owns(self, task: Task) -> bool:
        """Whether it is the proxy's, or may be."""
        proxy = self._proxies.get()
        is_asked_for = bool(proxy.boot_id) and not proxy.task
        return task.slot_id == NAME and (proxy.task == task.arn or is_asked_for)

    # ------------------------------------------------------------ parts
    def _used(self, proxy: Proxy) -> Proxy:
        now = self._proxies.now()
        if proxy.used_at and now < after(proxy.used_at, _TOUCH_SECONDS):
            return proxy
        return self._proxies.write(proxy, used_at=now)

    def _tell(self, slot: Slot, proxy: Proxy, grants: Grants, network: Network) -> None:
        """First the proxy, then the sandbox. Each may be told again."""
        token = self._token(slot)
        grant: JsonObject = {
            "policy": grants.policy_of(network),
            "token_sha256": hashlib.sha256(token.encode()).hexdigest(),
            "source": slot.address,
        }
        way: JsonObject = {
            "proxy": f"{proxy.address}:{self._port}",
            "token": token,
            "variables": {**grants.variables},
        }
        line = Line(slot.slot_id, proxy.boot_id, proxy.address)
        try:
            status, answer = self._dispatch.put(line, f"/sessions/{slot.slot_id}", grant)
        except (SandboxLost, DispatchFailed) as failed:
            raise SandboxStarting(1) from failed
        if status != _OK:
            _log.warning("egress_refused", extra={"slot": slot.slot_id, "reason": answer})
            return
        try:
            own = Line(slot.slot_id, slot.boot_id, slot.address)
            status, _ = self._dispatch.put(own, "/egress", way)
        except DispatchFailed as failed:
            raise SandboxStarting(1) from failed
        if status != _OK:
            # A task from before there was a proxy has no relay: it reaches nothing.
            _log.warning("egress_without_relay", extra={"slot": slot.slot_id})

    def _token(self, slot: Slot) -> str:
        """Of one boot of one slot, the same to every process and kept by none."""
        named = f"{slot.slot_id}\n{slot.boot_id}".encode()
        return urlsafe_b64encode(self._secrets.sign(_TOKEN + named)).decode().rstrip("=")
