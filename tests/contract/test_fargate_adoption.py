"""Fifty sessions want a slot at once, on a table that is contended for as DynamoDB's is."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context

import pytest

from freehold.adapters.dynamodb import DynamoRecords
from freehold.adapters.fargate_sandbox.slots import Slots
from freehold.errors import StaleRead
from freehold.ids import new_id, now
from freehold.keys import SessionKey
from freehold.ports import Write
from tests.contract.dynamodb_table import connect, create_table, opened
from tests.ministack import ministack

SLOTS, SESSIONS, PROCESSES = 50, 55, 3
FILE_SYSTEM = "fs-1"


@pytest.fixture(scope="module")
def table():
    with ministack() as endpoint:
        yield endpoint.url, create_table(endpoint.url)


def _make(slots):
    slot = slots.create([FILE_SYSTEM])
    slots.publish(slots.write(slot, access_points=("fsap-1", "fsap-2")))


def _take(slots, session):
    """The id of the session's slot, as an invocation comes to it; None where none is free."""
    while True:
        place = slots.place(session)
        if place is not None and place.slot_id:
            return place.slot_id
        try:
            slot = slots.adopt(session)
        except StaleRead:
            continue
        if slot is not None:
            return slot.slot_id
        if not slots.free():
            return None


def _take_many(url, table, sessions):
    """In a process of its own, each session twice at once."""
    slots = Slots(DynamoRecords(connect(url), table), now)
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(partial(_take, slots), [*sessions, *sessions]))


def test_of_fifty_slots_adopted_at_once_no_two_sessions_share_one(table):
    url, name = table
    with opened(url, name) as records:
        slots = Slots(records, now)
        for _ in range(SLOTS):
            _make(slots)
        sessions = [SessionKey("wrkspc_1", new_id("sesn")) for _ in range(SESSIONS)]
        for session in sessions:
            records.write([Write(session.state(), put={"running": 0})])
        parts = [sessions[n::PROCESSES] for n in range(PROCESSES)]
        with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
            answers = list(pool.map(partial(_take_many, url, name), parts))
        owners = {}
        for part, found in zip(parts, answers, strict=True):
            for session, slot_id in zip([*part, *part], found, strict=True):
                if slot_id is not None:
                    owners.setdefault(slot_id, set()).add(session)
        assert len(owners) == SLOTS
        assert all(len(sharing) == 1 for sharing in owners.values())
        assert len(set.union(*owners.values())) == SLOTS
        assert slots.free() == []
        for slot_id, (session,) in owners.items():
            slot = slots.get(slot_id)
            assert (slot.state, slot.session) == ("adopted", session)
            assert slots.place(session).slot_id == slot_id


def test_a_deleted_session_adopts_nothing(table):
    with opened(*table) as records:
        slots = Slots(records, now)
        _make(slots)
        session = SessionKey("wrkspc_1", new_id("sesn"))
        records.write([Write(session.state(), put={"dead": True})])
        with pytest.raises(StaleRead, match="deleted"):
            slots.adopt(session)
        assert len(slots.free()) == 1


def test_a_file_system_takes_so_many_and_then_the_next(table, monkeypatch):
    monkeypatch.setattr("freehold.adapters.fargate_sandbox.slots.MAX_SLOTS", 2)
    with opened(*table) as records:
        slots = Slots(records, now)
        made = [slots.create(["fs-a", "fs-b"]) for _ in range(5)]
        assert sorted(slot.file_system for slot in made[:4]) == ["fs-a", "fs-a", "fs-b", "fs-b"]
        assert made[4] is None
        slots.forget(made[0])
        assert slots.create(["fs-a", "fs-b"]).file_system == made[0].file_system
