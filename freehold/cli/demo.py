"""`freehold demo`: one session from nothing to idle, through the official SDK, on a server that
lives as long.
"""

from __future__ import annotations

import secrets
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.event_printer import EventPrinter
from freehold.cli.options import JsonOption, ModelOption, SandboxOption, settings
from freehold.cli.server_process import ServerFailed, ServerProcess
from freehold.cli.terminal import CommandFailed, console, print_json, printable
from freehold.cli.workspace_files import WorkspaceFile, files_of, newest_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anthropic import Anthropic
    from anthropic.types.beta.sessions import BetaManagedAgentsStreamSessionEvents as Event
    from rich.console import Console

    from freehold.settings import Settings

MESSAGE = (
    "Write a small program in /workspace that says something about this machine, run it,"
    " and leave a short report in /workspace/report.md."
)
AGENT_MODEL = "claude-sonnet-5-5"
_SHOWN_LINES = 30
_TERMINATED = 128 + signal.SIGTERM


def demo(
    *,
    message: Annotated[str, typer.Option(help="What to tell the agent.")] = MESSAGE,
    agent_model: Annotated[str, typer.Option(help="The Claude model of the agent.")] = AGENT_MODEL,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where to keep everything.", show_default="a temporary one")
    ] = None,
    model: ModelOption = None,
    sandbox: SandboxOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Run one agent session on this machine and print its events as they arrive.

    Starts a server on a free port, makes an agent, an environment and a session, sends a message,
    follows the session until it is idle, shows a file the agent made, and stops the server.
    """
    # Without a handler the signal would end this process and leave the server running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    with ExitStack() as stack:
        if data_dir is None:
            data_dir = Path(stack.enter_context(_temporary_directory()))
        chosen = settings(data_dir=data_dir, model=model, sandbox=sandbox)
        screen = None if as_json else console()
        try:
            session_id = _run(stack, chosen, message, agent_model, screen)
        except ServerFailed as failed:
            raise CommandFailed(f"the server did not start: {failed}") from failed
        _show_files(data_dir / "workspaces" / session_id, screen)


def _temporary_directory() -> tempfile.TemporaryDirectory[str]:
    """A sandbox may leave files that this user cannot delete; the demo does not end on that."""
    return tempfile.TemporaryDirectory(prefix="freehold-demo-", ignore_cleanup_errors=True)


def _run(
    stack: ExitStack, chosen: Settings, message: str, agent_model: str, screen: Console | None
) -> str:
    """Serves and drives one session until it is idle; answers its id.

    Raises CommandFailed, ServerFailed.
    """
    key = secrets.token_urlsafe(24)
    server = stack.enter_context(
        ServerProcess(
            chosen.data_dir,
            options=["--model", chosen.model, "--sandbox", chosen.sandbox, "--network", "off"],
            environment={"FREEHOLD_API_KEY": key},
        )
    )
    url = server.url
    if screen:
        for line in server.lines:
            screen.print(printable(line), style="dim")
        if chosen.model == "scripted":
            screen.print(
                "No model is asked: the scripted model answers."
                " Set ANTHROPIC_API_KEY and Claude does.",
                style="yellow",
            )
    import anthropic  # noqa: PLC0415 - two seconds, which no other command should pay

    # trust_env: a proxy or a certificate bundle of the environment is for the outside, not for
    # 127.0.0.1.
    client = anthropic.Anthropic(
        base_url=url, api_key=key, http_client=anthropic.DefaultHttpxClient(trust_env=False)
    )
    try:
        with client:
            return _drive(client, message, agent_model, EventPrinter(screen))
    except anthropic.APIStatusError as refused:
        raise CommandFailed(f"the server refused: {_reason(refused.body, refused)}") from refused
    except anthropic.AnthropicError as lost:
        raise CommandFailed(f"lost the server: {lost}") from lost


def _drive(client: Anthropic, message: str, agent_model: str, printer: EventPrinter) -> str:
    agent = client.beta.agents.create(
        name="Demo",
        model=agent_model,
        system="You work in a sandbox without network access. Be brief.",
        tools=[{"type": "agent_toolset_20260401"}],
    )
    environment = client.beta.environments.create(name=f"demo-{secrets.token_hex(4)}")
    session = client.beta.sessions.create(agent=agent.id, environment_id=environment.id)
    printer.created(agent.id, environment.id, session.id)
    with client.beta.sessions.events.stream(session.id) as stream:
        client.beta.sessions.events.send(
            session.id,
            events=[{"type": "user.message", "content": [{"type": "text", "text": message}]}],
        )
        failure = _follow(iter(stream), printer)
    if failure:
        raise CommandFailed(failure)
    return session.id


def _follow(events: Iterator[Event], printer: EventPrinter) -> str | None:
    """Prints events until the session is idle or ended; answers why it failed, if it did."""
    failure = None
    for event in events:
        printer.event(event)
        if event.type == "session.error" and event.error.retry_status.type != "retrying":
            failure = event.error.message
        elif event.type == "session.status_terminated":
            return failure or "the session was terminated"
        elif event.type == "session.status_idle":
            return failure
    return "the stream ended before the session was idle"


def _reason(body: object, refused: Exception) -> str:
    """The sentence of an error envelope."""
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return str(message or refused)


def _show_files(workspace: Path, screen: Console | None) -> None:
    """Lists what the agent made and prints one of them.

    Raises CommandFailed when it made nothing.
    """
    made = files_of(workspace)
    if not made:
        raise CommandFailed("the agent made no file; `freehold doctor` says what the sandbox needs")
    shown = newest_text(workspace, made)
    if screen:
        _print_files(made, shown, screen)
        return
    print_json(
        {
            "files": [{"path": file.path, "size": file.size} for file in made],
            "shown": shown and {"path": shown[0].path, "text": shown[1]},
        }
    )


def _print_files(
    made: list[WorkspaceFile], shown: tuple[WorkspaceFile, str] | None, screen: Console
) -> None:
    screen.print("\nFiles the agent made", style="bold")
    for file in made:
        screen.print(f"  {printable(file.path)}  {file.size} bytes")
    if shown:
        file, text = shown
        screen.print(f"\n{printable(file.path)}", style="bold")
        for line in printable(text).splitlines()[:_SHOWN_LINES]:
            screen.print(f"  {line}")
