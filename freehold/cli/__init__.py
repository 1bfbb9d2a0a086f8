"""The `freehold` command. Each command lives in its own module and imports what it needs when it
runs.

Exit codes: 0 done, 1 failed, 2 called wrongly, 130 interrupted. A failure is one line on standard
error.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from freehold import __version__
from freehold.cli.audit import audit
from freehold.cli.demo import demo
from freehold.cli.deploy import deploy
from freehold.cli.doctor import doctor
from freehold.cli.errors import errors
from freehold.cli.keys import keys
from freehold.cli.migrate import migrate
from freehold.cli.model_key import model_key
from freehold.cli.serve import serve
from freehold.cli.sessions import sessions
from freehold.cli.smoke import smoke
from freehold.cli.stop import stop
from freehold.cli.terminal import CommandFailed, complain

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTERRUPTED = 130

app = typer.Typer(
    name="freehold",
    help="Managed agents on land you own: the Claude Managed Agents API, self-hosted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(serve)
app.add_typer(sessions, name="sessions")
app.add_typer(audit, name="audit")
app.add_typer(keys, name="keys")
app.add_typer(model_key, name="model-key")
app.add_typer(deploy, name="deploy")
app.command()(doctor)
app.command()(migrate)
app.command()(demo)
app.command()(errors)
app.command()(smoke)
app.command()(stop)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"freehold {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line (`sys.argv` unless `arguments` are given) and exits."""
    try:
        code = app(arguments, prog_name="freehold", standalone_mode=False)
    except TyperException as wrong:
        complain(f"{wrong.format_message()} (see --help)")
        sys.exit(wrong.exit_code)
    except CommandFailed as failed:
        complain(str(failed))
        sys.exit(failed.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(_INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)
