"""The figures of `python -m bench.aws_cost` for the stacks as `cdk.json` has them."""

from __future__ import annotations

import re
import subprocess
import sys
from decimal import Decimal

import pytest

from bench import aws_cost_report
from freehold.aws_cost import Counts, PriceTable
from tests.infra.synthesis import ROOT
from tests.infra.templates import STACKS


@pytest.fixture(scope="module")
def templates(assembly):
    return [assembly.template(stack) for stack in STACKS]


def test_the_parts_are_the_whole_and_every_function_that_works_has_its_size(templates):
    found = aws_cost_report.as_json(PriceTable.shipped(), Counts.shipped(), templates)
    parts = found["sections"]["control plane"]
    assert sum(Decimal(part["usd"]) for part in parts) == Decimal(found["control_plane_usd"])
    assert {"Lambda run_turn, 512 MB", "Step Functions"} <= {part["what"] for part in parts}
    assert found["monthly_floor_without_price"] == []


def test_the_figures_in_the_document_are_those_of_the_program(templates):
    """A change of a memory size, a price or a count is seen where people read of it."""
    found = aws_cost_report.as_json(PriceTable.shipped(), Counts.shipped(), templates)
    text = (ROOT / "docs/benchmarks.md").read_text()
    for name in ("control_plane_usd", "reader_usd"):
        assert f"${Decimal(found[name]).quantize(Decimal('0.0001'))}" in text, name
    parts = found["sections"]["a reader over a WebSocket"]
    socket = sum(Decimal(part["usd"]) for part in parts)
    stream = Decimal(found["reader_usd"])
    assert f"${socket:.3f} in an hour" in (ROOT / "docs/aws.md").read_text()
    assert f"${socket:.4f}" in text
    assert 1.8 < socket / stream < 2  # "nearly twice as much"
    floor = Decimal(found["monthly_floor_usd"]).quantize(Decimal("0.01"))
    assert f"${floor}" in text
    assert f"${floor}" in (ROOT / "docs/aws.md").read_text()


def test_the_text_says_what_is_counted_and_what_is_assumed(templates):
    text = aws_cost_report.as_text(PriceTable.shipped(), Counts.shipped(), templates)
    assert "assumed" in text
    assert re.search(r"state transitions +0\.00 +4\.00", text)
    assert re.search(
        r"control plane: \$0\.\d+ \(bound <= \$0\.045: (holds|missed by 0\.\d+)\)", text
    )


def test_a_wrong_file_of_prices_is_one_line(tmp_path):
    file = tmp_path / "prices.json"
    file.write_text("{}")
    done = subprocess.run(
        [sys.executable, "-m", "bench.aws_cost", "--shipped-counts", "--prices", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"aws_cost: {file}: region: Field required"]
