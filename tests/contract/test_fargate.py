"""Sandboxes on Fargate: the contract that every rung faces, and what this adapter promises beyond
it. A task is a real supervisor in a process of its own (tests/fargate.py).
"""

from __future__ import annotations

import pytest

from freehold.testing.sandbox_calls import new_sandbox
from freehold.testing.sandbox_contract import CONTRACT
from tests.fargate import Patient, installation


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("aws")) as made:
        yield made


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_contract(check, installed):
    sandboxes = Patient(installed.sandboxes(), installed.tick)
    sandbox = new_sandbox()
    check(sandboxes, sandbox)
    sandboxes.remove(sandbox)
    installed.tick()
