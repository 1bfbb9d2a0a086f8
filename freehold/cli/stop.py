"""`freehold stop`: interrupts what runs, on a laptop or on AWS, through the API."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from freehold.cli.options import JsonOption
from freehold.cli.terminal import CommandFailed, console, print_json, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anthropic import Anthropic

Outcome: TypeAlias = Literal["stopped", "running", "failed"]

_BASE_URL = "http://127.0.0.1:8700"
_POLL_SECONDS = 0.2
_LEAST_SECONDS = 1.0
_MARKS = {"stopped": "green", "running": "yellow", "failed": "bold red"}


@dataclass(frozen=True, slots=True)
class Stopped:
    """What became of one session. `running`: interrupted, and not idle yet when time was up."""

    session_id: str
    outcome: Outcome
    seconds: float
    detail: str = ""


def stop(
    *,
    session: Annotated[
        list[str] | None, typer.Option("--session", help="A session; may be given again.")
    ] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", help="Every session of this agent that runs.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every session of the key's workspace that runs.")
    ] = False,
    base_url: Annotated[str, typer.Option(help="Where clients reach the API.")] = _BASE_URL,
    seconds: Annotated[
        float, typer.Option(help="How long to wait until they are idle.", min=0)
    ] = 60,
    as_json: JsonOption = False,
) -> None:
    """Interrupt sessions and wait until they are idle. FREEHOLD_API_KEY names the workspace.

    A turn ends as by `user.interrupt`: nothing is lost, and the next message goes on. With
    `--session`, calls that wait for an answer are closed as well. Exit code 1 when a session was
    not stopped.
    """
    if (session is not None) + (agent is not None) + every != 1:
        raise CommandFailed("stop: give one of --session, --agent and --all", exit_code=2)
    client = _client(base_url, seconds)
    found = []
    for stopped in _stop(client, session, agent, seconds):
        found.append(stopped)
        _print(stopped, as_json=as_json)
    is_well = all(one.outcome == "stopped" for one in found)
    if as_json:
        print_json({"ok": is_well, "sessions": len(found)})
    elif not found:
        console().print("nothing runs")
    raise typer.Exit(0 if is_well else 1)


def _client(base_url: str, seconds: float) -> Anthropic:
    """One that waits no longer for an answer than sessions are waited for."""
    import anthropic  # noqa: PLC0415 - two seconds, which no other command should pay

    key = os.environ.get("FREEHOLD_API_KEY", "")
    if not key:
        raise CommandFailed("stop needs FREEHOLD_API_KEY in the environment", exit_code=2)
    timeout = max(_LEAST_SECONDS, seconds)
    return anthropic.Anthropic(api_key=key, base_url=base_url, timeout=timeout)


def _stop(
    client: Anthropic, named: list[str] | None, agent: str | None, seconds: float
) -> Iterator[Stopped]:
    """All are interrupted before one is waited for. Sessions that begin meanwhile are found by
    another look.
    """
    until = time.monotonic() + seconds
    seen: set[str] = set()
    while True:
        ids = [i for i in _ids(client, named, agent) if i not in seen]
        if not ids:
            return
        seen.update(ids)
        began = {i: time.monotonic() for i in ids}
        refused = {i: why for i in ids if (why := _interrupt(client, i)) is not None}
        for session_id in ids:
            outcome, detail = "failed", refused.get(session_id, "")
            if not detail:
                outcome = "stopped" if _is_idle(client, session_id, until) else "running"
            took = round(time.monotonic() - began[session_id], 2)
            yield Stopped(session_id, outcome, took, detail)  # type: ignore[arg-type]


def _ids(client: Anthropic, named: list[str] | None, agent: str | None) -> list[str]:
    import anthropic  # noqa: PLC0415 - loaded by now

    if named is not None:
        return list(dict.fromkeys(named))
    of_agent = {} if agent is None else {"agent_id": agent}
    try:
        listed = client.beta.sessions.list(
            statuses=["running", "rescheduling"],
            limit=100,
            **of_agent,  # type: ignore[arg-type]
        )
        return [found.id for found in listed]
    except anthropic.AnthropicError as error:
        raise CommandFailed(f"stop: {_words(error)}") from None


def _interrupt(client: Anthropic, session_id: str) -> str | None:
    """Why it was refused; None where it was not. Over already is stopped."""
    import anthropic  # noqa: PLC0415 - loaded by now

    try:
        client.beta.sessions.events.send(session_id, events=[{"type": "user.interrupt"}])
    except anthropic.AnthropicError as error:
        return _words(error)
    return None


def _is_idle(client: Anthropic, session_id: str, until: float) -> bool:
    """Waits for it; looks at least once. What had waited behind the turn that was interrupted is a
    turn of its own, and is interrupted too.
    """
    import anthropic  # noqa: PLC0415 - loaded by now

    while True:
        try:
            status = client.beta.sessions.retrieve(session_id).status
            if status == "running" and _is_applied(client, session_id):
                _interrupt(client, session_id)
        except anthropic.NotFoundError:
            return True
        except anthropic.AnthropicError as error:
            raise CommandFailed(f"stop: {_words(error)}") from None
        if status in ("idle", "terminated"):
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(_POLL_SECONDS)


def _is_applied(client: Anthropic, session_id: str) -> bool:
    """Whether the last interrupt has ended a turn."""
    sent = client.beta.sessions.events.list(
        session_id, types=["user.interrupt"], order="desc", limit=1
    ).data
    return bool(sent) and sent[0].processed_at is not None


def _words(error: Exception) -> str:
    """The server's own words, where it said any."""
    body = getattr(error, "body", None)
    said = body.get("error", {}).get("message") if isinstance(body, dict) else None
    return str(said or error)


def _print(one: Stopped, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(one))
        return
    screen = console()
    screen.print(f"{one.outcome:<8} ", style=_MARKS[one.outcome], end="")
    screen.print(printable(f"{one.session_id} {one.seconds:6.2f} s  {one.detail}".rstrip()))
