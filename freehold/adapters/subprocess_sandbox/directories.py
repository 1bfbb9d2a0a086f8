"""Where sessions keep their files on this host, and who owns them.

{data_dir}/workspaces/{session}   /workspace
{data_dir}/outputs/{session}      /mnt/session/outputs
{data_dir}/uploads/{session}      /mnt/session/uploads
{data_dir}/sandboxes/{random}     one boot: socket, journal, long results
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from freehold.adapters.subprocess_sandbox.rungs import Directories

_KEPT = ("workspaces", "outputs", "uploads")
_SESSION_ID = re.compile(r"[A-Za-z0-9_]{1,100}\Z")


class SessionDirectories:
    """Creates, gives away and removes them. Everything is below `data_dir`."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir.absolute()
        self._locks: dict[Path, int] = {}

    def prepare(self, session_id: str, owner: int | None) -> Directories:
        """The session's directories, created where absent, and a fresh one for a boot.

        What a server under another user left is given to `owner`. Raises OSError, ValueError.
        """
        kept = [self._kept(kind, session_id) for kind in _KEPT]
        for path in kept:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if owner is not None and path.stat().st_uid != owner:
                _give(path, owner)
        workspace, outputs, uploads = kept
        return Directories(workspace, outputs, uploads, self._boot(owner))

    def _boot(self, owner: int | None) -> Path:
        parent = self._root / "sandboxes"
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = Path(tempfile.mkdtemp(dir=parent))
        (state / "results").mkdir(mode=0o755)
        if owner is not None:
            _give(state, owner)
        lock = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_SH)
        self._locks[state] = lock
        return state

    def end_boot(self, directories: Directories) -> None:
        """Removes what one boot alone needed."""
        lock = self._locks.pop(directories.state, None)
        if lock is not None:
            os.close(lock)
        remove_tree(directories.state)

    def sweep(self) -> None:
        """Removes what boots of dead servers left; a living one holds a lock on each of its own."""
        with suppress(FileNotFoundError):
            for state in (self._root / "sandboxes").iterdir():
                if state not in self._locks and _is_unlocked(state):
                    remove_tree(state)

    def remove(self, session_id: str) -> None:
        """Deletes the session's files. Nothing may run in it. Raises ValueError."""
        for kind in _KEPT:
            remove_tree(self._kept(kind, session_id))

    def _kept(self, kind: str, session_id: str) -> Path:
        if not _SESSION_ID.match(session_id):
            raise ValueError("not a session id")
        return self._root / kind / session_id


def _give(path: Path, owner: int) -> None:
    """With all that is in it; links themselves, not what they lead to."""
    subprocess.run(  # noqa: S603 - our own arguments
        [_program("chown"), "-R", "-h", f"{owner}:{owner}", "--", str(path)], check=True, env={}
    )


def _program(name: str) -> str:
    """By its path: the server's own search path decides nothing here."""
    return shutil.which(name, path="/bin:/usr/bin:/usr/sbin") or name


def _is_unlocked(state: Path) -> bool:
    lock = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def remove_tree(path: Path) -> None:
    """Tools leave trees as deep as they like and directories nobody may read: `rm` copes with the
    former without recursion, `chmod` with the latter. Neither follows links.
    """
    if not path.exists():
        return
    remove = [_program("rm"), "-rf", "--", str(path)]
    if subprocess.run(remove, check=False, env={}, stderr=subprocess.DEVNULL).returncode:  # noqa: S603 - our own arguments
        subprocess.run(  # noqa: S603 - our own arguments
            [_program("chmod"), "-R", "u+rwx", "--", str(path)],
            check=False,
            env={},
            stderr=subprocess.DEVNULL,
        )
        shutil.rmtree(path, ignore_errors=True)
        subprocess.run(remove, check=False, env={}, stderr=subprocess.DEVNULL)  # noqa: S603 - our own arguments
