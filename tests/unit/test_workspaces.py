"""Trees that hostile programs have made: saved, restored, erased by somebody with more rights."""

from __future__ import annotations

import io
import itertools
import os
import tarfile
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest

from freehold.adapters.fargate_sandbox.archives import Archives
from functions.workspaces import trees
from functions.workspaces.handler import SaveFailed, make_handler
from tests.contract.moto_account import moto_account
from tests.fargate import DirectoryArchives

NAME = "archives/wrkspc_1/sesn_1/save_1"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "files" / "slot_1-workspace").mkdir(parents=True)
    return tmp_path / "files"


@pytest.fixture
def archives(tmp_path):
    return DirectoryArchives(tmp_path / "bucket")


@pytest.fixture
def handler(root, archives):
    return lambda **event: make_handler(root, archives, os.geteuid())(event, None)


def deep(directory, depth):
    """Deeper than any path can say."""
    here = os.open(directory, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT, dir_fd=here))
    os.close(here)


def test_links_lead_nobody_out(root, handler, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    workspace = root / "slot_1-workspace"
    (workspace / "out").symlink_to(outside)
    (workspace / "file").symlink_to(outside / "secret")
    handler(save="slot_1", object=NAME)
    assert handler(erase="slot_1") == {"is_erased": True}
    assert (outside / "secret").read_text() == "secret"
    handler(restore="slot_1", object=NAME)
    assert (workspace / "out").readlink() == outside
    assert [path.name for path in outside.iterdir()] == ["secret"]


@pytest.mark.parametrize("name", ["workspace/../../x", "/x", "workspace/out/x", "other/x"])
def test_an_archive_that_was_tampered_with_writes_nothing_outside(tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w|gz") as archive:
        link = tarfile.TarInfo("workspace/out")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        archive.addfile(link)
        file = tarfile.TarInfo(name)
        file.size = 1
        archive.addfile(file, io.BytesIO(b"x"))
    packed.seek(0)
    roots = {"workspace": tmp_path / "in" / "workspace"}
    (tmp_path / "in").mkdir()
    with suppress(tarfile.FilterError):
        trees.unpack(packed, roots, os.geteuid())
    assert list(outside.iterdir()) == []
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["workspace"]


def test_what_is_no_file_is_left_out(root, handler):
    workspace = root / "slot_1-workspace"
    os.mkfifo(workspace / "fifo")
    (workspace / "file").write_text("kept")
    handler(save="slot_1", object=NAME)
    handler(erase="slot_1")
    handler(restore="slot_1", object=NAME)
    assert [path.name for path in workspace.iterdir()] == ["file"]


def test_a_save_that_is_asked_for_again_replaces_nothing(root, handler):
    """Lambda brings a request at least once: then what it is about may have been erased."""
    (root / "slot_1-workspace" / "file").write_text("saved")
    handler(save="slot_1", object=NAME)
    assert handler(erase="slot_1") == {"is_erased": True}
    handler(save="slot_1", object=NAME)
    handler(restore="slot_2", object=NAME)
    assert (root / "slot_2-workspace" / "file").read_text() == "saved"


def test_a_tree_deeper_than_any_path_is_erased(root, handler):
    deep(root / "slot_1-workspace", 60)
    assert handler(list=True) == {"slots": ["slot_1"]}
    assert handler(erase="slot_1") == {"is_erased": True}
    assert list(root.iterdir()) == []


def test_a_tree_that_cannot_be_read_is_not_saved_in_part(root, handler, archives):
    deep(root / "slot_1-workspace", 60)
    with pytest.raises(SaveFailed):
        handler(save="slot_1", object=NAME)
    assert not archives.has(NAME)


def test_a_tree_that_cannot_be_read_leaves_no_object_in_s3(root):
    """What was packed before the failure is no archive."""
    (root / "slot_1-workspace" / "a").write_bytes(os.urandom(100_000))
    deep(root / "slot_1-workspace", 60)
    with moto_account() as account:
        s3 = account.client("s3")
        s3.create_bucket(Bucket="sandboxes")
        archives = Archives(s3, "sandboxes")
        with pytest.raises(SaveFailed):
            make_handler(root, archives, os.geteuid())({"save": "slot_1", "object": NAME}, None)
        assert not archives.has(NAME)


def test_erasing_goes_on_where_it_ended(root):
    workspace = root / "slot_1-workspace"
    for number in range(50):
        (workspace / str(number)).touch()
    assert not trees.erase(workspace, time.monotonic() - 1)
    assert trees.erase(workspace, time.monotonic() + 60)
    assert trees.erase(workspace, time.monotonic() + 60)


def test_erasing_comes_to_an_end_however_many_directories_there_are(root, monkeypatch):
    """Each time as much as fits is gone for good, directories too."""
    workspace = root / "slot_1-workspace"
    for path in [f"{a}/{b}/{c}" for a in "abcde" for b in "abcde" for c in "abcde"]:
        (workspace / path).mkdir(parents=True)
        (workspace / path / "file").touch()
    looks = itertools.count()
    monkeypatch.setattr(trees, "time", SimpleNamespace(monotonic=lambda: next(looks)))
    ends = [trees.erase(workspace, next(looks) + 60) for _ in range(12)]
    assert not ends[0]
    assert ends[-1]
    assert not workspace.exists()


def test_a_restore_is_whole_or_not_there_and_happens_once(root, handler):
    workspace = root / "slot_1-workspace"
    (workspace / "file").write_text("saved")
    handler(save="slot_1", object=NAME)
    with pytest.raises(KeyError):
        handler(restore="slot_2", object="archives/wrkspc_1/sesn_1/none")
    assert handler(look="slot_2") == {"is_restored": False}
    handler(restore="slot_2", object=NAME)
    assert handler(look="slot_2") == {"is_restored": True}
    (root / "slot_2-workspace" / "file").write_text("changed since")
    handler(restore="slot_2", object=NAME)
    assert (root / "slot_2-workspace" / "file").read_text() == "changed since"
    assert handler(list=True) == {"slots": ["slot_1", "slot_2"]}


def test_a_name_that_is_no_slot_s_reaches_nothing(handler):
    for name in ("../etc", "a/b", ""):
        with pytest.raises(ValueError, match="slot"):
            handler(erase=name)
