"""Counts the work of turns on an emulated deployment, as tests/e2e deploys it.

Two runs of one session differ by their turns alone, so the difference of their counts is the work
of those turns; a run without any is what a run adds. Every turn is the same: thinking, 2 KB of
text, three calls with 1.5 KB of input and 2 KB of result; with its two spans, ten events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench.dynamodb_units import Table, read_units
from freehold.aws_cost import Counts, Work
from tests.contract.test_sdk import script
from tests.e2e.metered_account import MeteredAccount, metered_account
from tests.e2e.test_session import bash, begin
from tests.servers import wait_for

SHORT, LONG = 1, 5
"""Turns of the two runs, before the reply that ends each."""
_CALLS = 3
"""Of each turn."""
_MESSAGE = 80_000
"""Bytes of the message in both: the script that tells the model what to say is in it."""
_PATIENCE = 240
"""Seconds; on a machine with nothing else to do a run takes few."""
_PRICES = {
    ("s3", "PutObject"): "s3.put",
    ("s3", "GetObject"): "s3.get",
    ("s3", "HeadObject"): "s3.get",
    ("s3", "ListObjectsV2"): "s3.put",
    ("secretsmanager", "GetSecretValue"): "secrets_manager.request",
}


def count(directory: Path, today: date) -> Counts:
    """Takes about a minute."""
    directory.mkdir(exist_ok=True)
    with metered_account(directory) as account:
        client = account.client()
        session = begin(client)
        table = Table()
        _run(account, client, session.id, 1, table)  # starts the workers, fills what they keep
        short, long = (
            _run(account, client, session.id, turns, table, size=_MESSAGE)
            for turns in (SHORT, LONG)
        )
        run = _run(account, client, session.id, 0, table)
        events = client.beta.sessions.events.list(session.id)
        rounds_made = Counter(event.type for event in events)["agent.tool_result"] / _CALLS
        assert rounds_made == 1 + SHORT + LONG, rounds_made
    turn = (long + short.times(-1)).times(Decimal(1) / (LONG - SHORT))
    return Counts(counted=today, turn=turn, run=run)


def rounds(turns: int) -> list[dict[str, Any]]:
    """A script of so many turns, and the reply that ends them."""
    padding = "# " + "x" * 1500
    calls = [bash(f"yes | head -c 2000 {padding}")] * _CALLS
    return [{"think": "t" * 500, "say": "s" * 2000, "tools": calls}] * turns + [{"say": "Done."}]


def _run(
    account: MeteredAccount,
    client: Any,
    session_id: str,
    turns: int,
    table: Table,
    *,
    size: int = 2000,
) -> Work:
    """The work of one run. Nobody asks the API how far it is: that would be work. `size`: of the
    message that begins it, at least.
    """
    seen, known = len(account.lines()), set(account.executions())
    message = script(*rounds(turns))
    filler = "x" * max(1, size - len(message["content"][0]["text"]))
    message["content"].insert(0, {"type": "text", "text": filler})  # the script is looked for last
    client.beta.sessions.events.send(session_id, events=[message])

    def ended() -> str | None:
        new = sorted(set(account.executions()) - known)
        return new[0] if new and account.has_succeeded(new[0]) else None

    execution = wait_for(ended, seconds=_PATIENCE, every=0.2)
    lines = account.lines()[seen:]
    states = len(account.entered(execution))
    return work_of([line for line in lines if line["function"] != "wake"], states, table)


def work_of(lines: Sequence[Mapping[str, Any]], states: int, table: Table) -> Work:
    """From the lines of the meter, but for those of `wake`, whose invocations the emulator bundles
    as it likes: each write of a busy head is taken for one, the most there can be.

    A workflow pays for each state it enters and for its start.
    """
    invocations: Counter[str] = Counter()
    requests: Counter[str] = Counter()
    reads = writes = Decimal(0)
    for line in lines:
        if "invocation" in line:
            invocations[line["function"]] += 1
        elif "writes" in line:
            applied = line["status"] == 200
            writes += table.write_units(line["writes"], applied=applied)
            invocations["wake"] += applied and any(_wakes(write) for write in line["writes"])
        elif "read" in line:
            reads += read_units(line["read"]["items"], consistent=line["read"]["consistent"])
        else:
            requests[_price(line)] += 1
    requests["api_gateway.rest_request"] = invocations["api"]
    # One for a request, one for an execution with its functions.
    requests["xray.trace"] = invocations["api"] + 1
    del requests[""]
    return Work(
        transitions=Decimal(states + 1),
        invocations={name: Decimal(n) for name, n in sorted(invocations.items())},
        read_units=reads,
        write_units=writes,
        log_bytes=Decimal(_log_bytes(lines, invocations["wake"])),
        requests={name: Decimal(n) for name, n in sorted(requests.items())},
    )


def _log_bytes(lines: Sequence[Mapping[str, Any]], wakes: int) -> int:
    """`wake` writes what any other does."""
    sizes: list[int] = [line["log_bytes"] for line in lines if "invocation" in line]
    return sum(sizes) + wakes * max(sizes, default=0)


def _wakes(write: Mapping[str, Any]) -> bool:
    return write["kind"] in {"Put", "Update"} and str(write["due"]).startswith("busy/")


def _price(line: Mapping[str, Any]) -> str:
    """The name of a request's price; empty where it has none. A process asks KMS once in its life,
    which is no work of a turn.
    """
    return _PRICES.get((line["service"], line["operation"]), "")
