"""Options that several commands share, and the settings they lead to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer
from pydantic import ValidationError

from freehold.cli.terminal import CommandFailed
from freehold.setting_types import ModelProvider
from freehold.settings import Settings, explain

DataDir: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--data-dir", "--data", help="Where everything is kept.", show_default="./.freehold"
    ),
]
StackOption: TypeAlias = Annotated[
    str | None, typer.Option("--stack", help="The data stack of an installation on AWS.")
]
ModelOption: TypeAlias = Annotated[
    ModelProvider | None,
    typer.Option(
        "--model",
        help="What answers: Claude at its own API, on Bedrock or on Claude Platform on AWS, or the"
        " shipped scripted model.",
        show_default="anthropic when ANTHROPIC_API_KEY is set, else scripted",
    ),
]
SandboxChoice: TypeAlias = Literal["auto", "bubblewrap", "container", "none"]
SandboxOption: TypeAlias = Annotated[
    SandboxChoice,
    typer.Option(
        "--sandbox",
        help="How tools are isolated. `auto` takes the first that works and is never `none`.",
    ),
]
NetworkChoice: TypeAlias = Literal["on", "off"]
NetworkOption: TypeAlias = Annotated[
    NetworkChoice,
    typer.Option(
        "--network",
        help="`on` gives each sandbox what its environment grants; `off` gives none to any.",
    ),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]

DEFAULT_DATA_DIR = Path(".freehold")


def settings(**given: object) -> Settings:
    """Settings from the environment and the options given.

    Raises CommandFailed, exit code 2, when they are wrong.
    """
    try:
        found = Settings.from_environment(os.environ, **given)
    except ValidationError as wrong:
        raise CommandFailed(explain(wrong), exit_code=2) from None
    if found.model == "anthropic" and not (found.anthropic_api_key or found.anthropic_base_url):
        raise CommandFailed(
            "--model anthropic needs ANTHROPIC_API_KEY in the environment"
            " (or ANTHROPIC_BASE_URL of an endpoint that asks for no key)",
            exit_code=2,
        )
    return found
