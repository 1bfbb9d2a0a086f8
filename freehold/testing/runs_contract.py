"""What every `Runs` must do, as a program: run each check of `CONTRACT` on runs of yours.

    @pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
    def test_contract(check, stage):
        check(stage)

Not promised, and not asked: for how long the name of a closed execution is remembered beyond what
its thread needs, and how soon an execution begins.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Protocol

from freehold.ids import new_id
from freehold.ports import Run, Runs

_CALLERS = 8
_PATIENCE = 30.0


class Stage(Protocol):
    """Runs whose executions stay open until they are told to close."""

    runs: Runs

    def close(self, run: Run) -> None:
        """Returns when the execution of `run` has closed."""

    def executions(self, run: Run) -> int:
        """How many of this name have begun, until `close` returned."""


Check = Callable[[Stage], None]


def new_run() -> Run:
    """One whose name nobody used before."""
    return Run(new_id("wrkspc"), new_id("sesn"), new_id("sthr"), epoch=3, leg=1)


def an_open_run_is_started_once(stage: Stage) -> None:
    run = new_run()
    assert [stage.runs.start(run) for _ in range(3)] == [True, True, True]
    stage.close(run)
    assert stage.executions(run) == 1


def a_closed_run_is_not_started_again(stage: Stage) -> None:
    run = new_run()
    assert stage.runs.start(run)
    stage.close(run)
    assert [stage.runs.start(run) for _ in range(2)] == [False, False]
    assert stage.executions(run) == 1


def another_leg_epoch_or_thread_is_another_execution(stage: Stage) -> None:
    run = new_run()
    others = [
        replace(run, leg=2),
        replace(run, epoch=4),
        replace(run, epoch=4, leg=0),
        replace(run, thread_id=new_id("sthr")),
    ]
    assert stage.runs.start(run)
    stage.close(run)
    for other in others:
        assert stage.runs.start(other)
        stage.close(other)
    assert [stage.executions(each) for each in (run, *others)] == [1] * 5


def of_many_who_start_a_run_at_once_all_are_told_so(stage: Stage) -> None:
    run, barrier = new_run(), Barrier(_CALLERS)

    def start(_: int) -> bool:
        barrier.wait(_PATIENCE)
        return stage.runs.start(run)

    with ThreadPoolExecutor(_CALLERS) as pool:
        assert all(pool.map(start, range(_CALLERS)))
    stage.close(run)
    assert stage.executions(run) == 1


CONTRACT: tuple[Check, ...] = (
    an_open_run_is_started_once,
    a_closed_run_is_not_started_again,
    another_leg_epoch_or_thread_is_another_execution,
    of_many_who_start_a_run_at_once_all_are_told_so,
)
