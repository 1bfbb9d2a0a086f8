"""The system call filter, on an interpreter of its language: what it answers on every machine."""

from __future__ import annotations

import errno
import platform
import struct

import pytest

from sandbox_task import seccomp

ALLOWED, REFUSED, ABSENT = "allowed", errno.EPERM, errno.ENOSYS
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
MACHINES = list(AUDIT)


def answer(machine, number, *arguments, audit=None, program=seccomp.program):
    """What the filter says to one call: `allowed`, `killed` or an error number."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    words = [argument & (1 << 64) - 1 for argument in padded]
    data = struct.pack("<IIQ6Q", number, audit or AUDIT[machine], 0, *words)
    code = [struct.unpack("=HBBI", part) for part in _parts(program(machine))]
    place = accumulator = 0
    while True:
        operation, if_true, if_false, operand = code[place]
        place += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif operation == 0x06:
            return _meaning(operand)
        else:
            holds = {
                0x15: accumulator == operand,
                0x35: accumulator >= operand,
                0x45: bool(accumulator & operand),
            }[operation]
            place += if_true if holds else if_false


def _parts(program):
    assert len(program) % 8 == 0
    return [program[i : i + 8] for i in range(0, len(program), 8)]


def _meaning(value):
    if value == 0x7FFF0000:
        return ALLOWED
    if value == 0x80000000:
        return "killed"
    assert value & 0xFFFF0000 == 0x00050000
    return value & 0xFFFF


NUMBERS = {
    "read": (0, 63),
    "execve": (59, 221),
    "openat": (257, 56),
    "mmap": (9, 222),
    "futex": (202, 98),
    "clone": (56, 220),
    "clone3": (435, 435),
    "ptrace": (101, 117),
    "mount": (165, 40),
    "bpf": (321, 280),
    "memfd_create": (319, 279),
    "openat2": (437, 437),
    "fchmodat": (268, 53),
    "fchmod": (91, 52),
    "fchmodat2": (452, 452),
    "mkdirat": (258, 34),
    "mknodat": (259, 33),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "ioctl": (16, 29),
    "shmget": (29, 194),
    "unshare": (272, 97),
    "setns": (308, 268),
    "io_uring_setup": (425, 425),
}
O_CREAT, O_TMPFILE = 0o100, 0o20200000
CLONE_THREAD_FLAGS, CLONE_NEWUSER = 0x3D0F00, 0x10000000
CASES = [
    ("read", (0,), ALLOWED),
    ("execve", (), ALLOWED),
    ("mmap", (), ALLOWED),
    ("futex", (), ALLOWED),
    ("clone", (CLONE_THREAD_FLAGS,), ALLOWED),
    ("clone", (0x01200011,), ALLOWED),
    ("clone", (CLONE_NEWUSER | 17,), REFUSED),
    ("clone", (0x00020000,), REFUSED),
    ("clone3", (), ABSENT),
    ("ptrace", (), REFUSED),
    ("mount", (), REFUSED),
    ("bpf", (), REFUSED),
    ("unshare", (0,), REFUSED),
    ("setns", (), REFUSED),
    ("io_uring_setup", (), REFUSED),
    ("memfd_create", (), ABSENT),
    ("openat2", (), ABSENT),
    ("openat", (-100, 0, 0, 0o4755), ALLOWED),
    ("openat", (-100, 0, O_CREAT, 0o755), ALLOWED),
    ("openat", (-100, 0, O_CREAT, 0o4755), REFUSED),
    ("openat", (-100, 0, O_CREAT | 1, 0o2755), REFUSED),
    ("openat", (-100, 0, O_TMPFILE, 0o4755), REFUSED),
    ("openat", (-100, 0, 0o200000, 0o7777), ALLOWED),
    ("fchmodat", (-100, 0, 0o755), ALLOWED),
    ("fchmodat", (-100, 0, 0o1777), ALLOWED),
    ("fchmodat", (-100, 0, 0o4755), REFUSED),
    ("fchmod", (3, 0o2755), REFUSED),
    ("fchmodat2", (-100, 0, 0o6755), REFUSED),
    ("mkdirat", (-100, 0, 0o2755), REFUSED),
    ("mknodat", (-100, 0, 0o104755), REFUSED),
    ("mknodat", (-100, 0, 0o010644), ALLOWED),
    ("socket", (1, 1, 0), ALLOWED),
    ("socket", (2, 1, 0), ALLOWED),
    ("socket", (10, 1, 0), ALLOWED),
    ("socket", (16, 3, 0), ALLOWED),
    ("socket", (40, 1, 0), errno.EAFNOSUPPORT),
    ("socket", (17, 3, 0), errno.EAFNOSUPPORT),
    ("socket", (38, 5, 0), errno.EAFNOSUPPORT),
    ("socketpair", (1, 1, 0), ALLOWED),
    ("socketpair", (30, 1, 0), errno.EAFNOSUPPORT),
    ("ioctl", (0, 0x5401), ALLOWED),
    ("ioctl", (0, 0x5412), REFUSED),
    ("ioctl", (0, 0x5412 | 1 << 32), REFUSED),
    ("ioctl", (0, 0x541C), REFUSED),
    ("shmget", (0, 56), ALLOWED),
    ("shmget", (0, 64 * 1024), ALLOWED),
    ("shmget", (0, 64 * 1024 + 1), errno.ENOMEM),
    ("shmget", (0, 1 << 32), errno.ENOMEM),
]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("name", "arguments", "wanted"), CASES)
def test_the_answer(machine, name, arguments, wanted):
    number = NUMBERS[name][MACHINES.index(machine)]
    assert answer(machine, number, *arguments) == wanted


@pytest.mark.parametrize(
    ("number", "arguments", "wanted"),
    [
        (2, (0, O_CREAT, 0o4755), REFUSED),
        (2, (0, 0, 0o4755), ALLOWED),
        (85, (0, 0o4755), REFUSED),
        (90, (0, 0o4755), REFUSED),
        (83, (0, 0o2755), REFUSED),
        (133, (0, 0o104755), REFUSED),
        (0x40000000 | 0, (), ABSENT),
        (0x40000000 | 101, (), ABSENT),
    ],
    ids=["open", "open to read", "creat", "chmod", "mkdir", "mknod", "x32 read", "x32 ptrace"],
)
def test_the_old_calls_of_x86(number, arguments, wanted):
    assert answer("x86_64", number, *arguments) == wanted


@pytest.mark.parametrize("machine", MACHINES)
def test_without_handles_is_all_else(machine):
    column = MACHINES.index(machine)
    asked = {name: numbers[column] for name, numbers in NUMBERS.items()}
    handles = {"open_by_handle_at": (304, 265)[column], "name_to_handle_at": (303, 264)[column]}
    given = {"program": seccomp.program_without_handles}
    assert {answer(machine, number, **given) for number in asked.values()} == {ALLOWED}
    assert {answer(machine, number, **given) for number in handles.values()} == {REFUSED}
    assert answer(machine, 342, audit=0x40000003, **given) == "killed"


def test_another_architecture_on_the_same_machine_is_killed():
    """32-bit calls have other numbers, so the filter would look at the wrong ones."""
    assert answer("x86_64", 11, audit=0x40000003) == "killed"
    assert answer("aarch64", 11, audit=0x40000028) == "killed"


def test_a_machine_without_a_filter_has_no_sandbox():
    with pytest.raises(KeyError):
        seccomp.program("riscv64")


def test_the_kernel_takes_it():
    """Its length is bounded, and this machine has one."""
    assert all(len(seccomp.program(machine)) // 8 < 4096 for machine in MACHINES)
    if platform.machine() not in MACHINES:
        pytest.skip(f"needs one of {MACHINES}")
    assert seccomp.program(platform.machine())
