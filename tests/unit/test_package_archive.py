"""Installed packages as an archive, as far as it takes no supervisor: how much there may be of it.
What is hostile in one is in tests/contract/test_fargate_kept_packages.py.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile

import pytest

from freehold.toolset.packages import fingerprint
from sandbox_task import package_archive
from sandbox_task.package_archive import NotPlain, clear, pack, unpack


@pytest.fixture
def prefix(tmp_path):
    made = tmp_path / "prefix"
    (made / "pip/deep").mkdir(parents=True)
    (made / "pip/deep/module.py").write_text("x = 1\n")
    (made / "pip/ünï").symlink_to("deep/module.py")
    os.link(made / "pip/deep/module.py", made / "pip/again.py")
    return made


@pytest.fixture
def empty(tmp_path):
    made = tmp_path / "empty"
    made.mkdir()
    return made


def packed(prefix):
    into = io.BytesIO()
    pack(str(prefix), into)
    return into.getvalue()


def tree(root):
    return {
        str(path.relative_to(root)): path.read_text() if path.is_file() else None
        for path in root.rglob("*")
    }


def test_what_comes_back_is_what_was_packed_without_owners_and_special_rights(prefix, empty):
    (prefix / "pip/again.py").chmod(0o6777)
    unpack(io.BytesIO(packed(prefix)), str(empty))
    assert tree(empty) == tree(prefix)
    assert (empty / "pip/again.py").stat().st_mode & 0o7777 == 0o755
    assert (empty / "pip/ünï").is_symlink()
    clear(str(empty))
    assert tree(empty) == {}


def test_a_tree_or_archive_of_more_than_there_may_be_is_refused(prefix, empty, monkeypatch):
    archive = packed(prefix)
    monkeypatch.setattr(package_archive, "MAX_ENTRIES", 4)
    with pytest.raises(NotPlain):
        packed(prefix)
    with pytest.raises(NotPlain):
        unpack(io.BytesIO(archive), str(empty))
    clear(str(empty))
    monkeypatch.setattr(package_archive, "MAX_ENTRIES", 5)
    unpack(io.BytesIO(archive), str(empty))
    clear(str(empty))
    monkeypatch.setattr(package_archive, "MAX_UNPACKED_BYTES", 11)
    with pytest.raises(NotPlain):
        packed(prefix)
    with pytest.raises(NotPlain):
        unpack(io.BytesIO(archive), str(empty))


def test_what_follows_an_archive_counts(prefix, empty, monkeypatch):
    """A small file becomes as much as its sender likes."""
    monkeypatch.setattr(package_archive, "MAX_UNPACKED_BYTES", 1 << 20)
    monkeypatch.setattr(package_archive, "MAX_ENTRIES", 100)
    with pytest.raises(NotPlain):
        unpack(io.BytesIO(packed(prefix) + gzip.compress(bytes(4 << 20))), str(empty))


def test_a_sparse_file_is_none_of_packages(empty):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("sparse")
        member.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 29)}
        archive.addfile(member)
    with pytest.raises(NotPlain):
        unpack(io.BytesIO(gzip.compress(content.getvalue())), str(empty))


def test_a_list_has_a_fingerprint_of_its_order_and_of_where_words_end():
    lists = [
        {"pip": ("a", "b")},
        {"pip": ("b", "a")},
        {"pip": ("a b",)},
        {"gem": ("a", "b")},
        {"gem": ("a",), "pip": ("b",)},
    ]
    assert len({fingerprint(one) for one in lists}) == len(lists)
