"""What every command prints with: colours on a terminal only, failures as one line on standard
error.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from freehold.toolset import Json


class CommandFailed(Exception):
    """The command cannot do what was asked.

    The message is one line for the person at the terminal.
    """

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def console() -> Console:
    """Standard output.

    Text is printed as it is: no markup, no guessed highlights, no wrapping when piped.
    """
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=not sys.stdout.isatty())


def print_json(value: Json) -> None:
    """One JSON value on one line, at once: another program may be reading along. What a terminal
    would obey, or take for the end of a line, is escaped.
    """
    text = json.dumps(value, ensure_ascii=False)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
    print(text, flush=True)  # noqa: T201 - this is the output


def complain(line: str) -> None:
    """`line` on standard error, whatever line breaks it brought folded."""
    folded = printable(" ".join(line.split()))
    print(f"freehold: {folded}", file=sys.stderr)  # noqa: T201 - this is the output


def printable(text: str) -> str:
    """`text` without what a terminal would obey: what agents and their files say is not trusted
    with the cursor.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
