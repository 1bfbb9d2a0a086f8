"""Sessions that paused at the cap of a day go on when it is another day or the cap is higher."""

from __future__ import annotations

from freehold import keys
from freehold.domain import budgets
from freehold.domain.draft import Draft
from freehold.engine.commit import Transaction, perform
from freehold.engine.day_spend import reached
from freehold.engine.todo import finish_todo
from freehold.errors import NotFound
from freehold.keys import SessionKey
from freehold.ports import App

_ACTOR = "recovery"


def resume_sessions(app: App) -> int:
    """Starts what paused at a cap that is not reached any more. Returns how many sessions."""
    resumed = 0
    is_open: dict[str, bool] = {}
    for place in app.records.due("day/"):
        key = keys.parse_session(place.pk)
        if key.workspace_id not in is_open:
            is_open[key.workspace_id] = reached(app, key.workspace_id) is None
        if is_open[key.workspace_id]:
            resumed += _resume(app, key)
    return resumed


def _resume(app: App, key: SessionKey) -> bool:
    def plan(draft: Draft) -> None:
        if not draft.session.dead:
            budgets.end_day(draft)

    transaction = Transaction(key, "", actor=_ACTOR, plan=plan, landed=lambda *_: None, every=True)
    try:
        done = perform(app, transaction)
    except NotFound:
        return False
    for run in done.runs():
        app.runs.start(run)
    if done.draft.session.todo:
        finish_todo(app, key)
    return True
