"""`freehold sessions`: what sessions do, did and used, read from their logs."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from freehold.cli import session_tables as tables
from freehold.cli.options import DEFAULT_DATA_DIR, DataDir, JsonOption, StackOption
from freehold.cli.session_reader import Wanted, follow, list_sessions, locate, read_threads
from freehold.cli.stores import open_app
from freehold.cli.terminal import CommandFailed, console, print_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freehold.ports import App
    from freehold.views.thread_log import ThreadLog

SessionArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="SESSION", help="The session's id: `sesn_…`.")
]
Status: TypeAlias = Literal["idle", "running", "rescheduling", "terminated"]
_AGO = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SHOWN_BEFORE = 10

sessions = typer.Typer(help="What sessions do, did and used.", no_args_is_help=True)


@sessions.callback()
def _sessions() -> None:
    """What sessions do, did and used."""


@sessions.command("list")
def list_(
    *,
    status: Annotated[Status | None, typer.Option(help="Only of this status.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only of this agent: its id or name.")] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Only with an action since: `90s`, `15m`, `2h`, `3d`, or a time."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    stack: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    r"""List sessions, newest first: status, age of the last action, tokens, answers awaited.

    \b
    Examples:
      freehold sessions list --status running
      freehold sessions list --agent Coder --since 2h
      freehold sessions list --stack Freehold-Data --json | jq -r .id
    """
    with open_app(data_dir, stack) as app:
        wanted = Wanted(status, agent, _moment(since, app))
        found = list_sessions(app, wanted, limit)
        if as_json:
            _print_lines(found)
        else:
            tables.print_list(console(), found, app.clock())


@sessions.command()
def show(
    session_id: SessionArgument,
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    stack: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    r"""Show how far a session is: files, programs, pages, approvals awaited, errors, threads.

    \b
    Examples:
      freehold sessions show sesn_…
      freehold sessions show sesn_… --json | jq .waiting
    """
    from freehold.views.progress import progress_of  # noqa: PLC0415 - no other command pays

    with open_app(data_dir, stack) as app:
        threads = _threads(app, session_id)
        progress = progress_of(threads)
        if as_json:
            print_json({"id": session_id, **asdict(progress)})
        else:
            tables.print_progress(console(), session_id, progress, app.clock())


@sessions.command()
def tail(
    session_id: SessionArgument,
    *,
    after: Annotated[
        int | None,
        typer.Option(
            min=0, help="Begin behind this number.", show_default=f"the last {_SHOWN_BEFORE}"
        ),
    ] = None,
    thread: Annotated[
        str | None, typer.Option(help="A thread's own events: `sthr_…`.", show_default="primary")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    stack: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    r"""Follow a session's events until Ctrl-C. Each comes once and has a number to resume behind.

    \b
    Examples:
      freehold sessions tail sesn_…
      freehold sessions tail sesn_… --after 0 --json | tee session.jsonl
    """
    with open_app(data_dir, stack) as app:
        key, snapshot = locate(app, session_id)
        head = snapshot.heads.get(thread or snapshot.session.primary_id)
        if head is None:
            raise CommandFailed(f"there is no thread {thread} in {session_id}", exit_code=2)
        begin = max(0, head.next_seq - 1 - _SHOWN_BEFORE) if after is None else after
        screen = None if as_json else console()
        try:
            for event in follow(app, key, head.thread_id, begin):
                if screen is None:
                    print_json({"seq": event.seq, "event": event.body})
                else:
                    tables.print_event(screen, event)
        except KeyboardInterrupt:
            return


@sessions.command("tool-calls")
def tool_calls(
    session_id: SessionArgument,
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    stack: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    r"""Show every tool call: what preceded it, input, permission, who approved it, outcome.

    \b
    Examples:
      freehold sessions tool-calls sesn_…
      freehold sessions tool-calls sesn_… --json | jq 'select(.decision) | [.name, .decided_by]'
    """
    from freehold.views.calls import calls_of  # noqa: PLC0415 - no other command pays

    with open_app(data_dir, stack) as app:
        calls = calls_of(_threads(app, session_id))
    if as_json:
        _print_lines(calls)
    else:
        tables.print_calls(console(), calls)


@sessions.command()
def cost(
    session_id: SessionArgument,
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    stack: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    r"""Show the tokens of each request to the model, and of all of them together.

    \b
    Examples:
      freehold sessions cost sesn_…
      freehold sessions cost sesn_… --json | jq 'select(.type == "total")'
    """
    from freehold.views.cost import cost_of  # noqa: PLC0415 - no other command pays

    with open_app(data_dir, stack) as app:
        found = cost_of(_threads(app, session_id))
    if as_json:
        for request in found.requests:
            print_json({"type": "request", **asdict(request)})
        print_json({"type": "total", "tokens": {**found.tokens}, "usage": found.usage})
    else:
        tables.print_cost(console(), found)


@sessions.command()
def replay(
    session_id: SessionArgument,
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    stack: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    r"""Run a session again in a scratch store, and exit with 1 where it comes out otherwise.

    Its clients' events, and the recorded replies and results, drive this version of the engine.

    \b
    Examples:
      freehold sessions replay sesn_…
      freehold sessions replay sesn_… --json | jq .difference
    """
    from freehold.testing.replay import NotReplayable, replay_session  # noqa: PLC0415 - few pay

    with open_app(data_dir, stack) as app:
        key, snapshot = locate(app, session_id)
        threads = read_threads(app, key, snapshot)
        try:
            found = replay_session(app, key, threads)
        except NotReplayable as refused:
            raise CommandFailed(str(refused)) from refused
    if as_json:
        print_json({"id": session_id, "same": found.difference is None, **asdict(found)})
    else:
        tables.print_replay(console(), found)
    raise typer.Exit(0 if found.difference is None else 1)


def _threads(app: App, session_id: str) -> list[ThreadLog]:
    key, snapshot = locate(app, session_id)
    return read_threads(app, key, snapshot)


def _print_lines(found: Iterable[Any]) -> None:
    for item in found:
        print_json(asdict(item))


def _moment(since: str | None, app: App) -> str | None:
    """A timestamp. Raises CommandFailed, exit code 2."""
    from freehold.ids import parse_timestamp, timestamp  # noqa: PLC0415 - no other command pays

    if since is None:
        return None
    ago = _AGO.fullmatch(since)
    try:
        if ago:
            return timestamp(app.clock() - timedelta(**{_UNITS[ago[2]]: int(ago[1])}))
        return timestamp(parse_timestamp(since))
    except (ValueError, OverflowError):
        raise CommandFailed(
            "--since: a number with s, m, h or d, or a time such as 2026-11-21T02:00:00Z",
            exit_code=2,
        ) from None
