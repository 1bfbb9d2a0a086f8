"""Operations over many threads, an interrupt of all or a raised cap: one thread, one transaction
(DESIGN 4).
"""

from __future__ import annotations

from datetime import datetime

from freehold.domain import append
from freehold.domain.draft import Draft, Snapshot
from freehold.engine.commit import Transaction, perform
from freehold.engine.history import History
from freehold.errors import NotFound
from freehold.keys import SessionKey
from freehold.ports import App

_ACTOR = "recovery"


def finish_todo(app: App, key: SessionKey) -> bool:
    """The last transaction clears the mark. False for a session that is gone."""
    try:
        while thread_id := _next_todo(app.log.read(key, every=True), app.clock()):
            _visit(app, key, thread_id)
    except NotFound:
        return False
    return True


def _next_todo(snapshot: Snapshot, now: datetime) -> str | None:
    """A thread to visit; the primary where none is left but the mark still stands."""
    if not snapshot.session.todo or snapshot.session.dead:
        return None
    left = [
        h.thread_id for h in snapshot.heads.values() if append.is_todo(snapshot.session, h, now)
    ]
    return left[0] if left else snapshot.session.primary_id


def _visit(app: App, key: SessionKey, thread_id: str) -> None:
    def plan(draft: Draft) -> bool:
        if draft.session.todo:
            append.finish_todo(draft, thread_id)
        return True

    done = perform(
        app,
        Transaction(
            key,
            thread_id,
            actor=_ACTOR,
            plan=plan,
            landed=lambda *_: True,
            inputs=History(app, key, thread_id).inputs,
            every=True,
        ),
    )
    for run in done.runs():
        app.runs.start(run)
