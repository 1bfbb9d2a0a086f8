"""Runs file tools for the supervisor: `python -m sandbox_task.tool_host REACH`.

It has the tools' identity and sees what they see, so a link or a file that changes under it can
lead it nowhere they could not go themselves. One call a line on standard input; for each, eight
bytes with the length of the answer and the answer on standard output.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from sandbox_task import file_tools, search_tools
from sandbox_task.tool_paths import Reach, ToolFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from freehold.toolset import JsonObject

_TOOLS: dict[str, Callable[..., str | JsonObject]] = {
    "read": file_tools.read,
    "write": file_tools.write,
    "edit": file_tools.edit,
    "glob": search_tools.glob,
    "grep": search_tools.grep,
}


def run(reach: Reach, name: str, given: JsonObject) -> JsonObject:
    """`content` and `is_error` of a result. The input is checked before it comes here."""
    try:
        result = _TOOLS[name](reach, **given)
    except ToolFailure as failed:
        return {"content": [{"type": "text", "text": str(failed)}], "is_error": True}
    block: JsonObject = {"type": "text", "text": result} if isinstance(result, str) else result
    return {"content": [block], "is_error": False}


def main() -> None:
    given = json.loads(sys.argv[1])
    reach = Reach(given["workdir"], tuple(given["roots"]), tuple(given["read_only"]))
    for line in sys.stdin.buffer:
        call = json.loads(line)
        answer = json.dumps(run(reach, call["name"], call["input"])).encode()
        sys.stdout.buffer.write(len(answer).to_bytes(8, "big") + answer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
