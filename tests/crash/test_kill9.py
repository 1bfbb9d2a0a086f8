"""kill -9 of a real server, seeded, in every named phase: nothing acknowledged is lost, no effect
happens twice.

Four servers at a time: most of a round is waiting. `KILLS` is the number of kills; `KILL_SEED`
moves the seeds.
"""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.crash.victims import PHASES, Victim

KILLS = int(os.environ.get("KILLS", "200"))
SEED = int(os.environ.get("KILL_SEED", "1"))
LANES = 4


def lane(data_dir, seed):
    """Kills one server over and over; every session it ever served is checked again at the end."""
    victim = Victim(data_dir, seed)
    victim.start()
    sessions = []
    try:
        while victim.kills.total() < KILLS / LANES:
            phase = PHASES[(victim.kills.total() + seed) % len(PHASES)]
            sessions.append(victim.round(phase))
        for session in sessions:
            session.check([])
    finally:
        victim.stop()
    return victim.kills


@pytest.mark.timeout(1800)
def test_a_killed_server_loses_nothing_and_repeats_nothing(tmp_path):
    with ThreadPoolExecutor(LANES) as pool:
        runs = [pool.submit(lane, tmp_path / f"lane-{n}", SEED + n) for n in range(LANES)]
        kills = sum((run.result() for run in runs), Counter())
    print("\nkills:", dict(kills))
    assert kills.total() >= KILLS
    assert len(kills) >= 5
