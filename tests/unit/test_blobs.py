from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

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


def test_a_blob_is_read_as_it_was_written_also_by_the_next_process(blobs, directory):
    for name, data in (("a", b""), ("a/b", b"1"), ("a/b/c", bytes(range(256))), ("ä/ 😀", b"2")):
        blobs.put(name, data)
        assert blobs.get(name) == data
    assert DirectoryBlobs(directory).get("a/b/c") == bytes(range(256))


def test_an_absent_blob_is_a_key_error(blobs):
    blobs.put("a/b", b"")
    for name in ("x", "a", "a/b/c", "a/x"):
        with pytest.raises(KeyError):
            blobs.get(name)


def test_a_name_is_written_once(blobs, directory):
    blobs.put("a/b", b"first")
    blobs.put("a/b", b"first")
    with pytest.raises(ValueError, match="other bytes"):
        blobs.put("a/b", b"second")
    assert blobs.get("a/b") == b"first"
    assert len(_files(directory)) == 1


def test_of_many_who_write_a_name_at_once_one_wins(blobs, directory):
    barrier = threading.Barrier(8)

    def write(n):
        barrier.wait(20)
        try:
            blobs.put("deep/er/name", bytes([n]) * 1000)
        except ValueError:
            return None
        return n

    with ThreadPoolExecutor(8) as pool:
        (winner,) = [n for n in pool.map(write, range(8)) if n is not None]
    assert blobs.get("deep/er/name") == bytes([winner]) * 1000
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


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "x" * 300])
def test_a_name_that_is_no_path_is_refused(blobs, name):
    with pytest.raises(ValueError, match="cannot name a blob"):
        blobs.put(name, b"x")


def test_names_that_differ_in_their_encoding_are_different_blobs(blobs):
    names = ["a/b", "a%2Fb", "a.blob", "a", "a/b.blob", "a%2Eblob"]
    for name in names:
        blobs.put(name, name.encode())
    assert [blobs.get(name) for name in names] == [name.encode() for name in names]


def test_deleting_takes_exactly_what_starts_with_the_prefix(blobs, directory):
    names = ["w/1/a", "w/1/b/c", "w/1", "w/10/a", "w/1.x", "w/2", "v/1/a"]
    for name in names:
        blobs.put(name, b"x")
    blobs.delete("w/1/")
    assert _present(blobs, names) == ["w/1", "w/10/a", "w/1.x", "w/2", "v/1/a"]
    blobs.delete("w/1")
    assert _present(blobs, names) == ["w/2", "v/1/a"]
    blobs.delete("w/1")
    blobs.delete("nothing/here/")
    blobs.delete("w/2")
    blobs.delete("v")
    assert _present(blobs, names) == []
    assert [path.name for path in directory.iterdir()] == [".incoming"]
    blobs.put("w/1/a", b"again")
    assert blobs.get("w/1/a") == b"again"


def _present(blobs, names):
    found = []
    for name in names:
        try:
            blobs.get(name)
        except KeyError:
            continue
        found.append(name)
    return found


def test_an_empty_prefix_deletes_nothing(blobs):
    blobs.put("a", b"x")
    with pytest.raises(ValueError, match="every blob"):
        blobs.delete("")
    assert blobs.get("a") == b"x"


def test_what_a_crash_left_half_written_is_removed(blobs, directory):
    left = directory / ".incoming" / "half"
    left.write_bytes(b"the secret half")
    DirectoryBlobs(directory)
    assert not left.exists()


def test_blobs_belong_to_their_owner_alone(blobs, directory):
    blobs.put("a/b", b"x")
    for path in [directory / ".incoming", *directory.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0
