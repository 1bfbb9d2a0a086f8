"""`freehold audit`: whether the log is what was written, and lawful erasure from it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from freehold.cli.options import DEFAULT_DATA_DIR, DataDir, JsonOption, StackOption
from freehold.cli.session_reader import every_session, locate_stored, not_found, places_of
from freehold.cli.stores import open_app
from freehold.cli.terminal import CommandFailed, complain, console, print_json, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from freehold.audit.findings import SessionFindings
    from freehold.ports import App

audit = typer.Typer(help="Whether the log is what was written.", no_args_is_help=True)


@audit.callback()
def _audit() -> None:
    """Whether the log is what was written."""


@audit.command()
def verify(
    session_id: Annotated[
        str | None, typer.Argument(metavar="[SESSION]", help="The session's id: `sesn_…`.")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every session of the store.")] = False,
    export: Annotated[
        Path | None, typer.Option(help="Write a signed checkpoint, to be kept elsewhere.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Compare with a checkpoint that was exported before.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    stack: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    r"""Walk chains and seals of every thread, and say what is damaged and how.

    Damage is `edited`, `deleted`, `reordered`, `truncated` or `rewritten`; content that was erased
    by `freehold audit erase` is told apart from it. A running session may be verified. Exits with 0
    where all is well, 1 with damage, 2 where there is no such session.

    \b
    Examples:
      freehold audit verify sesn_…
      freehold audit verify --all --export checkpoint.json
      freehold audit verify --all --against checkpoint.json
    """
    if (session_id is None) == (not every):
        raise CommandFailed("name one session, or --all", exit_code=2)
    with open_app(data_dir, stack) as app:
        expected = _checkpoint(app, against)
        found = _verify(app, session_id, expected)
        lost = sorted(set(expected) - {f.session_id for f in found}) if every else []
        healthy = not lost and not any(f.all_damage for f in found)
        if healthy and export is not None:
            _export(app, found, export)
    for session in found:
        _print(session, as_json=as_json)
    for name in lost:
        complain(f"{name}: deleted: the checkpoint has this session, and it is gone")
    raise typer.Exit(0 if healthy else 1)


@audit.command()
def erase(
    session_id: Annotated[str, typer.Argument(metavar="SESSION", help="Its id: `sesn_…`.")],
    *,
    event: Annotated[str, typer.Option(help="The event whose content goes: `sevt_…`.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    stack: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    r"""Erase the content of one event for good. That it was there, and when, stays; so does the
    chain, and the log records the erasure.

    What was said of it elsewhere stays: later replies, summaries, files in the workspace, backups.

    \b
    Examples:
      freehold audit erase sesn_… --event sevt_…
    """
    from freehold.errors import ApiError  # noqa: PLC0415 - no other command pays
    from freehold.services.erasure import erase_event  # noqa: PLC0415 - as above

    with open_app(data_dir, stack) as app:
        key = locate_stored(app, session_id)
        try:
            erased = erase_event(app, key, event)
        except ApiError as refused:
            raise CommandFailed(refused.message, exit_code=_code(refused)) from refused
    if as_json:
        print_json({**asdict(erased)})
    elif erased.commits:
        typer.echo(f"{event} was erased in {erased.commits} commits")
    else:
        typer.echo(f"{event} had been erased before")


def _code(refused: Exception) -> int:
    from freehold.errors import NotFound  # noqa: PLC0415 - no other command pays

    return 2 if isinstance(refused, NotFound) else 1


def _verify(app: App, session_id: str | None, expected: Mapping[str, Any]) -> list[SessionFindings]:
    """Of one session, or all. Raises CommandFailed, exit code 2, where that one is not there."""
    from freehold.audit.session import verify_session  # noqa: PLC0415 - no other command pays
    from freehold.errors import NotFound  # noqa: PLC0415 - as above

    found = []
    for key in every_session(app) if session_id is None else places_of(app, session_id):
        with suppress(NotFound):  # in another workspace, or deleted since it was listed
            found.append(verify_session(app, key, expected.get(key.session_id)))
    if session_id is not None and not found:
        raise not_found(session_id)
    return found


def _checkpoint(app: App, path: Path | None) -> Mapping[str, Any]:
    from freehold.audit.checkpoint import (  # noqa: PLC0415 - no other command pays
        NotACheckpoint,
        read_checkpoint,
    )

    if path is None:
        return {}
    try:
        return read_checkpoint(path.read_text(), app.secrets)
    except (OSError, UnicodeDecodeError) as failed:
        raise CommandFailed(f"--against {path}: it cannot be read") from failed
    except NotACheckpoint as failed:
        raise CommandFailed(f"--against {path}: {failed}") from failed


def _export(app: App, found: Sequence[SessionFindings], path: Path) -> None:
    import json  # noqa: PLC0415 - no other command pays

    from freehold.audit.checkpoint import checkpoint  # noqa: PLC0415 - as above
    from freehold.ids import timestamp  # noqa: PLC0415 - as above

    made = checkpoint(found, timestamp(app.clock()), app.secrets)
    try:
        path.write_text(json.dumps(made, indent=2) + "\n")
    except OSError as failed:
        raise CommandFailed(f"--export {path}: {failed.strerror}") from failed


def _print(found: SessionFindings, *, as_json: bool) -> None:
    damage = found.all_damage
    if as_json:
        kinds = sorted({d.kind for d in damage})
        print_json({"ok": not damage, "damaged": [*kinds], **asdict(found)})
        return
    screen = console()
    commits, events = (sum(getattr(t, n) for t in found.threads) for n in ("commits", "events"))
    erasures = [erasure for thread in found.threads for erasure in thread.erasures]
    said = f"{len(found.threads)} threads, {commits} commits, {events} events"
    if not damage:
        screen.print("ok       ", style="green", end="")
    else:
        screen.print("DAMAGED  ", style="bold red", end="")
    screen.print(f"{found.session_id}: {said}" + (f", {len(erasures)} erased" if erasures else ""))
    for item in damage:
        at = "" if item.version is None else f" commit {item.version}"
        screen.print(printable(f"         {item.kind}: {item.thread_id}{at}: {item.detail}"))
    for erasure in erasures:
        said = f"{erasure.event_id} at {erasure.at} by {erasure.actor}"
        screen.print(printable(f"         erased: {said}"))
