"""`freehold smoke`: one session through every part of an installation on AWS."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.demo import AGENT_MODEL
from freehold.cli.options import JsonOption
from freehold.cli.smoke_steps import Smoke, Step
from freehold.cli.terminal import console, print_json, printable

if TYPE_CHECKING:
    from rich.console import Console

_MARKS = {"ok": "green", "skipped": "yellow", "failed": "bold red"}


def smoke(
    *,
    stack: Annotated[str, typer.Option(help="A stack of the installation, such as Freehold-Data.")],
    agent_model: Annotated[str, typer.Option(help="The Claude model of the agent.")] = AGENT_MODEL,
    base_url: Annotated[
        str | None,
        typer.Option(help="Where clients reach the API.", show_default="the stack's BaseUrl"),
    ] = None,
    websocket_url: Annotated[
        str | None,
        typer.Option(help="Where clients connect.", show_default="the stack's WebSocketUrl"),
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long to wait for an answer.", min=1)] = 120,
    as_json: JsonOption = False,
) -> None:
    """Run one session through an installation on AWS and delete it again.

    Makes an agent, an environment and a session, sends a message, waits for the answer, lists the
    events and follows them. Uses FREEHOLD_API_KEY, or a key of its own that it revokes. Asks the
    model once. Exit code 1 when a step failed, with what helps.
    """
    screen = None if as_json else console()
    began = time.monotonic()
    is_well = True
    run = Smoke(stack, agent_model, base_url, websocket_url, seconds)
    for step in run.steps():
        is_well = is_well and step.status != "failed"
        _print(step, screen)
    took = round(time.monotonic() - began, 2)
    if screen is None:
        print_json({"ok": is_well, "seconds": took})
    else:
        screen.print(f"{'done' if is_well else 'FAILED'} in {took} s")
    raise typer.Exit(0 if is_well else 1)


def _print(step: Step, screen: Console | None) -> None:
    if screen is None:
        print_json(asdict(step))
        return
    screen.print(f"{step.status:<8} ", style=_MARKS[step.status], end="")
    screen.print(f"{step.name:<12} {step.seconds:6.2f} s  {printable(step.detail)}")
    if step.remedy:
        screen.print(f"{'':<9}-> {printable(step.remedy)}")
