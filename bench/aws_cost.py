"""What a session costs on AWS: counts the work of turns on an emulated deployment and multiplies it
with dated prices.

Counted: state transitions, invocations, read and write units from the sizes of items, bytes of
logs, requests to other services. Not counted but assumed, since an emulator's clock says nothing:
how long functions are billed for (14 s of model and 6 s of tools a turn, 180 turns an hour).
Readers are computed from how they are built (ADR 0007), not counted. What `wake` does is counted at
its most: one invocation for each commit that may call it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.aws_cost_report import as_json, as_text
from freehold.aws_cost import Counts, PriceTable, PriceTableInvalid

COUNTS = Path(__file__).parents[1] / "freehold" / "aws_cost" / "counts.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--prices", type=Path, help="a file of prices that replace the shipped ones"
    )
    parser.add_argument(
        "--shipped-counts", action="store_true", help="the counts of this version; counts nothing"
    )
    parser.add_argument(
        "--write", action="store_true", help="keep what was counted as those counts"
    )
    given = parser.parse_args()
    try:
        table = PriceTable.read(given.prices) if given.prices else PriceTable.shipped()
    except PriceTableInvalid as invalid:
        sys.exit(f"aws_cost: {invalid}")
    templates, counts = _measured(counts_too=not given.shipped_counts)
    if counts is None:
        counts = Counts.shipped()
    elif given.write:
        COUNTS.write_text(counts.model_dump_json(indent=2) + "\n")
    print(
        json.dumps(as_json(table, counts, templates))
        if given.json
        else as_text(table, counts, templates)
    )


def _measured(*, counts_too: bool) -> tuple[list[dict[str, Any]], Counts | None]:
    """The synthesized templates with the context of `cdk.json`, and the counts."""
    from bench.aws_counts import count  # noqa: PLC0415 - needs the tests' packages
    from tests.infra.synthesis import synthesize  # noqa: PLC0415 - as above
    from tests.infra.templates import STACKS  # noqa: PLC0415 - as above

    with tempfile.TemporaryDirectory(prefix="freehold-bench-") as directory:
        folder = Path(directory)
        layer = folder / "layer" / "arm64" / "python"
        layer.mkdir(parents=True)
        (layer / "nothing.py").touch()  # what is in the layer does not change a template
        assembly = synthesize(folder / "out", layer=str(folder / "layer"))
        templates = [assembly.template(stack) for stack in STACKS]
        counts = count(folder / "account", datetime.now(UTC).date()) if counts_too else None
    return templates, counts


if __name__ == "__main__":
    main()
