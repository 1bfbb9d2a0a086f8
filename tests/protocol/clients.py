"""What clients do to a world, as workers: one request each, acknowledged when it returns."""

from __future__ import annotations

from freehold.errors import NotFound
from freehold.services import events as service
from freehold.services import sessions
from freehold.wire.event_input import SendEvents
from tests.protocol.world import Worker, World


def _send(world: World, label: str, *events: dict[str, object]) -> Worker:
    request = SendEvents.model_validate({"events": list(events)})

    def work() -> list[str]:
        sent = service.send_events(world.app, world.caller, world.key.session_id, request)
        ids = [str(event["id"]) for event in sent.data]
        started = {"user.message", "user.interrupt"}
        world.acked += [i for i, event in zip(ids, events, strict=True) if event["type"] in started]
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


def interrupt(world: World) -> Worker:
    """A client interrupts every thread."""
    return _send(world, "interrupt", {"type": "user.interrupt"})


def confirm(world: World, use_id: str, result: str = "allow") -> Worker:
    """A client answers a tool use that asks."""
    event = {"type": "user.tool_confirmation", "tool_use_id": use_id, "result": result}
    return _send(world, f"{result} {use_id}", event)


def delete(world: World) -> Worker:
    """A client deletes the session."""

    def work() -> None:
        try:
            sessions.delete_session(world.app, world.caller, world.key.session_id)
        except NotFound:
            return

    return world.spawn("delete", work)
