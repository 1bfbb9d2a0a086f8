"""Functions of the state machine whose answers are written down beforehand.

`scripts` is a directory that holds one for each run: `script.json` with a line for each call, in
order, and after that `{n}.call` with what was called. A line is `{"answers": …}`, `{"raises":
name}` or `{"dies": true}`, and may wait for the file named by `gate`. This file is also the source
of the functions in an emulated account, so it imports the standard library alone.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

PATIENCE_SECONDS = 60


def die():
    """As when a worker is killed."""
    os._exit(1)


def answer(scripts, function, event, die=die):
    """What the script of the event's run has for this call; `die` ends the process."""
    place = Path(scripts) / run_name(event)
    n = 0
    while not _note(place / f"{n}.call", [function, event, time.time()]):
        n += 1
    line = json.loads((place / "script.json").read_text())[n]
    if "gate" in line:
        _wait_for(place / line["gate"])
    if "dies" in line:
        die()
    if "raises" in line:
        raise type(line["raises"], (Exception,), {})("as the script says")
    return line["answers"]


def run_name(event):
    ids = event.get("release", event)
    return f"{ids['thread_id']}-{ids['epoch']}-{ids['leg']}"


def handler(event, context):
    """On Lambda."""
    return answer(os.environ["SCRIPTS"], os.environ["FUNCTION"], event)


def _note(path, call):
    """False where a call is noted already."""
    try:
        with path.open("x") as file:
            json.dump(call, file)
    except FileExistsError:
        return False
    return True


def _wait_for(path):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        assert time.monotonic() < deadline, "nobody opened the gate"
        time.sleep(0.01)
