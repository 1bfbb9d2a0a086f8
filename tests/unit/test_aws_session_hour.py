"""An hour of a session at work: counted work times prices, to the last digit."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from freehold import listeners
from freehold.adapters.table_feed import announcements, watch
from freehold.aws_cost import Counts, Functions, Hour, PriceTable, Work, control_plane, total
from freehold.aws_cost.session_hour import Reader, sandbox, shared_metrics, socket, stream
from freehold.settings import Settings

TABLE = PriceTable.shipped()
SIZES = Functions({"run_turn": 512, "run_tools": 1024, "api": 1024, "wake": 256}, "arm64")
NOTHING = Work()


def counts(turn=NOTHING, run=NOTHING):
    return Counts(counted=date(2026, 11, 21), turn=turn, run=run)


def by_name(lines):
    return {line.what: line.usd for line in lines}


def test_no_work_costs_nothing():
    assert total(control_plane(TABLE, counts(), SIZES)) == 0


def test_work_of_turns_and_of_runs_is_added_up_over_the_hour():
    found = control_plane(
        TABLE,
        counts(
            Work(transitions=4, write_units=80, requests={"s3.put": 1}),
            Work(transitions=3, read_units=10),
        ),
        SIZES,
    )
    assert {what: usd for what, usd in by_name(found).items() if usd} == {
        "Step Functions": Decimal("0.000025") * (4 * 180 + 3 * 18),
        "DynamoDB writes": Decimal("0.000000625") * 80 * 180,
        "DynamoDB reads": Decimal("0.000000125") * 10 * 18,
        "s3.put": Decimal("0.000005") * 180,
    }
    assert [line.usd for line in found] == sorted((line.usd for line in found), reverse=True)


def test_a_function_is_billed_for_what_it_waits_for_by_its_memory():
    turn = Work(invocations={"run_turn": 1, "run_tools": 1})
    hour = Hour(step_seconds={"turn": Decimal(0), "tools": Decimal(0)}, platform_log_bytes=0)
    found = by_name(control_plane(TABLE, counts(turn), SIZES, hour))
    second, request = Decimal("0.0000133334"), Decimal("0.0000002")
    assert found["Lambda run_turn, 512 MB"] == 180 * (14 * second / 2 + request)
    assert found["Lambda run_tools, 1024 MB"] == 180 * (6 * second + request)
    x86 = Functions(SIZES.megabytes, "x86_64")
    dearer = by_name(control_plane(TABLE, counts(turn), x86, hour))
    assert dearer["Lambda run_turn, 512 MB"] > found["Lambda run_turn, 512 MB"]


def test_an_invocation_that_goes_on_waits_for_the_tools_as_well():
    found = by_name(control_plane(TABLE, counts(run=Work(invocations={"run_turn": 1})), SIZES))
    seconds = 180 * (14 + 6 + Decimal("0.2") + Decimal("0.1")) + 18 * Decimal("0.2")
    second, request = Decimal("0.0000133334"), Decimal("0.0000002")
    assert found["Lambda run_turn, 512 MB"] == seconds * second / 2 + 18 * request


def test_who_waits_looks_for_interrupts():
    turn = Work(invocations={"run_turn": 1, "run_tools": 1})
    found = by_name(control_plane(TABLE, counts(turn), SIZES))
    assert found["looks for interrupts"] == Decimal("0.000000125") * 180 * 20 * 2 * 3
    assert not by_name(control_plane(TABLE, counts(), SIZES))["looks for interrupts"]


def test_the_platform_s_own_lines_are_paid_for_too():
    turn = Work(invocations={"wake": 4}, log_bytes=1000)
    found = by_name(control_plane(TABLE, counts(turn), SIZES))
    assert found["logs"] == Decimal("0.5") * 180 * (1000 + 4 * 700) / 10**9


def test_a_price_that_doubles_doubles_its_part():
    turn = Work(transitions=4)
    price = TABLE.prices["states.transition"]
    prices = {
        **TABLE.prices,
        "states.transition": price.model_copy(update={"usd": price.usd * 2}),
    }
    dear = TABLE.model_copy(update={"prices": prices})
    assert total(control_plane(dear, counts(turn), SIZES)) == 2 * total(
        control_plane(TABLE, counts(turn), SIZES)
    )


def test_readers_pay_by_how_long_the_model_speaks():
    silent = Hour(model_seconds=Decimal(0))
    assert by_name(stream(TABLE, SIZES, silent))["preview items"] == 0
    assert total(stream(TABLE, SIZES)) > total(stream(TABLE, SIZES, silent)) > Decimal("0.012")
    assert total(socket(TABLE, SIZES)) > total(socket(TABLE, SIZES, silent))


def test_a_reader_asks_at_the_pace_of_the_program():
    reader = Reader()
    assert float(reader.preview_seconds) == announcements.GATHER_SECONDS
    assert float(reader.wanted_seconds) == announcements.LOOK_SECONDS
    assert float(1 / reader.looks_a_second) == watch.BUSY_SECONDS
    assert float(reader.lease_seconds) == listeners.RENEWAL.total_seconds()
    assert float(reader.key_seconds) == Settings().ping_seconds


def test_sandboxes_and_shared_metrics_have_their_prices():
    assert sandbox(TABLE, Decimal("0.5"), Decimal(1)).usd == Decimal("0.01975")
    assert shared_metrics(TABLE, 73).usd == Decimal("0.03")


def test_sizes_are_those_of_the_templates():
    def function(handler, megabytes, architecture="arm64"):
        properties = {"Handler": handler, "MemorySize": megabytes, "Architectures": [architecture]}
        return {"Type": "AWS::Lambda::Function", "Properties": properties}

    resources = {
        "A": function("functions.api.index.handler", 1024),
        "B": function("functions/stream/run.sh", 256),
        "C": function("index.handler", 128, "x86_64"),
    }
    found = Functions.of([{"Resources": resources}, {}])
    assert found == Functions({"api": 1024, "stream": 256}, "arm64")
    with pytest.raises(ValueError, match="architecture"):
        Functions.of([{}])


def test_work_adds_up_and_multiplies_by_the_name():
    one = Work(invocations={"api": 1}, requests={"kms.request": 2}, log_bytes=5)
    other = Work(invocations={"api": 1, "wake": 1}, transitions=4)
    both = one + other.times(2)
    assert both.invocations == {"api": 3, "wake": 2}
    assert (both.transitions, both.log_bytes, both.requests) == (8, 5, {"kms.request": 2})
