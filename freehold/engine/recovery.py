"""Nothing stays asleep: dead runs are released, unstarted ones started, unfinished operations
finished (DESIGN 5).

Every step is a no-op where somebody was faster.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from freehold import keys
from freehold.domain import calls
from freehold.engine.commit import Transaction, perform
from freehold.engine.daily_cap import resume_sessions
from freehold.engine.expiry import drop_expired
from freehold.engine.history import History
from freehold.engine.invocation import limits_of
from freehold.engine.purge import purge_session
from freehold.engine.todo import finish_todo
from freehold.errors import NotFound
from freehold.ids import timestamp
from freehold.keys import SessionKey
from freehold.ports import App, Run

_log = logging.getLogger("freehold.recovery")
_ACTOR = "recovery"


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did. `visited` counts threads and sessions it acted on, `released` the dead runs
    among them: what a healthy installation has none of.
    """

    visited: int
    released: int


def release(app: App, run: Run, *, failed: bool = False) -> bool:
    """Ends a dead run and starts its thread under a fresh name.

    `failed`: a function of the run raised; too many of those in a row end the turn. False when the
    thread had moved on or its turn was given up.
    """
    key = SessionKey(run.workspace_id, run.session_id)
    history = History(app, key, run.thread_id)
    try:
        done = perform(
            app,
            Transaction(
                key,
                run.thread_id,
                actor=_ACTOR,
                plan=lambda draft: calls.release(draft, run, limits_of(app), failed=failed),
                landed=lambda snapshot, _: snapshot.heads[run.thread_id].is_busy,
                inputs=history.inputs,
            ),
        )
    except NotFound:
        return False
    if done.answer:
        _log.info("run_released", extra={"session_id": run.session_id, "run": run.name})
        app.runs.start(Run(run.workspace_id, run.session_id, run.thread_id, run.epoch + 1, 0))
    return done.answer


def sweep(app: App, *, claims_are_dead: bool = False) -> Swept:
    """Visits every thread that should be running and every unfinished operation, and drops what has
    expired. What fails for one of them holds up no other: the first failure is raised in the end.

    `claims_are_dead`: the caller knows that no other process works on this store, as at the start
    of a laptop's server.
    """
    visited = released = 0
    failures: list[Exception] = []
    for session_id, visit in _visits(app, claims_are_dead=claims_are_dead):
        try:
            found = visit()
        except Exception as error:  # noqa: BLE001 - the others have a right to theirs
            _log.exception("visit_failed", extra={"session_id": session_id})
            failures.append(error)
        else:
            visited += found.visited
            released += found.released
    if failures:
        raise failures[0]
    return Swept(visited, released)


def _visits(app: App, *, claims_are_dead: bool) -> Iterator[tuple[str, Callable[[], Swept]]]:
    """With the session that each is about; of all of them, empty."""
    for key in app.records.due("busy/"):
        session, thread_id = keys.parse_head(key)
        visit = partial(_wake, app, session, thread_id, claims_are_dead=claims_are_dead)
        yield session.session_id, visit
    for key in app.records.due("todo/"):
        session = keys.parse_session(key.pk)
        yield session.session_id, partial(_count, finish_todo, app, session)
    for key in app.records.due("purge/"):
        session = keys.parse_session(key.pk)
        yield session.session_id, partial(_purge, app, session)
    yield "", partial(_count, resume_sessions, app)
    yield "", partial(_count, drop_expired, app)


def _count(visit: Callable[..., int], *given: object) -> Swept:
    return Swept(visit(*given), 0)


def _purge(app: App, key: SessionKey) -> Swept:
    purge_session(app, key)
    return Swept(1, 0)


def _wake(app: App, key: SessionKey, thread_id: str, *, claims_are_dead: bool) -> Swept:
    """Starts the run the head names, or releases it where an execution of that name has closed."""
    try:
        snapshot = app.log.read(key, thread_id)
    except NotFound:
        return Swept(0, 0)
    head, claim = snapshot.heads.get(thread_id), snapshot.claims.get(thread_id)
    if head is None or not head.is_busy or snapshot.session.dead:
        return Swept(0, 0)
    run = Run(key.workspace_id, key.session_id, thread_id, head.epoch, head.leg)
    is_dead = claim is not None and claims_are_dead
    if claim is not None and not is_dead and not claim.has_lapsed(timestamp(app.clock())):
        return Swept(0, 0)
    if not is_dead and app.runs.start(run):
        return Swept(1, 0)
    is_released = release(app, run)
    return Swept(int(is_released), int(is_released))
