"""What clients do to a world, as workers: one request each, acknowledged when it returns."""

from __future__ import annotations

from freehold.domain.session import Use
from freehold.errors import NotFound
from freehold.services import events as service
from freehold.services import session_updates, sessions
from freehold.wire.event_input import SendEvents
from freehold.wire.sessions import UpdateSession
from tests.protocol.world import Worker, World


def _send(world: World, label: str, *events: dict[str, object]) -> Worker:
    request = SendEvents.model_validate({"events": list(events)})

    def work() -> list[str]:
        sent = service.send_events(world.app, world.caller, world.key.session_id, request)
        ids = [str(event["id"]) for event in sent.data]
        # An interrupt at the budget's cap is accepted and not recorded (BEHAVIOUR 10).
        world.acked += [
            str(event["id"])
            for event in sent.data
            if world.cap is None or event["type"] != "user.interrupt"
        ]
        return ids

    return world.spawn(label, work)


def message(world: World, text: str = "hello") -> Worker:
    """A client sends a message."""
    content = [{"type": "text", "text": text}]
    return _send(world, f"message {text}", {"type": "user.message", "content": content})


def system_message(world: World) -> Worker:
    """The operator says something, alone."""
    content = [{"type": "text", "text": "Be brief."}]
    return _send(world, "system message", {"type": "system.message", "content": content})


def interrupt(world: World, text: str | None = None) -> Worker:
    """A client interrupts every thread, and says something in the same request."""
    content = [{"type": "text", "text": text}]
    said = [] if text is None else [{"type": "user.message", "content": content}]
    return _send(world, "interrupt", {"type": "user.interrupt"}, *said)


def set_budget(world: World, cents: int | None) -> Worker:
    """A client replaces the budget, or removes it."""
    amount = {"amount": str(cents), "currency": "USD"}
    budget = None if cents is None else {"type": "limit", "max_list_cost": amount}
    request = UpdateSession.model_validate({"budget": budget})

    def work() -> None:
        session_updates.update_session(world.app, world.caller, world.key.session_id, request)

    return world.spawn(f"budget {cents}", work)


def confirm(world: World, use_id: str, result: str = "allow") -> Worker:
    """A client answers a tool use that asks."""
    event = {"type": "user.tool_confirmation", "tool_use_id": use_id, "result": result}
    return _send(world, f"{result} {use_id}", event)


def deliver(world: World, use_id: str, *, is_error: bool = False) -> Worker:
    """A client sends the result of a custom tool."""
    content = [{"type": "text", "text": "found"}]
    event = {"type": "user.custom_tool_result", "custom_tool_use_id": use_id, "content": content}
    return _send(world, f"result {use_id}", {**event, "is_error": is_error})


def settle(world: World, use: Use, result: str = "allow") -> Worker:
    """A client answers a call in the way it asks for: allows or denies, or sends a result that is
    one or a failed one.
    """
    if use.custom:
        return deliver(world, use.event_id, is_error=result == "deny")
    return confirm(world, use.event_id, result)


def delete(world: World) -> Worker:
    """A client deletes the session."""

    def work() -> None:
        try:
            sessions.delete_session(world.app, world.caller, world.key.session_id)
        except NotFound:
            return

    return world.spawn("delete", work)
