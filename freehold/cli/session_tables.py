"""How `freehold sessions` shows what it found to a person."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.text import Text

from freehold.cli.event_text import STYLES, event_text, shortened
from freehold.cli.terminal import printable
from freehold.ids import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rich.console import Console

    from freehold.domain.entry import StoredEvent
    from freehold.testing.replay import Replay
    from freehold.toolset import JsonObject
    from freehold.views.calls import ToolCall
    from freehold.views.cost import Cost
    from freehold.views.progress import Progress
    from freehold.views.summary import Summary

_LONGEST_LINE = 160
_NAME = 14
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_STATUS_STYLES = {"running": "green", "rescheduling": "yellow", "terminated": "dim"}
_OUTCOME_STYLES = {"ok": "green", "error": "red", "denied": "red", "waiting": "bold yellow"}
_PROGRAMS = 10


def age(at: str, now: datetime) -> str:
    """How long ago, in its largest unit: `12s`, `3m`, `5h`, `2d`."""
    seconds = max(0, int((now - parse_timestamp(at)).total_seconds()))
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def print_list(screen: Console, found: Sequence[Summary], now: datetime) -> None:
    head = f"{'session':<31} {'status':<12} {'last':>5} {'waits':>5} {'tokens':>10}"
    screen.print(f"{head} {'cost':>9}  agent, title", style="bold")
    for row in found:
        line = Text(f"{row.id:<31} ")
        line.append(f"{row.status:<12} ", style=_STATUS_STYLES.get(row.status, ""))
        line.append(f"{age(row.last_at, now):>5} ")
        line.append(f"{row.waiting or '-':>5} ", style="bold yellow" if row.waiting else "")
        line.append(f"{_tokens(row.usage):>10,} {_list_cost(row.usage):>9}  ")
        line.append(_line(row.agent_name + (f", {row.title}" if row.title else "")))
        screen.print(line)


def print_progress(screen: Console, session_id: str, found: Progress, now: datetime) -> None:
    status = found.status + (f" ({found.stop_reason})" if found.stop_reason else "")
    _row(screen, "session", session_id)
    _row(screen, "status", status, _STATUS_STYLES.get(found.status, ""))
    last = found.last_action
    if last:
        said = f"{last.type} {last.detail}".strip()
        _row(screen, "last action", f"{said}, {age(last.at, now)} ago")
    used = found.cost.tokens
    _row(screen, "tokens", f"{sum(used.values()):,} in {len(found.cost.requests)} requests")
    for call in found.waiting:
        asked = f"{call.name} {_input(call)}, since {age(call.asked_at, now)}: {call.id}"
        _row(screen, "waits for", asked, "bold yellow")
    for file in found.files_written:
        times = f", {file.times} times" if file.times > 1 else ""
        _row(screen, "wrote", f"{file.path}{times}, {age(file.at, now)} ago")
    for call in found.programs_run[-_PROGRAMS:]:
        style = _OUTCOME_STYLES.get(call.outcome, "")
        _row(screen, "ran", f"{_input(call)}: {call.outcome}", style)
    if len(found.programs_run) > _PROGRAMS:
        _row(screen, "", f"({len(found.programs_run) - _PROGRAMS} earlier programs)")
    for url in found.pages_read:
        _row(screen, "read", url)
    for query in found.searches:
        _row(screen, "searched", query)
    for error in found.errors:
        _row(screen, "error", f"{error.detail}, {age(error.at, now)} ago", "red")
    for thread in found.threads:
        shown = f"{thread.id} {thread.status}, {thread.events} events, {thread.agent_name}"
        _row(screen, "thread", shown)


def print_event(screen: Console, event: StoredEvent) -> None:
    body = event.body
    kind, at = str(body["type"]), body.get("processed_at")
    lines = [line[:_LONGEST_LINE] for line in printable(event_text(body)).splitlines()] or [""]
    start = f"{event.seq:>6}  {str(at)[11:19] if at else 'queued':<8}  "
    first = Text(start, style="dim") + Text(f"{kind:<30}", style=STYLES.get(kind, "dim"))
    screen.print(first + Text(lines[0]))
    for line in lines[1:]:
        screen.print(Text(" " * (len(start) + 30) + line))


def print_calls(screen: Console, calls: Sequence[ToolCall]) -> None:
    for call in calls:
        if call.said:
            screen.print(Text(_line(f'        "{call.said}"'), style="dim"))
        took = "" if call.seconds is None else f" in {call.seconds:.3g} s"
        line = Text(f"{call.seq:>6}  {call.asked_at[11:19]}  ", style="dim")
        line.append(f"{_line(call.name)} ", style="cyan").append(f"{_input(call)}  ")
        line.append(f"{call.outcome}{took}", style=_OUTCOME_STYLES.get(call.outcome, ""))
        screen.print(line)
        if call.permission:
            by = f", {call.decision} by {call.decided_by}" if call.decision else ""
            screen.print(Text(f"        permission: {call.permission}{by}", style="dim"))
        elif call.decided_by:
            screen.print(Text(f"        result by {call.decided_by}", style="dim"))
        for text in printable(shortened(call.result or "")).splitlines():
            screen.print(Text(f"        {text[:_LONGEST_LINE]}"))


def print_cost(screen: Console, found: Cost) -> None:
    head = f"{'seq':>6} {'at':<8} {'seconds':>8} {'input':>9} {'cached':>9} {'written':>9}"
    screen.print(f"{head} {'output':>9} {'list cost':>10}  model", style="bold")
    for request in found.requests:
        state = {None: "  open", True: "  failed", False: ""}[request.is_error]
        state = "  search" if request.is_search else state
        took = "" if request.seconds is None else f"{request.seconds:.2f}"
        columns = _columns(request.usage or {})
        spent = f"{_dollars(request.list_cost):>10}  {_line(request.model or '')}"
        when = f"{request.seq:>6} {request.started_at[11:19]} {took:>8}"
        screen.print(f"{when} {columns} {spent}{state}")
    total = f"{_columns(found.tokens)} {_dollars(found.list_cost):>10}"
    screen.print(f"{'requests':<24} {total}", style="bold")
    if found.usage:
        written = sum(_numbers(found.usage.get("cache_creation")))
        columns = _columns({**found.usage, "cache_creation_input_tokens": written})
        screen.print(f"{'session':<24} {columns}", style="bold")
        _row(screen, "list cost", _list_cost(found.usage))


def print_replay(screen: Console, found: Replay) -> None:
    if found.difference is None:
        screen.print(f"the same: {found.events} events of {found.threads} threads", style="green")
        return
    place = found.difference
    screen.print(f"differs at event {place.seq} of {place.thread_id}", style="bold red")
    screen.print(printable(f"  recorded  {json.dumps(place.recorded, ensure_ascii=False)}"))
    screen.print(printable(f"  replayed  {json.dumps(place.replayed, ensure_ascii=False)}"))


def _columns(usage: dict[str, Any]) -> str:
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return " ".join(f"{usage.get(name, 0) or 0:>9,}" for name in (*names, "output_tokens"))


def _tokens(usage: JsonObject) -> int:
    """Of every kind together."""
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens")
    counted = sum(_numbers({name: usage.get(name) for name in names}))
    return counted + sum(_numbers(usage.get("cache_creation")))


def _numbers(value: object) -> list[int]:
    return [n for n in value.values() if isinstance(n, int)] if isinstance(value, dict) else []


def _list_cost(usage: JsonObject) -> str:
    """The session's whole cents as dollars; `-` where there is none."""
    found = usage.get("list_cost")
    if not isinstance(found, dict):
        return "-"
    cents = int(str(found["amount"]))
    return f"${cents // 100:,}.{cents % 100:02}"


def _dollars(cost: str | None) -> str:
    """Of a request; `-` where its model has no price."""
    return "-" if cost is None else f"${cost}"


def _input(call: ToolCall) -> str:
    """A command, path, URL or query as it is, anything else as JSON."""
    for field in ("command", "file_path", "url", "query"):
        if isinstance(call.input.get(field), str):
            return _line(str(call.input[field]))
    return _line(json.dumps(call.input, ensure_ascii=False))


def _line(text: str) -> str:
    """On one line, without what a terminal would obey."""
    folded = " ".join(printable(text).split(" ")).replace("\n", " ⏎ ").replace("\t", " ")
    return folded if len(folded) <= _LONGEST_LINE else folded[: _LONGEST_LINE - 1] + "…"


def _row(screen: Console, name: str, text: str, style: str = "") -> None:
    screen.print(Text(f"{name:<{_NAME}}", style="dim") + Text(_line(text), style=style))
