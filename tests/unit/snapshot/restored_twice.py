"""Imports `run_turn` as Lambda does, uses what it may connect to, takes a snapshot and goes on from
it twice. Prints a line of JSON for each process: what it minted and who it talked to.

A fork keeps memory as a snapshot does, but for Python's generator of random numbers, which a fork
seeds anew and a snapshot does not: its state is put back.
"""

import json
import os
import random
import socket
import stat
import sys
import uuid
from pathlib import Path

import snapshot_restore_py

from freehold.adapters.dynamodb import attempts
from freehold.ids import new_id
from freehold.testing.model_contract import read, request_for
from functions.run_turn.index import _app


def open_connections():
    """Peers of the connections of this process."""
    found = []
    for name in [path.name for path in Path("/proc/self/fd").iterdir()]:
        try:
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as handle:
                found.append(handle.getpeername())
        except OSError:
            continue  # gone, or not connected
    return found


def go_on(hooks):
    """What a process does that starts from the snapshot."""
    random.setstate(STATE)
    for hook in hooks:
        hook()
    said = {
        "inherited": len(open_connections()),
        "id": new_id("sesn"),
        "token": uuid.uuid4().hex,
        "jitter": attempts.random.uniform(0, 1),
        "reply": len(read(_app.model, request_for({"say": "after"}))),
    }
    os.write(1, json.dumps(said).encode() + b"\n")


read(_app.model, request_for({"say": "before"}))
used = len(open_connections())
for hook in snapshot_restore_py.before:
    hook()
STATE = random.getstate()
os.write(1, json.dumps({"used": used, "kept": len(open_connections())}).encode() + b"\n")
for hooks in (snapshot_restore_py.after, snapshot_restore_py.after, [], []):
    child = os.fork()
    if child == 0:
        go_on(hooks)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit("a process that was restored failed")
