"""Writers that race: threads on one store, and processes that each open it."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager

from freehold.errors import StaleRead
from freehold.keys import Key
from freehold.ports import Condition, Records, Write

Opener = Callable[[], AbstractContextManager[Records]]
_PATIENCE_SECONDS = 60.0


def racing_threads_lose_nothing(records: Records, pk: str) -> None:
    """Increments conditional on what was read, and unconditional ones beside them."""
    threads, rounds = 8, 15
    read, blind = Key(pk, "read"), Key(pk, "blind")
    failures: list[BaseException] = []

    def count() -> None:
        done = 0
        while done < rounds:
            (item,) = records.get([read])
            before = item["n"] if item else None
            assert before is None or isinstance(before, int)
            unchanged = (Condition("n", "==", before),)
            try:
                records.write(
                    [
                        Write(read, set={"n": (before or 0) + 1}, conditions=unchanged),
                        Write(blind, add={"n": 1}),
                    ]
                )
            except StaleRead:
                continue
            done += 1

    def work() -> None:
        try:
            count()
        except BaseException as error:  # noqa: BLE001 - raised again on the checking thread
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert records.get([read, blind]) == [{"n": threads * rounds}, {"n": threads * rounds}]


def racing_processes_lose_nothing(
    opener: Opener, pk: str, *, processes: int = 3, rounds: int = 30
) -> None:
    """Each process moves one counter by conditional increments and logs each in its transaction.

    No increment is lost or made twice, the log has no gap, and every entry names the process that
    was told of it. Whoever reads meanwhile never sees the counter ahead of the log or behind it.
    `opener` is called in each process, so it can be pickled.
    """
    context = multiprocessing.get_context("spawn")
    with opener() as records, ProcessPoolExecutor(processes, mp_context=context) as pool:
        records.write([Write(Key(pk, "counter"), put={"n": 0})])
        racers = [pool.submit(_race, opener, pk, n, processes, rounds) for n in range(processes)]
        while not all(racer.done() for racer in racers):
            _check_whole(records, pk)
        told = {number: n for n, racer in enumerate(racers) for number in _numbers(racer)}
        assert len(told) == processes * rounds
        assert records.get([Key(pk, "counter")]) == [{"n": processes * rounds}]
        log = records.query(pk, prefix="log/", limit=processes * rounds + 1).items
        assert [item for _, item in log] == [
            {"n": n + 1, "by": told[n + 1]} for n in range(processes * rounds)
        ]


def _numbers(racer: Future[list[int]]) -> list[int]:
    return racer.result(timeout=_PATIENCE_SECONDS)


def _check_whole(records: Records, pk: str) -> None:
    """Counter and log change together: what is read later is never older."""
    before = _counter(records, pk)
    newest = records.query(pk, prefix="log/", reverse=True, limit=1).items
    logged = int(newest[0][0].sk.removeprefix("log/")) if newest else 0
    assert before <= logged <= _counter(records, pk)


def _counter(records: Records, pk: str) -> int:
    (item,) = records.get([Key(pk, "counter")])
    assert item is not None
    number = item["n"]
    assert isinstance(number, int)
    return number


def _race(opener: Opener, pk: str, me: int, processes: int, rounds: int) -> list[int]:
    """The numbers whose increments this process was told are committed."""
    told: list[int] = []
    with opener() as records:
        _wait_for_all(records, pk, me, processes)
        while len(told) < rounds:
            number = _counter(records, pk) + 1
            unchanged = (Condition("n", "==", number - 1),)
            free = (Condition("", "absent"),)
            entry = Write(
                Key(pk, f"log/{number:06d}"), put={"n": number, "by": me}, conditions=free
            )
            try:
                counter = Write(Key(pk, "counter"), add={"n": 1}, conditions=unchanged)
                records.write([counter, entry])
            except StaleRead:
                continue
            told.append(number)
    return told


def _wait_for_all(records: Records, pk: str, me: int, processes: int) -> None:
    """A process takes longer to start than to finish: without this they would not meet."""
    records.write([Write(Key(pk, f"ready/{me}"), put={})])
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while len(records.query(pk, prefix="ready/").items) < processes:
        assert time.monotonic() < deadline, "not every process came to the start"
        time.sleep(0.01)
