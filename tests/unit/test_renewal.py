"""The lease of a claim, renewed while a model or a tool works."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from freehold.engine.invocation import Invocation, Watch
from freehold.errors import AmbiguousWrite, StaleRead, Unavailable
from freehold.ids import now
from freehold.ports import Run
from freehold.settings import Settings


class Answers:
    """Records whose writes have these outcomes, the last one for ever."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.writes = 0
        self.is_renewed = threading.Event()

    def write(self, _writes):
        self.writes += 1
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome
        self.is_renewed.set()


def watched(records):
    """An invocation within its watch, with a heart that beats at once; and what it was told."""
    told = SimpleNamespace(lost=threading.Event())
    settings = Settings(renew_seconds=0.001, lease_seconds=45)
    log = SimpleNamespace(read=lambda *_: pytest.fail("nothing rang"))
    feed = SimpleNamespace(subscribe=lambda *_: SimpleNamespace(close=lambda: None))
    app = SimpleNamespace(settings=settings, records=records, clock=now, log=log, feed=feed)
    invocation = Invocation(app, Run("w", "s", "t", 1, 0))
    invocation.look = lambda _watch: None
    nothing = threading.Event().set
    return invocation.watched(Watch(nothing, told.lost.set, nothing)), told


@pytest.mark.parametrize(
    "trouble", [StaleRead(), AmbiguousWrite("no answer"), Unavailable("busy")], ids=repr
)
def test_a_beat_that_failed_for_another_reason_than_the_claim_is_made_up_for(trouble):
    records = Answers(trouble)
    block, told = watched(records)
    with block:
        assert records.is_renewed.wait(20)
    assert not told.lost.is_set()


def test_a_claim_that_another_invocation_holds_is_lost():
    records = Answers(StaleRead(["claim still held"]))
    block, told = watched(records)
    with block:
        assert told.lost.wait(20)
    assert records.writes == 1
