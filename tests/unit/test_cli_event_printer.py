"""Events as a person sees them, and as a program reads them."""

from __future__ import annotations

import io
import json

import pytest
from anthropic.types.beta.sessions import BetaManagedAgentsStreamSessionEvents as Event
from pydantic import TypeAdapter
from rich.console import Console

from freehold.cli.event_printer import EventPrinter

EVENTS = TypeAdapter(Event)
AT = "2026-11-21T10:00:00Z"


def _event(kind, **fields):
    return EVENTS.validate_python({"id": "sevt_1", "type": kind, "processed_at": AT, **fields})


def _text(text):
    return [{"type": "text", "text": text}]


@pytest.fixture
def screen():
    return Console(file=io.StringIO(), width=200, highlight=False, markup=False)


def _lines(screen):
    return screen.file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (_event("agent.message", content=_text("Done.")), "Done."),
        (_event("agent.message", content=_text("[bold]not markup[/]")), "[bold]not markup[/]"),
        (_event("agent.tool_use", name="bash", input={"command": "ls"}), 'bash {"command": "ls"}'),
        (
            _event("agent.tool_result", tool_use_id="sevt_0", content=_text("no"), is_error=True),
            "error: no",
        ),
        (_event("session.status_idle", stop_reason={"type": "end_turn"}), "end_turn"),
        (
            _event(
                "session.status_idle",
                stop_reason={"type": "requires_action", "event_ids": ["sevt_2", "sevt_3"]},
            ),
            "requires_action sevt_2 sevt_3",
        ),
        (_event("agent.custom_tool_use", name="lookup", input={"q": 1}), 'lookup {"q": 1}'),
        (
            _event("user.custom_tool_result", custom_tool_use_id="x", content=_text("found")),
            "found",
        ),
        (
            _event("user.tool_confirmation", tool_use_id="sevt_2", result="allow"),
            "allow sevt_2",
        ),
        (
            _event(
                "session.error",
                error={
                    "type": "model_overloaded_error",
                    "message": "Busy.",
                    "retry_status": {"type": "retrying"},
                },
            ),
            "Busy. (retrying)",
        ),
    ],
)
def test_an_event_is_one_line_with_its_type(screen, event, shown):
    EventPrinter(screen).event(event)
    (line,) = _lines(screen)
    assert event.type in line
    assert line.endswith(shown)


def test_a_long_result_is_shortened(screen):
    text = "\n".join(str(number) for number in range(100))
    EventPrinter(screen).event(_event("agent.tool_result", tool_use_id="x", content=_text(text)))
    lines = _lines(screen)
    assert len(lines) == 7
    assert lines[-1].strip() == "(94 more lines)"


def test_what_an_agent_prints_does_not_move_the_cursor(screen):
    EventPrinter(screen).event(_event("agent.message", content=_text("\x1b[2J\x07hidden")))
    (line,) = _lines(screen)
    assert "\x1b" not in line
    assert line.endswith("\ufffd[2J\ufffdhidden")


def test_a_message_that_is_queued_and_then_processed_is_shown_once(screen):
    printer = EventPrinter(screen)
    queued = {"content": _text("Hello"), "processed_at": None}
    printer.event(_event("user.message", **queued))
    printer.event(_event("user.message", content=_text("Hello")))
    assert len(_lines(screen)) == 1


def test_a_program_reads_every_event_as_json(capsys):
    printer = EventPrinter(None)
    printer.created("agent_1", "env_1", "sesn_1")
    printer.event(_event("user.message", content=_text("Hello")))
    printer.event(_event("user.message", content=_text("Hello")))
    first, *events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert first == {"agent": "agent_1", "environment": "env_1", "session": "sesn_1"}
    assert [event["type"] for event in events] == ["user.message", "user.message"]
