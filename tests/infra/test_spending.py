"""List prices and the cap of a day, from the context to every function that books spending."""

from __future__ import annotations

import json

import pytest

from freehold.money import DOLLAR
from freehold.settings_aws import FUNCTIONS, SANDBOX_FUNCTIONS
from tests.infra.synthesis import synthesize

RATES = dict.fromkeys(("input", "output", "cache_read", "cache_write_5m", "cache_write_1h"), "7")
OWN = {"source": "a contract", "date": "2026-11-01", "models": {"claude-own": RATES}}
BOOKING = ("api", "run_turn", "run_tools", "reaper", "websocket")
"""They commit to sessions: each may end a request, or a running period."""


@pytest.fixture(scope="module")
def capped(assembly, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spending")
    prices = folder / "prices.json"
    prices.write_text(json.dumps(OWN, indent=4))
    layer = str(assembly.folder.parent / "layer")
    return synthesize(
        folder / "out", layer=layer, prices=str(prices), workspace_daily_cap=50, snap_start=False
    )


def settings(assembly, folder):
    given = assembly.function(folder).properties["Environment"]["Variables"]
    plain = {name: value if isinstance(value, str) else "resolved" for name, value in given.items()}
    return FUNCTIONS[folder].read(plain).settings()


@pytest.mark.parametrize("folder", BOOKING)
def test_what_the_operator_says_reaches_every_function_that_books(capped, folder):
    found = settings(capped, folder)
    assert found.workspace_daily_cap == 50 * DOLLAR
    assert found.prices.has("claude-own", None)
    assert found.prices.has("claude-opus-4-8", "fast")


@pytest.mark.parametrize("folder", BOOKING)
def test_without_a_word_the_shipped_prices_and_no_cap(assembly, folder):
    found = settings(assembly, folder)
    assert found.workspace_daily_cap is None
    assert found.prices.own is None


def test_what_books_nothing_is_told_nothing(capped):
    for folder in set(FUNCTIONS) - SANDBOX_FUNCTIONS - set(BOOKING):
        variables = capped.function(folder).properties["Environment"]["Variables"]
        assert not {"FREEHOLD_PRICES", "FREEHOLD_WORKSPACE_DAILY_CAP"} & set(variables)
