"""What a turn asks of AWS is what this version says it does (`freehold/aws_cost/counts.json`)."""

from __future__ import annotations

import pytest

from freehold.aws_cost import Counts
from tests.e2e.conftest import LAYER

KINDS = ("turn", "run")
pytestmark = pytest.mark.timeout(600)  # a second account is deployed, and three runs are counted


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    if not list(LAYER.glob("*")):
        pytest.skip("waits for build/layer-e2e, which scripts/e2e_environment.sh makes")
    from bench.aws_counts import count

    shipped = Counts.shipped()
    return shipped, count(tmp_path_factory.mktemp("metered"), shipped.counted)


@pytest.mark.parametrize("kind", KINDS)
def test_transitions_invocations_and_requests_are_exactly_those(counted, kind):
    shipped, found = (getattr(counts, kind) for counts in counted)
    assert found.transitions == shipped.transitions
    assert found.invocations == shipped.invocations
    assert found.requests == shipped.requests


@pytest.mark.parametrize("kind", KINDS)
def test_units_and_bytes_are_nearly_those(counted, kind):
    """Items lie near a kilobyte's end, and a line of a log has a number of varying length."""
    shipped, found = (getattr(counts, kind) for counts in counted)
    for name in ("read_units", "write_units", "log_bytes"):
        expected = float(getattr(shipped, name))
        assert float(getattr(found, name)) == pytest.approx(expected, rel=0.1), name
