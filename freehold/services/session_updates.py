"""Updates of a session (BEHAVIOUR 5.4, 10)."""

from __future__ import annotations

from typing import Any

from freehold.documents import unpack
from freehold.domain import accounting, budgets, web_rules
from freehold.domain.draft import Draft
from freehold.engine.commit import Transaction, perform
from freehold.engine.todo import finish_todo
from freehold.errors import InvalidRequest
from freehold.ports import App
from freehold.services.budgets import require_list_prices
from freehold.services.keys import Caller
from freehold.services.sessions import environment_item, locate_session, retrieve_session
from freehold.session_doc import SessionDoc, StoredDoc, read_doc, write_doc
from freehold.wire.environments import Environment
from freehold.wire.events import SessionUpdatedEvent
from freehold.wire.sessions import Session, UpdateSession


def update_session(app: App, caller: Caller, session_id: str, request: UpdateSession) -> Session:
    """Title, metadata, the agent's tools, the budget; `session.updated` carries only what changed,
    and a no-op writes nothing (BEHAVIOUR 5.4). Raises InvalidRequest for the agent of a session
    that is not idle, for web tools beyond the environment, and for a budget that may not be; what
    changes applies from the next turn. What paused at the old budget goes on.
    """
    key, _ = locate_session(app, caller, session_id)

    def plan(draft: Draft) -> None:
        stored = read_doc(app.records, app.blobs, key)
        if draft.session.archived_at or draft.session.dead:
            raise InvalidRequest("Cannot update an archived session.")
        changed = _changed(app, caller, draft, stored, request)
        shown = {k: v for k, v in changed.items() if v or k == "title"}
        if _changes_budget(app, draft, stored.doc, request):
            shown["budget"] = accounting.budget_of(draft.session)
        if not changed and not shown:
            return
        draft.need("archived_at")
        draft.emit(draft.session.primary_id, SessionUpdatedEvent, **shown)
        if "budget" in shown:
            budgets.resume(draft)
        if changed:
            doc = stored.doc.model_copy(update={**changed, "updated_at": draft.at})
            draft.extra.append(write_doc(app.blobs, key, doc, stored.revision + 1))

    done = perform(
        app,
        Transaction(
            key,
            "",
            actor=caller.key_id,
            plan=plan,
            landed=lambda *_: None,
            every=request.changes_budget,
        ),
    )
    for run in done.runs():
        app.runs.start(run)
    if done.draft.session.todo:
        finish_todo(app, key)
    return retrieve_session(app, caller, session_id)


def _changed(
    app: App, caller: Caller, draft: Draft, stored: StoredDoc, request: UpdateSession
) -> dict[str, Any]:
    """What changes of the document."""
    if request.changes_agent:
        _require_idle(draft)
    changed = request.apply(stored.doc.title, stored.doc.metadata, stored.doc.agent)
    if "agent" in changed:
        _check_reach(app, caller, stored.doc.model_copy(update=changed))
    return changed


def _changes_budget(app: App, draft: Draft, doc: SessionDoc, request: UpdateSession) -> bool:
    if not request.changes_budget:
        return False
    if request.budget is not None:
        require_list_prices(app, doc.agent)
    return budgets.change(draft, request.budget)


def _require_idle(draft: Draft) -> None:
    """No turn that has begun sees another agent in its middle."""
    draft.need("running")
    if draft.session.running:
        raise InvalidRequest(
            "`agent` can only be updated while the session is idle. "
            "Interrupt it and wait for idle first."
        )


def _check_reach(app: App, caller: Caller, doc: SessionDoc) -> None:
    """As at creation. Where the environment was deleted by force, every call is refused when it is
    made.
    """
    item = environment_item(app, caller, doc.environment_id)
    if item is not None:
        web_rules.check_within(doc.agent.tools, unpack(app.blobs, item, Environment))
