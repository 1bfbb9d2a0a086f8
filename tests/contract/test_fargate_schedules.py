"""Slots under random schedules of work, rest, deaths and crashes: nothing is shared, and in the end
nothing is left over.
"""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import timedelta

import pytest

from freehold import keys
from freehold.errors import AmbiguousWrite, SandboxLost, SandboxStarting, StaleRead, Unavailable
from tests.clocks import Clock
from tests.fargate import DISPATCH, installation
from tests.fargate_account import FILE_SYSTEM, Refused

IDLE, DAY = timedelta(minutes=16), timedelta(days=1)


class Crash(Exception):
    """The process is gone."""


class Fate:
    """Kills the process before or after a call of the store or of AWS, now and then."""

    def __init__(self, chance):
        self._chance = chance
        self.is_on = True

    def strikes(self):
        return self.is_on and self._chance.random() < 0.04

    def wrap(self, call):
        def called(*given, **named):
            if self.strikes():
                raise Crash
            answer = call(*given, **named)
            if self.strikes():
                raise Crash
            return answer

        return called


QUIET = (Crash, SandboxLost, SandboxStarting, StaleRead, AmbiguousWrite, Unavailable, Refused)


@pytest.mark.parametrize("seed", range(20))
def test_after_any_schedule_of_crashes_nothing_is_left_over(tmp_path, seed):
    """Sessions come, work, rest for months and are deleted; tasks die, answers are lost, processes
    are killed between any two calls. In the end all sessions are deleted and time passes.
    """
    chance, clock = random.Random(seed), Clock()
    with installation(tmp_path / "aws", clock=clock, started=chance.randrange(2)) as installed:
        account, fate = installed.account, Fate(chance)
        account.has_processes = False
        account.looks_until_stopped = 2
        account.functions[DISPATCH] = account.listening
        account.answer = fate.wrap(account.answer)
        installed.records.write = fate.wrap(installed.records.write)
        living, deleted = [], []
        for _ in range(60):
            with suppress(*QUIET):
                _happens(chance, clock, installed, living, deleted)
            assert_nobody_shares(installed)
        fate.is_on = False
        account.refuse.clear()
        account.lose.clear()
        for ref, key in [*living, *deleted]:
            installed.delete(ref, key)
        object.__setattr__(installed.blueprint, "started", 0)
        for _ in range(12):
            clock.ahead += timedelta(minutes=30)
            installed.tick()
            installed.inventory.compare()
        assert_only_the_pool_is_left(installed)


def _happens(chance, clock, installed, living, deleted):
    """One thing."""
    what = chance.randrange(10)
    sandboxes = installed.sandboxes()
    if what == 0 or not living:
        living.append(installed.session())
    elif what <= 3:
        sandboxes.boot(chance.choice(living)[0])
    elif what == 4:
        ref, key = living.pop(chance.randrange(len(living)))
        deleted.append((ref, key))
        installed.delete(ref, key)
    elif what == 5 and installed.account.running():
        chance.choice(installed.account.running()).end()
    elif what == 6:
        clock.ahead += chance.choice([timedelta(minutes=2), IDLE, 31 * DAY])
        installed.tick()
        clock.ahead += timedelta(minutes=1)
        installed.tick()
    elif what == 7:
        installed.account.lose.append(chance.choice(["RunTask", "CreateAccessPoint", "StopTask"]))
    elif what == 8:
        installed.inventory.compare()
    else:
        installed.tick()


def assert_nobody_shares(installed):
    """A slot has one session, and at most one task that runs on its files."""
    running = [task.slot_id for task in installed.account.running()]
    assert len(running) == len(set(running))
    owners = [slot.session for slot in installed.world.slots.all().values() if slot.session]
    leaving = [
        slot.session for slot in installed.world.slots.all().values() if slot.state == "leaving"
    ]
    assert len(owners) == len(set(owners)) or leaving


def assert_only_the_pool_is_left(installed):
    account, slots = installed.account, installed.world.slots
    known = slots.all()
    assert {slot.state for slot in known.values()} <= {"free"}
    assert len(known) == len(slots.free()) >= installed.blueprint.pool
    assert set(account.families) == {f"Freehold-{slot_id}" for slot_id in known}
    assert set(account.access_points) == {p for s in known.values() for p in s.access_points}
    tasks = {slot.task for slot in known.values() if slot.task}
    assert {task.arn for task in account.running()} <= tasks
    files = {path.name.rpartition("-")[0] for path in account.files().iterdir()}
    assert files <= set(known)
    assert list(installed.world.archives.names()) == []
    (count,) = installed.records.get([keys.file_system(FILE_SYSTEM)])
    assert count["slots"] == len(known)
