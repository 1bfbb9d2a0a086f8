"""The text of an HTML page, by a process that may be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import BoundedSemaphore

from freehold.adapters.web.failure import Failed
from freehold.adapters.web.lifeline import Lifeline

_PROGRAM = Path(__file__).with_name("readable.py")


class PageReader:
    """Reads few pages at a time, so that their sum is bounded too. Thread-safe."""

    def __init__(self, at_a_time: int) -> None:
        self._slots = BoundedSemaphore(at_a_time)

    def read(self, page: str, url: str, lifeline: Lifeline) -> tuple[str, str]:
        """Title and text. Raises Failed, WebCallStopped.

        The process inherits nothing of ours but where packages are: no secret, no proxy, no file.
        """
        lifeline.wait_for(self._slots.acquire, lambda _: self._slots.release())
        try:
            return _read(page, url, lifeline)
        finally:
            self._slots.release()


def _read(page: str, url: str, lifeline: Lifeline) -> tuple[str, str]:
    with _start(url) as process:
        try:
            with lifeline.ended_by(process.kill):
                printed, _ = process.communicate(page.encode("utf-8", "replace"))
        finally:
            process.kill()
    lifeline.check()
    if process.returncode != 0:
        raise Failed("content_too_large", "its page is too large or too deep to be read")
    found = json.loads(printed)
    return found["title"], found["text"]


def _start(url: str) -> subprocess.Popen[bytes]:
    packages = os.pathsep.join(path for path in sys.path if path)
    try:
        return subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-B", str(_PROGRAM), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": packages, "LC_ALL": "C.UTF-8"},
            cwd="/",
        )
    except OSError:
        raise Failed("unavailable", "this server cannot read pages now") from None
