"""The system calls that tools may not make: a filter in the kernel's own form (classic BPF).

A deny-list: what namespaces and dropped capabilities already make harmless stays allowed, so that
ordinary programs run. Refused is what has let processes out of such a sandbox before, what reaches
beyond the namespaces, what leaves something dangerous behind on the host's disk, and memory that
nobody could count.

On x86-64 and 64-bit ARM; elsewhere there is no filter, and so no sandbox.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_KILL = 0x80000000

_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data

_NEW_NAMESPACES = 0x7E020080
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWTIME."""
_SET_ID = 0o6000
_CREATES = 0o100 | 0o20000000  # O_CREAT, and the bit of O_TMPFILE that no other flag has
_TERMINAL_INPUT = 0x5412  # TIOCSTI: types into the terminal
_TERMINAL_CONSOLE = 0x541C  # TIOCLINUX: pastes into the console
_SMALL_SEGMENT = 64 * 1024
_FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: those that a network namespace contains. AF_VSOCK is not
among them: it reaches the hypervisor from inside any namespace.
"""

_X32 = 0x40000000
_X86_64, _AARCH64 = 0xC000003E, 0xC00000B7

_REFUSED = {
    # name: (x86-64, 64-bit ARM); None where the architecture does not have it
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "vhangup": (153, 58),
}
_ABSENT = {
    # Answered as if the kernel did not know them: programs then use what the filter can look into,
    # or do without. Memory of a memfd belongs to no process and no mount, so no limit finds it.
    "clone3": (435, 435),
    "openat2": (437, 437),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
}


@dataclass(frozen=True, slots=True)
class _Architecture:
    column: int
    audit: int
    set_modes: tuple[tuple[int, int], ...]
    """(system call, index of its mode): chmod, fchmod, fchmodat, fchmodat2, mkdir, mknod, ..."""
    creators: tuple[tuple[int, int], ...]
    """(system call, index of its flags; the mode follows them): open, openat."""
    clone: int
    socket: int
    socketpair: int
    ioctl: int
    shmget: int


_ARCHITECTURES = {
    "x86_64": _Architecture(
        0,
        _X86_64,
        ((90, 1), (91, 1), (268, 2), (452, 2), (85, 1), (83, 1), (258, 2), (133, 1), (259, 2)),
        ((2, 1), (257, 2)),
        clone=56,
        socket=41,
        socketpair=53,
        ioctl=16,
        shmget=29,
    ),
    "aarch64": _Architecture(
        1,
        _AARCH64,
        ((52, 1), (53, 2), (452, 2), (34, 2), (33, 2)),
        ((56, 2),),
        clone=220,
        socket=198,
        socketpair=199,
        ioctl=29,
        shmget=194,
    ),
}


def program(machine: str) -> bytes:
    """The filter for `platform.machine()`, an array of `struct sock_filter`. Raises KeyError for a
    machine without one.
    """
    this = _ARCHITECTURES[machine]
    code = _of_its_own_architecture(this)
    code += _answer(_REFUSED, this.column, errno.EPERM)
    code += _answer(_ABSENT, this.column, errno.ENOSYS)
    for number, index in this.set_modes:
        code += _on(number, [*_argument(index), *_refuse_bits(_SET_ID)])
    for number, index in this.creators:
        code += _on(number, _refuse_creating(index))
    code += _on(this.clone, [*_argument(0), *_refuse_bits(_NEW_NAMESPACES)])
    for number in (this.socket, this.socketpair):
        code += _on(number, _only(0, _FAMILIES, errno.EAFNOSUPPORT))
    code += _on(this.ioctl, _never(1, (_TERMINAL_INPUT, _TERMINAL_CONSOLE)))
    code += _on(this.shmget, _at_most(1, _SMALL_SEGMENT))
    code.append(_instruction(_RETURN, _ALLOW))
    return b"".join(code)


def program_without_handles(machine: str) -> bytes:
    """Refuses files by their handles and nothing else. In a container names lead to what is mounted
    there, but handles lead whoever may read everything to all of the disk that it is on. Raises
    KeyError.
    """
    this = _ARCHITECTURES[machine]
    handles = {name: _REFUSED[name] for name in ("name_to_handle_at", "open_by_handle_at")}
    code = [*_of_its_own_architecture(this), *_answer(handles, this.column, errno.EPERM)]
    return b"".join([*code, _instruction(_RETURN, _ALLOW)])


def _of_its_own_architecture(this: _Architecture) -> list[bytes]:
    """The number of the call is looked at next; calls of another architecture have others."""
    code = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_EQUAL, this.audit, 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER),
    ]
    if this.audit == _X86_64:
        code += [_instruction(_AT_LEAST, _X32, 0, 1), _instruction(_RETURN, _ERRNO | errno.ENOSYS)]
    return code


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, operand)


def _answer(calls: Mapping[str, tuple[int, int | None]], column: int, error: int) -> list[bytes]:
    code = []
    for numbers in calls.values():
        number = numbers[column]
        if number is not None:
            code += [_instruction(_EQUAL, number, 0, 1), _instruction(_RETURN, _ERRNO | error)]
    return code


def _on(number: int, body: list[bytes]) -> list[bytes]:
    """`body` for one system call. A body that comes to its end allows the call."""
    whole = [*body, _instruction(_RETURN, _ALLOW)]
    return [_instruction(_EQUAL, number, 0, len(whole)), *whole]


def _argument(index: int, *, high: bool = False) -> list[bytes]:
    return [_instruction(_LOAD, _ARGUMENTS + 8 * index + (4 if high else 0))]


def _refuse_bits(bits: int) -> list[bytes]:
    return [_instruction(_ANY_BIT, bits, 0, 1), _instruction(_RETURN, _ERRNO | errno.EPERM)]


def _refuse_creating(flags: int) -> list[bytes]:
    """The mode argument of an `open` that creates nothing is whatever lay there."""
    refuse = [*_argument(flags + 1), *_refuse_bits(_SET_ID)]
    return [*_argument(flags), _instruction(_ANY_BIT, _CREATES, 0, len(refuse)), *refuse]


def _only(index: int, values: tuple[int, ...], error: int) -> list[bytes]:
    code = _argument(index)
    for value in values:
        code += [_instruction(_EQUAL, value, 0, 1), _instruction(_RETURN, _ALLOW)]
    return [*code, _instruction(_RETURN, _ERRNO | error)]


def _never(index: int, values: tuple[int, ...]) -> list[bytes]:
    code = _argument(index)
    for value in values:
        code += [_instruction(_EQUAL, value, 0, 1), _instruction(_RETURN, _ERRNO | errno.EPERM)]
    return code


def _at_most(index: int, value: int) -> list[bytes]:
    """An argument of 64 bits. One that does not fit into 32 is too high."""
    refuse = _instruction(_RETURN, _ERRNO | errno.ENOMEM)
    return [
        *_argument(index, high=True),
        _instruction(_EQUAL, 0, 1, 0),
        refuse,
        *_argument(index),
        _instruction(_AT_LEAST, value + 1, 0, 1),
        refuse,
    ]
