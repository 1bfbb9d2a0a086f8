"""What an operator's bad night holds, against real servers: a full disk, no descriptors left, a
clock that jumps, a data directory that is read-only or gone, readers that do not read, a stop at
the worst moment.

Nothing acknowledged is lost, what is refused says what to do, the server goes on by itself once the
cause is gone, and its log holds neither a key nor what was said.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from freehold.cli.server_process import ServerFailed
from freehold.engine import recovery
from freehold.testing.script import script
from freehold.testing.scripted_model import ScriptedModel
from tests.clocks import Clock
from tests.servers import HEADERS, server_in_process, server_in_thread, server_process, wait_for
from tests.streams import open_stream

MARKER = f"said-{secrets.token_hex(8)}"
KEY = {"FREEHOLD_API_KEY": "the-key-of-a-bad-night"}
TOOLS = [{"type": "agent_toolset_20260401"}]
ALL = {"last-event-id": "0"}

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc and prlimit")


@contextmanager
def night(data_dir, **options):
    """A server whose whole log is read at the end, when it must stop in order."""
    with server_process(data_dir, **{"sandbox": "none", "environment": KEY, **options}) as server:
        server.process.lines = deque(server.process.lines)
        yield server
        assert server.process.stop() == 0
    log = log_of(server)
    assert MARKER not in log
    assert server.key not in log


def log_of(server):
    return "\n".join(server.process.lines)


@contextmanager
def launched_by(monkeypatch, directory, line):
    """What this process starts with its own interpreter is started by this line of shell: it ends
    in the `exec` of a command that the interpreter and its arguments complete.
    """
    launcher = directory / "launcher"
    launcher.write_text(f'#!/bin/sh\n{line} {sys.executable} "$@"\n')
    launcher.chmod(0o700)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(launcher))
        yield


@contextmanager
def disk(monkeypatch, directory, options):
    """A disk of their own for the servers that are started within: where it is mounted."""
    place = directory / "disk"
    place.mkdir()
    mount = f"mount -t tmpfs -o {options} tmpfs {place}"
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    try:
        subprocess.run([*unshare, mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs unshare and user namespaces, to mount a disk")
    command = shlex.join([*unshare, mount + ' && exec "$@"', "sh"])
    with launched_by(monkeypatch, directory, f"exec {command}"):
        yield place


def inside(server, path):
    """A path as the server sees it."""
    return Path(f"/proc/{server.process.process.pid}/root{path}")


def send(server, session, text):
    message = {"type": "user.message", "content": [{"type": "text", "text": text}]}
    return server.request("POST", f"/v1/sessions/{session}/events", json={"events": [message]})


def refused(answer, *words):
    """Asserts a 503 in the envelope whose message has these words, and nothing of the inside."""
    assert answer.status_code == 503, answer.text
    shown = answer.json()
    assert shown["type"] == "error"
    assert shown["error"]["type"] == "api_error"
    assert shown["request_id"] == answer.headers["request-id"]
    for word in words:
        assert word in shown["error"]["message"]
    assert "sqlite" not in answer.text.lower()


def texts(events, kind="user.message"):
    return [e["content"][0]["text"] for e in events if e["type"] == kind]


def answered_texts(server, session):
    """None where the server cannot say."""
    page = server.request("GET", f"/v1/sessions/{session}/events").json()
    idle = page.get("data") and page["data"][-1]["type"] == "session.status_idle"
    return texts(page["data"]) if idle else None


def memory(server, field="VmRSS"):
    """In MB; `VmHWM` is the most since `forget_peak`."""
    status = Path(f"/proc/{server.process.process.pid}/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) // 1024


def forget_peak(server):
    Path(f"/proc/{server.process.process.pid}/clear_refs").write_text("5")


# ---------------------------------------------------------------- the disk
def fill(path):
    """Writes until the disk is full."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


@linux
def test_a_full_disk_refuses_what_is_new_and_shows_what_is_there(tmp_path, monkeypatch):
    with disk(monkeypatch, tmp_path, "size=16m") as data_dir, night(data_dir) as server:
        filler = inside(server, data_dir) / "filler"
        session = server.new_session()
        server.say(session, f"{MARKER} before")
        before = server.until_idle(session)

        fill(filler)
        for text in (f"{MARKER} refused", MARKER * 100, MARKER * 40_000):
            refused(send(server, session, text), "Free some space")
        body = {"name": "A", "model": "claude-sonnet-5-5"}
        refused(server.request("POST", "/v1/agents", json=body), "Free some space")
        assert server.events(session) == before
        with open_stream(server, session, headers=ALL) as stream:
            shown = stream.frames("session.status_idle")
        assert {e["id"] for e in before} == {frame.data["id"] for frame in shown}
        assert server.request("GET", "/healthz").status_code == 200

        filler.unlink()
        said = [f"{MARKER} after", f"{MARKER} large" * 20_000]
        for text in said:
            server.say(session, text)
            after = server.until_idle(session)
        assert after[: len(before)] == before
        assert texts(after) == [f"{MARKER} before", *said]
        blobs = inside(server, data_dir) / "blobs"
        assert list((blobs / ".incoming").iterdir()) == [], "half a blob holds space"
    assert "write_refused" in log_of(server)
    assert "Traceback" not in log_of(server)


class Held(ScriptedModel):
    """Answers once it may, and counts how often it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = 0
        self.is_asked = threading.Event()
        self.may_answer = threading.Event()

    def open(self, request):
        self.asked += 1
        self.is_asked.set()
        assert self.may_answer.wait(20)
        return super().open(request)


def test_a_turn_that_the_store_refused_goes_on_when_it_takes_writes_again(tmp_path):
    model, clock = Held(), Clock()
    with server_in_process(tmp_path, model=model, clock=clock) as server:
        session = server.new_session()
        server.say(session, script({"say": "in the end"}))
        assert model.is_asked.wait(20)
        store = server.app.records._connections._writing
        store.execute("PRAGMA query_only = ON")
        model.may_answer.set()
        wait_for(lambda: not server.app.runs._open)
        refused(send(server, session, MARKER), "server's log")
        assert "agent.message" not in [e["type"] for e in server.events(session)]

        store.execute("PRAGMA query_only = OFF")
        clock.ahead = timedelta(seconds=46)
        recovery.sweep(server.app)
        assert texts(server.until_idle(session), "agent.message") == ["in the end"]
    assert model.asked == 2, "the reply that could not be kept is asked for once more"


# ---------------------------------------------------------------- the data directory
@linux
def test_a_read_only_disk_is_one_line_and_exit_1(tmp_path, monkeypatch):
    with (
        disk(monkeypatch, tmp_path, "ro") as data_dir,
        pytest.raises(ServerFailed) as failed,
        night(data_dir),
    ):
        pass
    assert str(failed.value) == f"Cannot use {data_dir}: Read-only file system."


def test_a_data_directory_that_was_moved_takes_nothing_until_it_is_back(tmp_path):
    place, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    with night(place) as server:
        session = server.new_session()
        server.say(session, f"{MARKER} before")
        before = server.until_idle(session)

        place.rename(elsewhere)
        refused(send(server, session, f"{MARKER} refused"), "moved", "Put it back")
        refused(send(server, session, f"{MARKER} refused" * 20_000), "disk")
        assert server.request("GET", "/readyz").status_code == 503
        assert server.request("GET", "/healthz").status_code == 200
        assert not place.exists(), "nothing new is begun where it was"

        elsewhere.rename(place)
        assert server.request("GET", "/readyz").status_code == 200
        server.say(session, f"{MARKER} after")
        after = server.until_idle(session)
        assert after[: len(before)] == before
    with night(place) as again:
        assert again.events(session) == after
    assert texts(after) == [f"{MARKER} before", f"{MARKER} after"]


def test_a_data_directory_that_was_deleted_takes_nothing_and_the_server_ends_in_order(tmp_path):
    place = tmp_path / "data"
    with night(place) as server:
        session = server.new_session()
        server.say(session, MARKER)
        server.until_idle(session)
        shutil.rmtree(place)
        refused(send(server, session, MARKER), "deleted")
        place.mkdir()
        refused(send(server, session, MARKER), "replaced")
    assert not (place / "freehold.db").exists(), "no empty store was left behind"


# ---------------------------------------------------------------- descriptors
def connections(server, n):
    """`n` bare connections to the server."""
    port = httpx2.URL(server.url).port
    return [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(n)]


@linux
def test_more_connections_than_there_is_room_for_are_refused_and_work_goes_on(
    tmp_path, monkeypatch
):
    with (
        launched_by(monkeypatch, tmp_path, "ulimit -n 200; exec"),
        night(tmp_path / "data") as server,
        ExitStack() as held,
    ):
        session = server.new_session()
        crowd = [held.enter_context(one) for one in connections(server, 120)]
        last = crowd[-1].makefile("rb").read()
        assert last.startswith(b"HTTP/1.1 503 ")
        assert json.loads(last.partition(b"\r\n\r\n")[2])["error"]["type"] == "api_error"
        server.say(session, MARKER)
        server.until_idle(session)
        held.close()
        (late,) = wait_for(lambda: admitted(server))
        late.close()
    assert len(server.process.lines) < 20, log_of(server)


def admitted(server):
    """A new connection that is not refused, in a list; None where it is."""
    (one,) = connections(server, 1)
    one.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    with suppress(ConnectionResetError):
        if one.recv(12) == b"HTTP/1.1 200":
            return [one]
    one.close()
    return None


@linux
@pytest.mark.timeout(240)  # where a run waits for the next sweep
def test_without_a_free_descriptor_the_server_waits_for_one_and_says_so_quietly(tmp_path):
    with night(tmp_path) as server, ExitStack() as held:
        pid = server.process.process.pid
        session = server.new_session()
        server.say(session, f"{MARKER} before")
        server.until_idle(session)
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = max(int(link.name) for link in Path(f"/proc/{pid}/fd").iterdir()) + 1
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
        crowd = [held.enter_context(one) for one in connections(server, 8)]
        wait_for(lambda: "out of system resource" in log_of(server))
        # On a connection that is open already. A thread without one to the store cannot open it,
        # and says so.
        text = {"type": "text", "text": f"{MARKER} during"}
        body = {"events": [{"type": "user.message", "content": [text]}]}
        place = f"/v1/sessions/{session}/events"
        sent = server.request("POST", place, json=body)
        assert sent.status_code in (200, 503), sent.text

        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for one in crowd:
            one.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert [one.recv(12) for one in crowd] == [b"HTTP/1.1 200"] * len(crowd)
        if sent.status_code == 503:
            server.post(place, body)
        wait_for(
            lambda: answered_texts(server, session) == [f"{MARKER} before", f"{MARKER} during"],
            seconds=200,
        )
    assert log_of(server).count("out of system resource") < 20


# ---------------------------------------------------------------- the clock
def test_a_clock_that_jumps_takes_no_turn_over_and_turns_no_order_around(tmp_path):
    model, clock = Held(), Clock()
    settings = {"lease_seconds": 1.0, "renew_seconds": 0.1}
    with server_in_process(tmp_path, model=model, clock=clock, settings=settings) as server:
        session = server.new_session()
        server.say(session, script({"say": "first"}))
        assert model.is_asked.wait(20)
        for hours in (1, -1, 2, 0):
            clock.ahead = timedelta(hours=hours)
            recovery.sweep(server.app)
        clock.ahead = timedelta(hours=1)
        model.may_answer.set()
        server.until_idle(session)
        assert model.asked == 1, "a lease that only the clock ended was taken over"

        for hours, word in ((-1, "second"), (2, "third"), (-2, "fourth")):
            clock.ahead = timedelta(hours=hours)
            server.say(session, script({"say": word}))
            recovery.sweep(server.app)
            events = server.until_idle(session)
    assert texts(events, "agent.message") == ["first", "second", "third", "fourth"]
    stamps = [event["processed_at"] for event in events]
    assert stamps == sorted(set(stamps))
    assert model.asked == 4


# ---------------------------------------------------------------- memory
READERS = 20


@linux
@pytest.mark.parametrize(
    ("megabytes", "messages", "cost"),
    [(1, 40, 20), (8, 1, 20)],
    ids=["a page and not the history", "a large event about once"],
)
def test_readers_that_do_not_read_cost_memory_for(tmp_path, megabytes, messages, cost):
    """`cost` in MB for each reader; kept whole, what they were sent would be twice as much."""
    with night(tmp_path) as server, ExitStack() as rest:
        session = server.new_session()
        content = [{"type": "text", "text": MARKER + "x" * (megabytes * 1_000_000)}]
        body = {"events": [{"type": "user.message", "content": content}] * min(messages, 20)}
        for _ in range(0, messages, 20):
            server.post(f"/v1/sessions/{session}/events", body)
        wait_for(lambda: newest(server, session)["type"] == "session.status_idle")
        forget_peak(server)
        before = memory(server)
        for _ in range(READERS):
            rest.enter_context(unread_stream(server, session))
        with open_stream(server, session, headers=ALL) as stream:
            shown = stream.frames("session.status_idle")
        size = sum(len(frame.lines[-1]) for frame in shown)
        assert size > messages * megabytes * 1_000_000
        assert memory(server, "VmHWM") - before < cost * READERS
        server.say(session, script({"say": "still here"}))
        wait_for(lambda: newest(server, session)["type"] == "session.status_idle")


def newest(server, session):
    path = f"/v1/sessions/{session}/events?order=desc&limit=1"
    return server.request("GET", path).json()["data"][0]


@contextmanager
def unread_stream(server, session):
    """A stream from the beginning, of which only the head is read."""
    address = httpx2.URL(server.url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect((address.host, address.port))
        given = {"host": "x", "x-api-key": server.key, **HEADERS, **ALL}
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        path = f"/v1/sessions/{session}/events/stream"
        connection.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        assert connection.recv(12) == b"HTTP/1.1 200"
        yield connection


TURNS_OF_A_SESSION = 20


def take_turns(data_dir, turns, marks, pipe):
    """In a process of its own: that many turns on a listening server, each session deleted after
    its last; sends the process's memory in KB after each number of turns in `marks`.
    """
    with server_in_thread(data_dir, settings={"sandbox": "none"}) as server:
        for n in range(TURNS_OF_A_SESSION, turns + 1, TURNS_OF_A_SESSION):
            session = server.new_session()
            with open_stream(server, session) as stream:
                for _ in range(TURNS_OF_A_SESSION):
                    server.say(session, MARKER)
                    stream.frames("session.status_idle")
            assert server.request("DELETE", f"/v1/sessions/{session}").status_code == 200
            recovery.sweep(server.app)
            if n in marks:
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                pipe.send(pages * resource.getpagesize() // 1024)


@linux
def test_four_hundred_turns_leave_no_memory_behind(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    marks = (100, 400)
    process = spawn.Process(target=take_turns, args=(tmp_path, marks[-1], marks, there))
    process.start()
    try:
        found = [here.recv() if here.poll(100) else None for _ in marks]
    finally:
        process.kill()
        process.join()
    assert found[1] - found[0] < 4_000, f"KB after {marks} turns: {found}"


# ---------------------------------------------------------------- the end
def test_a_stop_in_the_middle_of_a_tool_call_ends_it_and_the_next_start_says_so(tmp_path):
    effects = tmp_path / "effects"
    seconds = f"31{os.getpid()}"
    command = f"echo {MARKER} >> {effects}; sleep {seconds}"
    with night(tmp_path / "data") as first:
        session = first.new_session(tools=TOOLS)
        use = {"tool": "bash", "input": {"command": command}}
        first.say(session, script(use, {"say": "after {result}"}))
        wait_for(effects.exists)
        began = time.monotonic()
        assert first.process.stop() == 0
        assert time.monotonic() - began < 12
        assert not sleepers(seconds), "the tool outlived its server"
    with night(tmp_path / "data") as second:
        events = second.until_idle(session)
    (result,) = [e for e in events if e["type"] == "agent.tool_result"]
    assert result["is_error"]
    assert "unknown" in result["content"][0]["text"]
    assert effects.read_text().split() == [MARKER]
    assert events[-1]["stop_reason"] == {"type": "end_turn"}


def sleepers(seconds):
    """Processes that sleep for this very time."""
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in shown.stdout.splitlines() if line.split()[:2] == ["sleep", seconds]]
