"""Every benchmark runs and prints what its bound is held against; how fast it was is not judged
here.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from bench.report import percentile
from tests.docs.conftest import ROOT

UNTIMED = {"bench.aws_cost", "bench.cached_share"}
"""What times nothing: tests/infra/test_aws_cost.py, tests/e2e/test_aws_cost.py and
tests/contract/test_cached_share.py.
"""
PROGRAMS = re.findall(r"python -m (bench\.\w+)", (ROOT / "docs/benchmarks.md").read_text())


@pytest.mark.parametrize("program", [name for name in PROGRAMS if name not in UNTIMED])
def test_a_benchmark_prints_its_figures(program):
    done = subprocess.run(
        [sys.executable, "-m", program, "--n", "3", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["n"] == 3
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert found["p50_bound_ms"] is None or found["p50_bound_ms"] > 0
    assert found["machine"]


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100), (1, 1)])
def test_a_percentile_is_a_sample(percent, expected):
    assert percentile([float(number) for number in range(100, 0, -1)], percent) == expected
