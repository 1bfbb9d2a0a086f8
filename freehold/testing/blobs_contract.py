"""What every `Blobs` must do, as a program: run each check of `CONTRACT` on a store of yours.

    @pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
    def test_contract(check, blobs):
        check(blobs, new_prefix())

A check gets a first segment that nobody used before, so all may share one store.

Not promised, and not asked: names with a segment `.` or `..`, or with one of more than 200 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from freehold.ids import new_id
from freehold.ports import Blobs

Check = Callable[[Blobs, str], None]

_WRITERS = 8
_PATIENCE = 30.0


def new_prefix() -> str:
    """The first segment of names that were never used."""
    return new_id("contract")


def a_blob_is_read_as_it_was_written(blobs: Blobs, first: str) -> None:
    written = {
        "a": b"",
        "a/b": b"1",
        "a/b/c": bytes(range(256)) * 4096,
        "ä/ 😀+%2F": b"2",
        "a\u0301": b"3",
        "x" * 200: b"4",
    }
    for name, data in written.items():
        blobs.put(f"{first}/{name}", data)
    for name, data in written.items():
        assert blobs.get(f"{first}/{name}") == data


def an_absent_blob_is_a_key_error(blobs: Blobs, first: str) -> None:
    blobs.put(f"{first}/a/b", b"")
    for name in ("x", "a", "a/b/c", "a/x", "A/b"):
        assert _fails(KeyError, lambda: blobs.get(f"{first}/{name}"))  # noqa: B023 - called here


def a_name_is_written_once(blobs: Blobs, first: str) -> None:
    """A repetition of the same bytes is no error, before it was read and after."""
    name = f"{first}/name"
    blobs.put(name, b"first")
    blobs.put(name, b"first")
    for other in (b"second", b"", b"first "):
        assert _fails(ValueError, lambda: blobs.put(name, other))  # noqa: B023 - called here
    assert blobs.get(name) == b"first"


def of_many_who_write_a_name_at_once_one_wins(blobs: Blobs, first: str) -> None:
    winners = _race(lambda n: blobs.put(f"{first}/name", bytes([n]) * 1000))
    assert len(winners) == 1
    assert blobs.get(f"{first}/name") == bytes(winners) * 1000


def many_may_write_the_same_at_once(blobs: Blobs, first: str) -> None:
    assert len(_race(lambda _: blobs.put(f"{first}/name", b"same"))) == _WRITERS
    assert blobs.get(f"{first}/name") == b"same"


def a_name_that_is_no_path_is_refused(blobs: Blobs, first: str) -> None:
    for name in ("", f"/{first}", f"{first}/", f"{first}//b", f"{first}/{'x' * 1100}"):
        assert _fails(ValueError, lambda: blobs.put(name, b"x"))  # noqa: B023 - called here


def names_that_look_alike_are_different_blobs(blobs: Blobs, first: str) -> None:
    names = [f"{first}/{name}" for name in ("a/b", "a%2Fb", "a.blob", "a", "a/b.blob", "a%2Eblob")]
    for name in names:
        blobs.put(name, name.encode())
    assert [blobs.get(name) for name in names] == [name.encode() for name in names]


def deleting_takes_exactly_what_starts_with_the_prefix(blobs: Blobs, first: str) -> None:
    names = ["w/1/a", "w/1/b/c", "w/1", "w/10/a", "w/1.x", "w/1 ä/a", "w/2", "v/1/a"]
    for name in names:
        blobs.put(f"{first}/{name}", b"x")
    blobs.delete(f"{first}/w/1/")
    assert _present(blobs, first, names) == ["w/1", "w/10/a", "w/1.x", "w/1 ä/a", "w/2", "v/1/a"]
    blobs.delete(f"{first}/w/1")
    assert _present(blobs, first, names) == ["w/2", "v/1/a"]
    for prefix in ("w/1", "nothing/here/", "w/2", "v"):
        blobs.delete(f"{first}/{prefix}")
    assert _present(blobs, first, names) == []
    blobs.put(f"{first}/w/1/a", b"again")
    assert blobs.get(f"{first}/w/1/a") == b"again"


def an_empty_prefix_deletes_nothing(blobs: Blobs, first: str) -> None:
    blobs.put(f"{first}/a", b"x")
    assert _fails(ValueError, lambda: blobs.delete(""))
    assert blobs.get(f"{first}/a") == b"x"


CONTRACT: tuple[Check, ...] = (
    a_blob_is_read_as_it_was_written,
    an_absent_blob_is_a_key_error,
    a_name_is_written_once,
    of_many_who_write_a_name_at_once_one_wins,
    many_may_write_the_same_at_once,
    a_name_that_is_no_path_is_refused,
    names_that_look_alike_are_different_blobs,
    deleting_takes_exactly_what_starts_with_the_prefix,
    an_empty_prefix_deletes_nothing,
)


def _race(write: Callable[[int], None]) -> list[int]:
    """Who of eight writers was not refused."""
    barrier = Barrier(_WRITERS)

    def one(n: int) -> bool:
        barrier.wait(_PATIENCE)
        return not _fails(ValueError, lambda: write(n))

    with ThreadPoolExecutor(_WRITERS) as pool:
        return [n for n, written in enumerate(pool.map(one, range(_WRITERS))) if written]


def _present(blobs: Blobs, first: str, names: Sequence[str]) -> list[str]:
    return [n for n in names if not _fails(KeyError, lambda: blobs.get(f"{first}/{n}"))]  # noqa: B023 - called here


def _fails(error: type[Exception], call: Callable[[], object]) -> bool:
    try:
        call()
    except error:
        return True
    return False
