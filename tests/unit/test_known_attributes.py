"""Items that a later release has written: during a deployment old and new functions share them."""

from __future__ import annotations

from contextlib import closing

import pytest

from freehold import keys
from freehold.adapters.fargate_sandbox.egress_proxy import Proxies, Proxy
from freehold.adapters.fargate_sandbox.slot import Place as SandboxPlace
from freehold.adapters.fargate_sandbox.slot import Slot
from freehold.adapters.fargate_sandbox.slots import Slots
from freehold.adapters.sqlite import SqliteRecords
from freehold.domain.entry import Place
from freehold.domain.session import Claim, Head, Pending, SessionState, Use
from freehold.ids import now
from freehold.ports import Write

LATER = {"of_a_later_release": {"x": [1]}}
SESSION = keys.SessionKey("wrkspc_1", "sesn_1")
HEAD = Head(
    "sthr_1",
    None,
    "agent",
    "2026-01-01T00:00:00Z",
    pending=(Pending("sevt_1", "user.message", 3),),
    uses=(Use("sevt_2", 4, "bash", "allow"),),
    begins=Place(2, 1),
)


@pytest.fixture
def records(tmp_path):
    with closing(SqliteRecords(tmp_path / "freehold.db")) as opened:
        yield opened


@pytest.mark.parametrize(
    "kept", [HEAD, SessionState("sthr_1", asked=("web",)), Claim("run", 1, 0, 2, "2026")]
)
def test_what_the_log_rests_on(kept):
    assert type(kept).from_item({**kept.to_item(), **LATER}) == kept


def test_what_a_head_holds():
    item = HEAD.to_item()
    item["pending"] = [{**pending, **LATER} for pending in item["pending"]]
    item["uses"] = [{**use, **LATER} for use in item["uses"]]
    item["begins"] = {**item["begins"], **LATER}
    assert Head.from_item(item) == HEAD


def test_sandboxes_on_fargate(records):
    slot, place = Slot("slot_1", state="free", due="2026"), SandboxPlace("slot_1")
    records.write(
        [
            Write(keys.slot("slot_1"), put={**slot.item(), **LATER}),
            Write(SESSION.sandbox(), put={"slot_id": "slot_1", **LATER}),
            Write(keys.egress_proxy(), put={"boot_id": "boot_1", **LATER}),
        ]
    )
    slots = Slots(records, now)
    assert slots.get("slot_1") == slot
    assert slots.place(SESSION) == place
    assert Proxies(records, now).get() == Proxy(boot_id="boot_1")
