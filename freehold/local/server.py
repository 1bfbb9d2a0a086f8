"""`freehold serve`: API, streams, state machine, sandboxes and timers in one process."""

from __future__ import annotations

import gc
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

from freehold import bootstrap
from freehold.adapters.claude import ClaudeModel
from freehold.adapters.local_secrets import KeyFileUnusable
from freehold.adapters.sqlite import SqliteRecords, StoreUnusable
from freehold.adapters.subprocess_sandbox import SubprocessSandboxes
from freehold.engine import recovery
from freehold.errors import ModelError
from freehold.facts import Observe
from freehold.local.alarms import Alarms
from freehold.local.data_dir import DataDirLock, DataDirUnusable
from freehold.local.logs import log_to_stderr
from freehold.local.observers import CannotServeMetrics, NoSpans, Observers, observed_functions
from freehold.local.readiness import Readiness
from freehold.local.runs import LocalRuns
from freehold.local.start_lines import start_lines
from freehold.local.store import bring_up_to_date
from freehold.local.web import Web
from freehold.local.workers import Workers
from freehold.ports import Model
from freehold.services import keys
from freehold.settings import Settings
from functions.counted import Counted
from functions.reaper.handler import make_handler as make_reaper
from functions.run_tools.handler import make_handler as make_run_tools
from functions.run_turn.handler import make_handler as make_run_turn
from functions.web_server import GRACE_SECONDS, WebServer

_log = logging.getLogger("freehold.server")
_SWEEP_SECONDS = 60.0
_BACKLOG = 2048
_ACCEPTED_AT_ONCE = 1
"""asyncio accepts as many connections in a row as may wait, and without a free descriptor it fails,
logs and repeats each: hundreds of thousands of lines in seconds. So it is told one, and the socket
the real number."""
_YOUNG_OBJECTS = 5_000


class CannotListen(Exception):
    """The message is one line for the person who started the server."""


_CANNOT_START = (
    CannotListen,
    CannotServeMetrics,
    DataDirUnusable,
    KeyFileUnusable,
    NoSpans,
    StoreUnusable,
)


def serve(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT; 0 when it ended in order, 1 when it could not start.

    Why it could not start is one line on standard error.
    """
    log_to_stderr()
    try:
        with ExitStack() as stack:
            lock = DataDirLock(settings.data_dir)
            stack.callback(lock.close)
            listener = _listen(settings)
            stack.callback(listener.close)
            _serve(settings, listener, stack)
    except _CANNOT_START as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _serve(settings: Settings, listener: socket.socket, stack: ExitStack) -> None:
    """Builds everything, in the order in which one needs the other, and serves. What is pushed on
    the stack ends in the opposite order: no new runs, then store and sandboxes, then the directory.
    """
    bring_up_to_date(settings.data_dir)
    runs = LocalRuns()
    observers = Observers(settings)
    stack.callback(observers.close)
    observe = observers.observe
    app = bootstrap.local(settings, runs=runs, observe=observe)
    assert isinstance(app.records, SqliteRecords)
    stack.callback(bootstrap.close, app)
    # Before the sandboxes: a call that their end kills must not be answered as if it had failed.
    stack.callback(app.records.close)
    stack.callback(runs.close, GRACE_SECONDS)
    functions = {
        "run_turn": make_run_turn(app),
        "run_tools": make_run_tools(app),
        "reaper": make_reaper(app),
    }
    functions = functions if observe is None else observed_functions(functions, observe)
    runs.open(functions)
    secret = keys.first_key(app)
    assert isinstance(app.sandboxes, SubprocessSandboxes)
    probe = app.sandboxes.usable()
    # This process alone has the directory: whoever held a claim is dead, and nobody waits a lease.
    recovery.sweep(app, claims_are_dead=True)
    alarms = Alarms(Workers("sweeper").run)
    stack.callback(alarms.close)
    alarms.every(_SWEEP_SECONDS, partial(_sweep, functions["reaper"]))
    Workers("warm-up").run(partial(_warm_up, app.model))
    web = Web(app, Readiness(app, probe))
    stack.callback(web.close)
    metrics_url = observers.serve(app)
    lines = start_lines(settings, probe, secret, _url(listener), metrics_url)
    _Server(web, lines, observe).run(sockets=[listener])


class _Server(WebServer):
    """Says where it listens once it does."""

    def __init__(self, web: Web, lines: Sequence[str], observe: Observe | None) -> None:
        asgi = web.asgi if observe is None else Counted(web.asgi, observe)
        super().__init__(asgi, web.hub, ws="websockets-sansio", backlog=_ACCEPTED_AT_ONCE)
        self._lines = lines

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(_BACKLOG)
        _settle_heap()
        sys.stdout.write("".join(f"{line}\n" for line in self._lines))
        sys.stdout.flush()


def _settle_heap() -> None:
    """What was built so far lives as long as the process. The collector need not walk it again and
    again, nor look for cycles every few hundred objects: that was a tenth of a turn under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)


def _warm_up(model: Model) -> None:
    """Importing the Claude API's client takes seconds, which the first turn need not wait for."""
    if isinstance(model, ClaudeModel):
        with suppress(ModelError):  # without a key: each turn says so
            model.warm_up()


def _sweep(reaper: Callable[[Any, Any], object]) -> None:
    """The timer's tick. One that fails is followed by another."""
    try:
        reaper({}, None)
    except Exception:  # noqa: BLE001 - nobody else would hear it on this thread
        _log.exception("sweep_failed")


def _listen(settings: Settings) -> socket.socket:
    """A bound socket: the port is known before anything is built. Raises CannotListen."""
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListen(f"Cannot listen on {settings.host}: {error.strerror}.") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        place = f"{settings.host} port {settings.port}"
        raise CannotListen(f"Cannot listen on {place}: {error.strerror}.") from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"
