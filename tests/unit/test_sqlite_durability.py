"""What was acknowledged is there, after kill -9 at any moment and after a failed commit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from freehold.adapters.sqlite import SqliteRecords
from freehold.keys import Key

KILLS = 20
WRITERS = 3
ROOT = Path(__file__).parents[2]

WRITE_FOR_EVER = """
import os, sys, threading
from pathlib import Path
from freehold.adapters.sqlite import SqliteRecords
from freehold.keys import Key
from freehold.ports import Condition, Write

records = SqliteRecords(Path(sys.argv[1]))

def work(writer):
    head = Key(f"w{writer}", "head")
    (item,) = records.get([head])
    n = item["n"] if item else 0
    while True:
        n += 1
        unchanged = (Condition("n", "==", n - 1 or None),)
        records.write([
            Write(head, set={"n": n}, conditions=unchanged),
            Write(Key(f"w{writer}/log", f"{n:08d}"), put={"n": n, "body": bytes(n * 37 % 6000)}),
        ])
        os.write(1, f"{writer} {n}\\n".encode())

for writer in range(int(sys.argv[2])):
    threading.Thread(target=work, args=(writer,)).start()
"""

FAIL_AND_GO_ON = """
import resource, signal, sys
from pathlib import Path
from freehold.adapters.sqlite import SqliteRecords
from freehold.errors import AmbiguousWrite, Unavailable
from freehold.keys import Key
from freehold.ports import Write

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
records = SqliteRecords(path)
records.write([Write(Key("p", "before"), put={})])
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
wal = path.with_name("db-wal")
for room in (0, 5000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + room, hard))
    try:
        records.write([Write(Key("p", f"during/{room}"), put={"body": bytes(20000)})])
        print("acknowledged")
    except (AmbiguousWrite, Unavailable) as error:
        print(type(error).__name__)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    print([key.sk for key, _ in records.query("p").items])
records.write([Write(Key("p", "after"), put={})])
print("wrote on")
records.close()
"""


def _child(program, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE
    )


def _kill_after(path, acknowledgements, seconds):
    """Runs the writers, kills them a moment after so many answers, and returns the last of each."""
    with _child(WRITE_FOR_EVER, path, WRITERS) as child:
        lines = [child.stdout.readline() for _ in range(acknowledgements)]
        time.sleep(seconds)  # the moment of the kill, not a wait for anything
        os.kill(child.pid, signal.SIGKILL)
        lines += child.stdout.readlines()
    assert child.returncode == -signal.SIGKILL
    last = {}
    for line in lines:
        assert line.endswith(b"\n")
        writer, number = map(int, line.split())
        last[writer] = number
    return last


def _check_log(records, writer, acknowledged):
    """Everything acknowledged, at most one more, no gap, nothing torn."""
    (head,) = records.get([Key(f"w{writer}", "head")])
    stored = head["n"] if head else 0
    assert acknowledged <= stored <= acknowledged + 1
    log = records.query(f"w{writer}/log", limit=100_000)
    assert not log.more
    assert [key.sk for key, _ in log.items] == [f"{n + 1:08d}" for n in range(stored)]
    assert all(len(item["body"]) == item["n"] * 37 % 6000 for _, item in log.items)
    return stored


def test_a_kill_at_any_moment_loses_nothing_acknowledged(tmp_path):
    random_moment = random.Random(20300101)
    path = tmp_path / "db"
    stored = dict.fromkeys(range(WRITERS), 0)
    for _ in range(KILLS):
        last = _kill_after(path, random_moment.randint(1, 40), random_moment.uniform(0, 0.01))
        with closing(SqliteRecords(path)) as records:
            for writer in range(WRITERS):
                acknowledged = last.get(writer, stored[writer])
                stored[writer] = _check_log(records, writer, acknowledged)
    assert sum(stored.values()) > KILLS


def test_a_commit_the_disk_refuses_is_no_success_and_not_the_end(tmp_path):
    """The child's files may not grow: the log's write fails within COMMIT."""
    with _child(FAIL_AND_GO_ON, tmp_path / "db") as child:
        output = child.stdout.read().decode().splitlines()
    assert child.returncode == 0
    assert output == [
        "AmbiguousWrite",
        "['before']",
        "AmbiguousWrite",
        "['before']",
        "wrote on",
    ]
    with closing(SqliteRecords(tmp_path / "db")) as records:
        assert [key.sk for key, _ in records.query("p").items] == ["after", "before"]
