"""What a directory of blobs does beyond the contract of blobs (tests/contract/test_blobs.py)."""

from __future__ import annotations

import pytest

from freehold.adapters.blobs import DirectoryBlobs


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "blobs"


@pytest.fixture
def blobs(directory):
    return DirectoryBlobs(directory)


def _files(directory):
    return [path for path in directory.rglob("*") if path.is_file()]


def test_a_blob_is_read_by_the_next_process(blobs, directory):
    blobs.put("a/b/c", bytes(range(256)))
    assert DirectoryBlobs(directory).get("a/b/c") == bytes(range(256))


def test_who_shares_a_directory_leaves_what_is_being_written(blobs, directory):
    blobs.put("a/b", b"there")
    half = directory / ".incoming" / "half"
    half.write_bytes(b"being wri")
    assert DirectoryBlobs(directory, is_shared=True).get("a/b") == b"there"
    assert half.exists()
    DirectoryBlobs(directory)
    assert not half.exists()


def test_whoever_wrote_a_name_leaves_one_file(blobs, directory):
    blobs.put("a/b", b"first")
    blobs.put("a/b", b"first")
    with pytest.raises(ValueError, match="other bytes"):
        blobs.put("a/b", b"second")
    assert len(_files(directory)) == 1


@pytest.mark.parametrize(
    "name", ["../escape", "a/../../escape", "..", ".", ".incoming/x", "a\x00b"]
)
def test_no_name_leaves_the_directory(blobs, directory, name):
    blobs.put(name, b"x")
    assert blobs.get(name) == b"x"
    (file,) = _files(directory.parent)
    assert file.is_relative_to(directory)
    assert not file.is_relative_to(directory / ".incoming")


def test_a_segment_that_is_no_file_name_is_refused(blobs):
    with pytest.raises(ValueError, match="cannot name a blob"):
        blobs.put("a/" + "x" * 300, b"x")


def test_a_deletion_leaves_no_empty_directory(blobs, directory):
    for name in ("w/1/a", "w/1/b/c", "w/1"):
        blobs.put(name, b"x")
    blobs.delete("w/1")
    assert [path.name for path in directory.iterdir()] == [".incoming"]


def test_what_a_crash_left_half_written_is_removed(blobs, directory):
    left = directory / ".incoming" / "half"
    left.write_bytes(b"the secret half")
    DirectoryBlobs(directory)
    assert not left.exists()


def test_blobs_belong_to_their_owner_alone(blobs, directory):
    blobs.put("a/b", b"x")
    for path in [directory / ".incoming", *directory.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0
