"""What a hostile model tries. Each attempt is one failed tool call, and another session does not
notice.
"""

from __future__ import annotations

import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from shlex import quote
from threading import Event

import pytest

from freehold.adapters.egress import LaptopEgress
from freehold.adapters.local_secrets import LocalSecrets
from freehold.adapters.subprocess_sandbox import SubprocessSandboxes
from freehold.testing.sandbox_calls import (
    bash,
    call,
    failed,
    new_sandbox,
    run,
    said,
    text_of,
)

SECRET = "sesame-4ae1c0"
LIMITS = {
    "memory_bytes": 512 << 20,
    "processes": 100,
    "disk_bytes": 48 << 20,
    "temporary_bytes": 32 << 20,
}


class Prison:
    """Sandboxes of one rung, the data directory around them, and a session that minds its own
    business.
    """

    def __init__(self, sandboxes, data_dir):
        self.sandboxes = sandboxes
        self.data_dir = data_dir
        self.bystander = new_sandbox()
        said(sandboxes, self.bystander, call("write", file_path="diary", content=SECRET))

    def attack(self, sandbox, made):
        """The text of the failed call; the other session is served meanwhile and afterwards."""
        over = Event()
        with ThreadPoolExecutor(1) as pool:
            served = pool.submit(self._serve_until, over)
            try:
                text = failed(self.sandboxes, sandbox, made)
            finally:
                over.set()
            assert served.result(30) >= 1
        assert SECRET not in text
        assert said(self.sandboxes, self.bystander, call("read", file_path="diary")) == SECRET
        return text

    def _serve_until(self, over):
        count = 0
        while not over.wait(0.05) or not count:
            assert said(self.sandboxes, self.bystander, bash("echo served")) == "served"
            count += 1
        return count

    def workspace(self, sandbox):
        return self.data_dir / "workspaces" / sandbox.session_id


@pytest.fixture(scope="module", params=["bubblewrap", "bubblewrap with network", "container"])
def prison(request, tmp_path_factory):
    """With a network, a sandbox shares its supervisor's and has a way to the proxy."""
    data_dir = tmp_path_factory.mktemp("data")
    rung, _, has_network = request.param.partition(" ")
    secrets = LocalSecrets(data_dir / "secret.key")
    egress = LaptopEgress(data_dir / "egress", secrets) if has_network else None
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FREEHOLD_API_KEY", SECRET)
        made = SubprocessSandboxes(data_dir, secrets, rung, limits=LIMITS, egress=egress)
        with closing(made) as sandboxes:
            probe = sandboxes.usable()
            if probe.rung is None:
                pytest.skip(probe.advice)
            yield Prison(sandboxes, data_dir)


@pytest.fixture
def sandbox(prison):
    made = new_sandbox()
    yield made
    prison.sandboxes.remove(made)


def python(code):
    """A call that runs a program in Python."""
    return bash(f"python3 - <<'END'\n{code}\nEND")


# ---------------------------------------------------------------- reading what is not theirs
def test_the_servers_environment(prison, sandbox):
    prison.attack(sandbox, bash(f"env | grep {SECRET}"))
    ours = max(Path("/proc/self/environ").read_text().split("\0"), key=len)
    prison.attack(sandbox, bash(f"cat /proc/*/environ | grep -aF {quote(ours)}"))


@pytest.mark.parametrize("path", ["secret.key", "workspaces", ""])
def test_the_data_directory(prison, sandbox, path):
    wanted = prison.data_dir / path
    assert wanted.exists()
    prison.attack(sandbox, bash(f"ls {wanted}"))
    prison.attack(sandbox, bash(f"ls /proc/1/root{wanted} || ls /proc/1/cwd{wanted}"))
    prison.attack(sandbox, call("read", file_path=str(wanted)))


def test_another_sessions_files(prison, sandbox):
    theirs = prison.workspace(prison.bystander) / "diary"
    assert theirs.read_text() == SECRET
    prison.attack(sandbox, bash(f"cat {theirs}"))
    prison.attack(sandbox, bash(f"ls /workspace/../*/{prison.bystander.session_id}"))
    searched = "/workspace /mnt /tmp /run /dev/shm /home /var /srv /opt /root /media"
    prison.attack(sandbox, bash(f"grep -rsa {SECRET} {searched}"))


def test_host_files_that_are_none_of_its_business(prison, sandbox):
    for path in ("/etc/shadow", "/root/.bashrc", "/var/log", "/boot", "/sys/kernel", "/home"):
        prison.attack(sandbox, bash(f"ls {path}/ || cat {path}"))


def test_host_processes(prison, sandbox):
    prison.attack(sandbox, bash(f"kill -0 {os.getpid()} || ls /proc/{os.getpid()}"))
    prison.attack(sandbox, bash("ls -d /proc/[0-9]* | wc -l | grep '[0-9][0-9]'"))


def test_the_host_stays_as_it_was(prison, sandbox):
    for path in ("/usr/bin/escaped", "/etc/escaped", "/escaped", "/opt/freehold/escaped"):
        prison.attack(sandbox, bash(f"touch {path}"))
    prison.attack(sandbox, bash("echo 1 > /proc/sys/kernel/panic"))
    prison.attack(sandbox, bash("echo x > /mnt/session/uploads/file"))


# ---------------------------------------------------------------- network
def test_host_loopback(prison, sandbox):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()  # it does listen
        prison.attack(sandbox, bash(f"exec 3<>/dev/tcp/127.0.0.1/{port}"))


def test_a_socket_without_a_file(prison, sandbox):
    name = f"\0freehold-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        connect = f"import socket\nsocket.socket(socket.AF_UNIX).connect({name!r})"
        prison.attack(sandbox, python(connect))


def test_the_metadata_address(prison, sandbox):
    prison.attack(sandbox, bash("timeout 5 bash -c 'exec 3<>/dev/tcp/169.254.169.254/80'"))


def test_the_hypervisor(prison, sandbox):
    text = prison.attack(sandbox, python("import socket\nsocket.socket(socket.AF_VSOCK)"))
    assert "not supported" in text


# ---------------------------------------------------------------- privileges
@pytest.mark.parametrize(
    "attempt",
    [
        "cp /bin/sh shell && chmod 4755 shell",
        "cp /bin/sh shell && chmod g+s shell",
        "install -m 4755 /bin/sh shell",
        "mkdir folder && chmod 2777 folder",
        "python3 -c 'import os; os.open(\"shell\", os.O_CREAT | os.O_WRONLY, 0o4755)'",
        "python3 -c 'import os; os.mknod(\"shell\", 0o104755)'",
    ],
)
def test_a_setuid_file_left_behind(prison, sandbox, attempt):
    prison.attack(sandbox, bash(attempt))
    for path in prison.workspace(sandbox).rglob("*"):
        assert not path.lstat().st_mode & (stat.S_ISUID | stat.S_ISGID)


@pytest.mark.parametrize(
    "attempt",
    [
        "unshare --user --map-root-user true",
        "unshare --mount true",
        "mount -t tmpfs none /tmp",
        "mknod device c 1 3",
        "chroot / true",
        "umount /workspace",
        "mount -o remount,rw /usr",
        "nsenter --target 1 --mount true",
    ],
)
def test_more_rights(prison, sandbox, attempt):
    prison.attack(sandbox, bash(attempt))


_SYSTEM_CALL = """
import ctypes, os, platform, sys
numbers = {number}
libc = ctypes.CDLL(None, use_errno=True)
words = [ctypes.c_long(a) if isinstance(a, int) else a for a in {arguments}]
answer = libc.syscall(numbers[platform.machine()], *words)
sys.exit(os.strerror(ctypes.get_errno()) if answer == -1 else 0)
"""


@pytest.mark.parametrize(
    ("name", "x86_64", "aarch64", "arguments"),
    [
        ("ptrace", 101, 117, (0, 0, 0, 0)),
        ("bpf", 321, 280, (0, 0, 0)),
        ("keyctl", 250, 219, (0, -3, 1)),
        ("userfaultfd", 323, 282, (1,)),
        ("io_uring_setup", 425, 425, (1, 0)),
        ("perf_event_open", 298, 241, (0, 0, -1, -1, 0)),
        ("memfd_create", 319, 279, (b"x", 0)),
        ("shmget of 1 GiB", 29, 194, (0, 1 << 30, 0o1600)),
        ("shmget of 4 GiB", 29, 194, (0, 1 << 32, 0o1600)),
        ("openat2", 437, 437, (-100, b"x", b"\0" * 24, 24)),
    ],
)
def test_a_dangerous_system_call(prison, sandbox, name, x86_64, aarch64, arguments):
    number = {"x86_64": x86_64, "aarch64": aarch64}
    text = prison.attack(sandbox, python(_SYSTEM_CALL.format(number=number, arguments=arguments)))
    refusals = ("not permitted", "not implemented", "Cannot allocate")
    assert any(words in text for words in refusals), name


def test_a_thread_can_still_be_started(prison, sandbox):
    """What the filter must let through, or its refusals prove nothing."""
    code = "import threading, subprocess\nthreading.Thread(target=print, args=('ran',)).start()\n"
    assert said(prison.sandboxes, sandbox, python(code)) == "ran"


# ---------------------------------------------------------------- exhaustion
def test_a_fork_bomb(prison, sandbox):
    text = prison.attack(sandbox, bash(":(){ :|:& };: ; sleep 30"))
    assert "more than 100 processes" in text
    _works_again(prison, sandbox)


def test_a_fork_bomb_that_runs_in_the_background(prison, sandbox):
    run(prison.sandboxes, sandbox, bash(":(){ :|:& };:"))
    text = prison.attack(sandbox, bash("sleep 30"))
    assert "more than 100 processes" in text
    _works_again(prison, sandbox)


def test_64_processes_of_200_megabytes(prison, sandbox):
    one = "python3 -c 'import time; x = bytearray(200 << 20); time.sleep(30)'"
    text = prison.attack(sandbox, bash(f"for i in $(seq 64); do {one} & done; wait"))
    assert "more than 512 MiB of memory" in text
    _works_again(prison, sandbox)


def test_one_process_that_takes_all_memory(prison, sandbox):
    prison.attack(sandbox, python("x = bytearray(4 << 30)"))


@pytest.mark.parametrize("directory", ["/workspace", "/mnt/session/outputs"])
def test_a_full_disk_by_one_file(prison, sandbox, directory):
    prison.attack(sandbox, bash(f"dd if=/dev/zero of={directory}/big bs=1M count=500"))
    assert _stored(prison, sandbox) <= 2 * LIMITS["disk_bytes"]
    said(prison.sandboxes, sandbox, bash(f"rm {directory}/big"))


def test_a_full_disk_by_many_files(prison, sandbox):
    fill = "for ((i = 0; ; i++)); do head -c 1M /dev/zero > f$i; done"
    text = prison.attack(sandbox, bash(fill))
    assert "files exceed its limits (48 MiB" in text
    assert _stored(prison, sandbox) <= 10 * LIMITS["disk_bytes"]
    _works_again(prison, sandbox)
    said(prison.sandboxes, sandbox, bash("rm f*"))


def test_a_full_disk_by_files_without_a_name(prison, sandbox):
    text = prison.attack(
        sandbox,
        python(
            "import os, time\n"
            "for i in range(200):\n"
            "    file = os.open('x', os.O_CREAT | os.O_WRONLY)\n"
            "    os.unlink('x')\n"
            "    os.write(file, bytes(1 << 20))\n"
            "time.sleep(30)"
        ),
    )
    assert "files exceed its limits (48 MiB" in text
    _works_again(prison, sandbox)


@pytest.mark.parametrize("directory", ["/tmp", "/dev/shm"])
def test_a_full_temporary_directory(prison, sandbox, directory):
    prison.attack(sandbox, bash(f"dd if=/dev/zero of={directory}/big bs=1M count=45"))
    said(prison.sandboxes, sandbox, bash(f"rm {directory}/big"))


def _stored(prison, sandbox):
    return sum(
        path.lstat().st_blocks * 512
        for kind in ("workspaces", "outputs")
        for path in (prison.data_dir / kind / sandbox.session_id).rglob("*")
    )


def _works_again(prison, sandbox):
    said(prison.sandboxes, sandbox, call("bash", restart=True))
    assert said(prison.sandboxes, sandbox, bash("echo again")) == "again"


# ---------------------------------------------------------------- the supervisor
def test_the_supervisors_journal(prison, sandbox):
    state = next((prison.data_dir / "sandboxes").iterdir())
    assert (state / "journal").exists()
    prison.attack(sandbox, bash("cat /run/freehold/journal"))
    prison.attack(sandbox, bash("find / -name journal -not -path '/proc/*' 2>/dev/null | grep ."))
    prison.attack(sandbox, bash("cat /proc/1/root/run/freehold/journal"))


def test_the_supervisors_port(prison, sandbox):
    prison.attack(sandbox, bash("ls /run/freehold/socket"))
    prison.attack(sandbox, bash("find / -type s -not -path '/proc/*' 2>/dev/null | grep ."))
    if prison.sandboxes.usable().no_network:
        prison.attack(sandbox, bash("grep -q . <(tail -qn +2 /proc/net/unix /proc/net/tcp)"))
        return
    # Its network is shared: it listens to nothing there but the relay, and a name of a socket in
    # another file system leads nowhere.
    listening = 'awk \'$4 == "0A" && $2 != "0100007F:0C38"\' /proc/net/tcp /proc/net/tcp6'
    prison.attack(sandbox, bash(f"{listening} | grep ."))
    names = "[line.split()[7] for line in open('/proc/net/unix') if len(line.split()) > 7]"
    attempts = "[socket.socket(socket.AF_UNIX).connect_ex(name) for name in names]"
    prison.attack(sandbox, python(f"import socket\nnames = {names}\nassert 0 in {attempts}"))


def test_the_supervisor_itself(prison, sandbox):
    assert "boot_" in prison.sandboxes.boot(sandbox)
    prison.attack(sandbox, bash("bash -c 'kill -9 -1'; sleep 30"))
    text = run(prison.sandboxes, sandbox, bash("true"))
    assert "restart required" in text_of(text)
    _works_again(prison, sandbox)


def test_long_results_cannot_be_forged(prison, sandbox):
    said(prison.sandboxes, sandbox, bash("seq 1 50000"))
    prison.attack(sandbox, bash("echo forged > /mnt/session/tool_results/*.txt"))


# ---------------------------------------------------------------- tricks on file reads
@pytest.mark.parametrize(
    "target", ["/etc/passwd", "/proc/self/environ", "/etc/../etc/hostname", "/workspace/../etc"]
)
def test_a_symbolic_link_out_of_the_workspace(prison, sandbox, target):
    said(prison.sandboxes, sandbox, bash(f"ln -s {target} link; ln -s / root"))
    for name, given in (
        ("read", {"file_path": "link"}),
        ("write", {"file_path": "link", "content": "x"}),
        ("edit", {"file_path": "link", "old_string": "root", "new_string": "x"}),
        ("read", {"file_path": "root/etc/passwd"}),
        ("glob", {"pattern": "*", "path": "root"}),
        ("grep", {"pattern": ".", "path": "link"}),
    ):
        text = prison.attack(sandbox, call(name, **given))
        assert "outside the session's working directory" in text


def test_a_symbolic_link_that_leads_nowhere_or_to_itself(prison, sandbox):
    said(prison.sandboxes, sandbox, bash("ln -s loop loop; ln -s /root/new dangling"))
    loop = prison.attack(sandbox, call("read", file_path="loop"))
    assert "too many levels" in loop
    dangling = prison.attack(sandbox, call("write", file_path="dangling", content="x"))
    assert "outside" in dangling


def test_a_fifo(prison, sandbox):
    said(prison.sandboxes, sandbox, bash("mkfifo pipe"))
    assert "not a regular file" in prison.attack(sandbox, call("read", file_path="pipe"))
    edit = call("edit", file_path="pipe", old_string="a", new_string="b")
    assert "not a regular file" in prison.attack(sandbox, edit)
    prison.attack(sandbox, call("write", file_path="pipe", content="x"))
    assert said(prison.sandboxes, sandbox, call("grep", pattern=".")) == "no matches"


def test_a_device(prison, sandbox):
    said(prison.sandboxes, sandbox, bash("ln -s /dev/zero zero"))
    prison.attack(sandbox, call("read", file_path="zero"))
    prison.attack(sandbox, call("read", file_path="/dev/zero"))


def test_a_file_that_becomes_a_link_while_it_is_read(prison, sandbox):
    """Whatever is read, it is the sandbox's own: there is nothing else to be led to."""
    flip = "while :; do ln -sfn /etc/hostname file; rm file; echo mine > file; done & true"
    said(prison.sandboxes, sandbox, bash(flip))
    for _ in range(50):
        result = run(prison.sandboxes, sandbox, call("read", file_path="file"))
        assert result.is_error or text_of(result) in {"mine\n", "", "sandbox\n"}
