"""What the scripted model does with a message that is not a script.

With `write` and `bash` at hand and nothing said yet it works: it writes a small program, runs it,
leaves a report, and quotes what the program printed. Otherwise it says the message back.
"""

from __future__ import annotations

import re

from freehold.testing.script import Element, Use

_PROGRAM_PATH = "/workspace/machine.sh"
_REPORT_PATH = "/mnt/session/outputs/report.md"
_REPORT = re.compile(r"(?:/workspace|/mnt/session/outputs)/[\w./-]*\w\.md\b")
_PROGRAM = """\
#!/bin/sh
# Says a few things about the machine it runs on.
set -eu
echo "system:     $(uname -s) $(uname -r)"
echo "processor:  $(uname -m)"
echo "directory:  $(pwd)"
echo "files here: $(ls | wc -l | tr -d ' ')"
echo "6 x 7:      $((6 * 7))"
"""


def answer(
    text: str, *, tools: frozenset[str], is_first: bool, results: list[tuple[str, bool]]
) -> Element:
    """The reply to `text`. `is_first`: no reply came before it.

    `results` are the tool results since, in order: the text, and whether it is an error.
    """
    if not is_first or not {"write", "bash"} <= tools:
        return Element(say=f"You said: {text}" if text else "You said nothing.")
    if results and results[-1][1]:
        return Element(say=f"That did not work. The tool answered:\n\n{_quote(results[-1][0])}")
    return _step(text, results)


def _step(text: str, results: list[tuple[str, bool]]) -> Element:
    named = _REPORT.search(text)
    report_path = named[0] if named else _REPORT_PATH
    if not results:
        return Element(
            think="A small shell program is enough. I write it, run it, and report what it prints.",
            say=f"I write a small program, {_PROGRAM_PATH}, run it, and report what it prints.",
            tools=[Use(tool="write", input={"file_path": _PROGRAM_PATH, "content": _PROGRAM})],
        )
    if len(results) == 1:
        return Element(
            say="The program is written. Now I run it.",
            tools=[Use(tool="bash", input={"command": f"sh {_PROGRAM_PATH}"})],
        )
    output = results[1][0].strip()
    if len(results) == 2:  # noqa: PLR2004 - the program was written and run
        report = f"# Report\n\n`{_PROGRAM_PATH}` printed:\n\n{_quote(output)}\n"
        return Element(
            say="It ran. I leave a report.",
            tools=[Use(tool="write", input={"file_path": report_path, "content": report})],
        )
    return Element(
        say=f"Done. {_PROGRAM_PATH} printed:\n\n{_quote(output)}\n\nThe report is in {report_path}."
    )


def _quote(text: str) -> str:
    return f"```\n{text.strip() or '(nothing)'}\n```"
