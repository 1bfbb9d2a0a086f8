"""Files that the supervisor reads for the server, in directories whose owner plays tricks."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from sandbox_task import session_files
from sandbox_task.http_server import Refused
from sandbox_task.session_files import SessionFiles


@pytest.fixture
def root(tmp_path):
    made = tmp_path / "workspace"
    (made / "folder").mkdir(parents=True)
    (made / "folder" / "file").write_bytes(b"content")
    (tmp_path / "secret").write_bytes(b"secret")
    return made


@pytest.fixture
def files(root):
    return SessionFiles((str(root),), (str(root),))


def status_of(call, *given):
    with pytest.raises(Refused) as refused:
        call(*given)
    return refused.value.status


def test_a_file_is_read_written_and_listed(files, root):
    assert files.read(f"{root}/folder/file") == b"content"
    files.write(f"{root}/new/deep/file", b"new")
    assert (root / "new/deep/file").read_bytes() == b"new"
    files.write(f"{root}/folder/file", b"replaced")
    assert files.list(f"{root}/folder") == [{"name": "file", "type": "file", "size": 8}]
    assert [entry["name"] for entry in files.list(str(root))] == ["folder", "new"]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "{root}",
        "{root}x/file",
        "{root}/",
        "{root}/../secret",
        "{root}/folder/../../secret",
        "{root}/./folder/file",
        "{root}//folder/file",
        "{root}/folder/..",
        "relative",
        "",
        "{root}/nul\0",
    ],
)
def test_a_path_that_is_not_plain_is_refused(files, root, path):
    given = path.format(root=root)
    assert status_of(files.read, given) == 400
    assert status_of(files.write, given, b"x") == 400


def test_no_link_is_followed(files, root):
    (root / "link").symlink_to(root.parent / "secret")
    (root / "up").symlink_to("..")
    for path in ("link", "up/secret", "up/workspace/folder/file"):
        assert status_of(files.read, f"{root}/{path}") == 400
    assert status_of(files.list, f"{root}/up") == 400
    assert status_of(files.write, f"{root}/up/made", b"x") == 400
    assert not (root.parent / "made").exists()
    assert {"name": "link", "type": "link"}.items() <= files.list(str(root))[1].items()


def test_a_link_is_replaced_not_written_through(files, root):
    (root / "link").symlink_to(root.parent / "secret")
    files.write(f"{root}/link", b"x")
    assert (root.parent / "secret").read_bytes() == b"secret"
    assert (root / "link").read_bytes() == b"x"


def test_only_regular_files_are_read(files, root, monkeypatch):
    os.mkfifo(root / "pipe")
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        monkeypatch.chdir(root)
        listener.bind("socket")  # relative, since its address holds about 100 bytes
        for name in ("pipe", "socket", "folder"):
            assert status_of(files.read, f"{root}/{name}") == 400
    assert status_of(files.read, f"{root}/missing") == 404
    assert status_of(files.list, f"{root}/folder/file") == 400
    kinds = {entry["name"]: entry["type"] for entry in files.list(str(root))}
    assert kinds["pipe"] == "other"


def test_sizes_are_bounded(files, root, monkeypatch):
    monkeypatch.setattr(session_files, "MAX_BODY_BYTES", 5)
    monkeypatch.setattr(session_files, "_MAX_LISTED", 1)
    assert status_of(files.read, f"{root}/folder/file") == 413
    (root / "second").touch()
    assert status_of(files.list, str(root)) == 413


def test_a_directory_that_becomes_a_link_leads_nowhere(files, root):
    """The classic race: checked as a directory, opened as a link to somewhere else."""
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"secret")
    stop = threading.Event()

    def met(seen):
        return b"content" in seen and len(seen) > 1

    def swap():
        while not stop.is_set():
            (root / "folder").rename(root / "away")
            (root / "folder").symlink_to(outside)
            (root / "folder").unlink()
            (root / "away").rename(root / "folder")

    thread = threading.Thread(target=swap)
    thread.start()
    seen = set()
    attempts = 0
    deadline = time.monotonic() + 60
    try:
        # On a busy machine the two threads may take turns badly: on until both were in time once.
        while attempts < 2000 or (not met(seen) and time.monotonic() < deadline):
            attempts += 1
            try:
                seen.add(files.read(f"{root}/folder/file"))
            except Refused as refused:
                seen.add(refused.status)
    finally:
        stop.set()
        thread.join()
    assert b"secret" not in seen
    assert met(seen), "the race was never met"


def test_no_descriptor_is_left_open(files, root):
    (root / "link").symlink_to("/etc")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("folder/file", "missing", "link/passwd", "folder", "folder/file/x", "a/b/c"):
        for call in (files.read, files.list):
            try:
                call(f"{root}/{path}")
            except Refused:
                continue
    assert len(list(Path("/proc/self/fd").iterdir())) == before
