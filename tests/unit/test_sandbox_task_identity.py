"""Supervisor and tools as two users, as in a container: the supervisor itself, without the
container around it.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from freehold.adapters.subprocess_sandbox import programs
from freehold.testing.sandbox_calls import eventually
from freehold.toolset.signed_request import SignedRequest, digest
from sandbox_task import processes
from sandbox_task.launch import _may_read_everything

KEY = Ed25519PrivateKey.generate()
TOOLS_UID = 12345

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs /proc"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to start tools as another user"),
]


def reachable_python():
    """An interpreter that another user can run; the one of the tests may be under root's home."""
    python = Path("/usr/bin/python3")
    if not python.exists():
        pytest.skip("needs a /usr/bin/python3, which any user can run")
    return str(python)


@contextmanager
def supervisor(directory):
    """Asks it by `execute(command)`; yields that and its process."""
    for parent in (directory, *directory.parents[:2]):
        parent.chmod(0o755)
    state, workspace, results = (directory / name for name in ("state", "workspace", "results"))
    for path in (state, workspace, results):
        path.mkdir()
    state.chmod(0o700)
    os.chown(workspace, TOOLS_UID, TOOLS_UID)
    host = programs.on_host("sandbox_task.tool_host")
    settings = {
        "session_id": "sesn_1",
        "public_key": KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex(),
        "state": str(state),
        "listen": str(state / "socket"),
        "identity": "user",
        "tools_uid": TOOLS_UID,
        "tool_host": [reachable_python(), *host[1:]],
        "environment": {"PATH": "/usr/bin:/bin"},
        "places": {
            "workspace": str(workspace),
            "outputs": str(workspace),
            "uploads": str(results),
            "results": str(results),
        },
        "limits": {"processes": 100},
    }
    command = [*programs.on_host("sandbox_task.__main__"), json.dumps(settings)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        boot_id = json.loads(process.stdout.readline())["boot_id"]
        yield Asker(state / "socket", boot_id), process


class Asker:
    def __init__(self, path, boot_id):
        self.path = path
        self.boot_id = boot_id
        self.count = 0

    def ask(self, path, value):
        body = json.dumps(value).encode()
        nonce = os.urandom(8).hex()
        request = SignedRequest(
            "POST", path, digest(body), "sesn_1", self.boot_id, int(time.time()), nonce
        )
        connection = http.client.HTTPConnection("sandbox")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(os.path.relpath(self.path))
        with closing(connection):
            connection.request("POST", path, body, request.headers(KEY.sign(request.message())))
            return json.loads(connection.getresponse().read())

    def execute(self, name="bash", wait=10, **given):
        self.count += 1
        call = {"thread_id": "sthr_1", "event_id": f"sevt_{self.count}", "digest": "d"}
        return self.ask("/execute", {**call, "name": name, "input": given, "wait": wait})

    def said(self, name="bash", **given):
        answer = self.execute(name, **given)
        return answer["content"][0]["text"], answer["is_error"]


def test_tools_are_another_user_and_cannot_reach_the_supervisor(tmp_path):
    with supervisor(tmp_path) as (asker, process):
        assert asker.said(command="id -u; id -G") == (f"{TOOLS_UID}\n{TOOLS_UID}", False)
        for attack in (
            f"cat {tmp_path}/state/journal",
            f"kill -0 {process.pid}",
            f"cat /proc/{process.pid}/environ",
            "echo x > ../results/forged",
        ):
            assert asker.said(command=attack)[1], attack
        assert asker.said("write", file_path="f", content="x")[1] is False
        assert (tmp_path / "workspace" / "f").stat().st_uid == TOOLS_UID
        process.stdin.close()


def test_a_program_of_roots_that_is_set_user_id_gives_the_tools_no_right(tmp_path):
    whoami = tmp_path / "whoami"
    shutil.copy("/usr/bin/id", whoami)
    whoami.chmod(0o4755)
    with supervisor(tmp_path) as (asker, process):
        assert asker.said(command=f"{whoami} -u") == (str(TOOLS_UID), False)
        assert asker.said(command="grep NoNewPrivs /proc/self/status") == ("NoNewPrivs:\t1", False)
        process.stdin.close()


def test_who_may_read_everything_opens_no_file_by_its_handle(tmp_path):
    """The supervisor of a container may, and a handle leads to files that have no name there."""
    if not _may_read_everything():
        pytest.skip("needs CAP_DAC_READ_SEARCH")
    with supervisor(tmp_path) as (asker, process):
        for task in Path(f"/proc/{process.pid}/task").iterdir():
            assert "Seccomp:\t2\n" in (task / "status").read_text()
        assert asker.said(command="grep Seccomp: /proc/self/status") == ("Seccomp:\t2", False)
        process.stdin.close()


def test_a_cancelled_call_is_dead_with_its_daemons(tmp_path):
    with supervisor(tmp_path) as (asker, process):
        daemons = "setsid -f sleep 77.25; (setsid sleep 77.5 &); sleep 77.75"
        assert asker.execute(wait=0.2, command=daemons)["status"] == "running"
        eventually(lambda: len(_sleeping()) == 3)
        call = {"thread_id": "sthr_1", "event_id": "sevt_1", "digest": "d"}
        begun = time.monotonic()
        asker.ask("/cancel", {"calls": [call]})
        assert _sleeping() == []
        assert time.monotonic() - begun < 1
        process.stdin.close()


def test_the_end_of_its_input_ends_the_supervisor_and_all_it_started(tmp_path):
    with supervisor(tmp_path) as (asker, process):
        asker.execute(command="setsid -f sleep 77.25; sleep 77.5 &")
        eventually(lambda: len(_sleeping()) == 2)
        process.stdin.close()
        process.wait(5)
        assert _sleeping() == []


def test_a_fork_bomb_is_one_failed_call(tmp_path):
    with supervisor(tmp_path) as (asker, process):
        text, is_error = asker.said(command=":(){ :|:& };: ; sleep 30")
        assert is_error
        assert "more than 100 processes" in text
        assert asker.said(restart=True) == ("bash session restarted", False)
        process.stdin.close()


def _sleeping():
    """The living `sleep 77.…` of this machine."""
    found = []
    for pid, process in processes.snapshot().items():
        line = Path(f"/proc/{pid}/cmdline")
        try:
            if not process.is_dead and line.read_bytes().startswith(b"sleep\00077."):
                found.append(pid)
        except OSError:
            continue
    return found
