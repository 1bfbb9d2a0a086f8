"""Bounds: what is kept of an output, what is on a disk, which processes belong together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from freehold.toolset import MAX_KEPT_OUTPUT_BYTES, MAX_RESULT_CHARACTERS
from sandbox_task import output, processes
from sandbox_task.output import LongResults, Output
from sandbox_task.watchdog import Disk

# ---------------------------------------------------------------- output


def test_an_output_is_kept_whole_up_to_its_bound():
    kept = Output()
    for _ in range(MAX_KEPT_OUTPUT_BYTES // 65536):
        kept.add(b"x" * 65536)
    assert kept.text() == "x" * MAX_KEPT_OUTPUT_BYTES


def test_of_a_longer_output_the_beginning_and_the_end_are_kept():
    kept = Output()
    kept.add(b"begin")
    for _ in range(4 * MAX_KEPT_OUTPUT_BYTES // 65536):
        kept.add(b"x" * 65536)
    kept.add(b"end")
    text = kept.text()
    assert text.startswith("begin")
    assert text.endswith("end")
    assert "bytes left out here]" in text
    assert len(text) < 2 * MAX_KEPT_OUTPUT_BYTES


def test_the_last_bytes_straddle_both_halves(monkeypatch):
    monkeypatch.setattr(output, "MAX_KEPT_OUTPUT_BYTES", 8)
    kept = Output()
    kept.add(b"abcdef")
    assert kept.last(3) == b"def"
    assert kept.last(100) == b"abcdef"


def test_escapes_are_stripped_and_no_text_is_shown_as_such():
    kept = Output()
    kept.add(b"\x1b[31mred\x1b[0m \xff")
    assert kept.text() == "red \ufffd"


def test_a_long_result_goes_to_a_file_and_the_oldest_goes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "_MAX_STORED_BYTES", 2 * MAX_RESULT_CHARACTERS + 10)
    results = LongResults(str(tmp_path))
    limit = MAX_RESULT_CHARACTERS
    assert results.shorten("x" * limit, "sevt_0") == "x" * limit
    for number in (1, 2, 3):
        text = results.shorten("a" + "x" * limit + "z", f"sevt_{number}")
        assert str(tmp_path / f"sevt_{number}.txt") in text
        assert len(text) < limit
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sevt_2.txt", "sevt_3.txt"]


# ---------------------------------------------------------------- disk


def test_a_disk_counts_blocks_not_what_a_file_claims(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(os.urandom(100_000))
    (tmp_path / "link").symlink_to("/usr")
    assert 100_000 <= Disk((str(tmp_path),)).used(1000) < 200_000


def test_too_many_or_too_deep_is_more_than_any_disk(tmp_path):
    for number in range(10):
        (tmp_path / str(number)).touch()
    disk = Disk((str(tmp_path),))
    assert disk.used(10) < 1 << 20
    assert disk.used(9) > 1 << 60
    deep = tmp_path / "/".join("d" * 120)
    deep.mkdir(parents=True)
    assert disk.used(1000) > 1 << 60


def test_an_unreadable_directory_does_not_end_the_count(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o000)
    (tmp_path / "file").write_bytes(b"x" * 10_000)
    assert Disk((str(tmp_path),)).used(1000) >= 10_000


# ---------------------------------------------------------------- processes

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
_FAMILY = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        x = bytearray(30 << 20)
        print(os.getpid(), flush=True)
        time.sleep(60)
    time.sleep(60)
time.sleep(60)
"""


@linux
def test_a_tree_is_found_measured_and_killed():
    with subprocess.Popen([sys.executable, "-c", _FAMILY], stdout=subprocess.PIPE) as family:
        youngest = int(family.stdout.readline())
        seen = processes.snapshot()
        members = processes.tree(seen, family.pid)
        assert members[0] == family.pid
        assert youngest in members
        assert len(members) == 3
        assert seen[youngest].tasks == 1
        assert seen[youngest].resident > 30 << 20
        assert 30 << 20 < processes.own_memory([youngest]) < 60 << 20
        processes.kill_tree(family.pid, _children_but(family.pid), time.monotonic() + 5)
        assert family.wait(5) == -signal.SIGKILL
    assert processes.tree(processes.snapshot(), youngest) == []


def _children_but(pid):
    """The test runner's other children, which are no orphans of the tree."""
    seen = processes.snapshot()
    return {child for child, found in seen.items() if found.parent == os.getpid()} - {pid}


@linux
def test_a_process_cannot_hide_behind_its_name(tmp_path):
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as process:
        try:
            assert processes.snapshot()[process.pid].parent == os.getpid()
        finally:
            process.kill()


def test_what_has_ended_has_no_memory():
    assert processes.own_memory([1 << 30]) == 0
