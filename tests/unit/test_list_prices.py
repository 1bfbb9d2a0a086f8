"""Prices: exact, strict, dated; what an operator says goes first."""

from __future__ import annotations

import json
import os
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from freehold.list_prices import ListPrices, own_prices, shipped_prices
from freehold.money import CENT, DOLLAR, whole_cents
from freehold.ports import Usage
from freehold.settings import Settings, explain

PRICES = shipped_prices()
RATES = {
    "input": "1.25",
    "output": "10",
    "cache_read": "0.125",
    "cache_write_5m": "0.000001",
    "cache_write_1h": "2",
}
OWN = {"source": "a contract", "date": "2026-11-01"}


def usage(model: str, **tokens) -> Usage:
    return Usage(model=model, **tokens)


@pytest.mark.parametrize(
    ("spent", "dollars"),
    [
        (usage("claude-opus-4-8", input_tokens=1_000_000), "5"),
        (usage("claude-opus-4-8", output_tokens=1_000_000), "25"),
        (usage("claude-opus-4-8", cache_read_input_tokens=1_000_000), "0.5"),
        (usage("claude-opus-4-8", cache_creation_5m=1_000_000), "6.25"),
        (usage("claude-opus-4-8", cache_creation_1h=1_000_000), "10"),
        (usage("claude-opus-4-8", input_tokens=1_000_000, speed="fast"), "10"),
        (usage("claude-fable-5-1", cache_read_input_tokens=1_000_000), "0.25"),
        (usage("claude-haiku-5-5", input_tokens=100_000), "0.01"),
        (usage("claude-haiku-5-5", input_tokens=100_001), "0.0500005"),
        (usage("claude-haiku-5-5", input_tokens=1, cache_creation_1h=100_000), "0.1000005"),
        (usage("claude-haiku-5-5", output_tokens=200_000), "0.1"),
    ],
    ids=str,
)
def test_a_request_costs_what_the_list_says(spent, dollars):
    assert PRICES.cost_of(spent) == Decimal(dollars) * DOLLAR


def test_searches_and_running_time_have_the_documented_prices():
    assert PRICES.search_cost == CENT  # $10 a thousand
    assert PRICES.time_rate * 3_600_000_000 == 8 * CENT


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5"),
        ("global.anthropic.claude-opus-4-8", "claude-opus-4-8"),
        ("anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-5",
            "claude-sonnet-5",
        ),
    ],
)
def test_a_model_has_its_price_under_every_name(name, same):
    assert PRICES.model(name) == PRICES.models[same]


@pytest.mark.parametrize(
    ("model", "speed"),
    [("claude-opus-99", ""), ("claude-sonnet-5", "fast"), ("claude-opus-4-8", "warp"), ("", "")],
)
def test_what_nobody_listed_has_no_price(model, speed):
    assert PRICES.cost_of(Usage(input_tokens=1, model=model, speed=speed)) is None
    assert not PRICES.has(model, speed)


decimals = st.decimals(0, 1000, places=6).map(lambda d: format(d, "f"))
tokens = st.integers(0, 10**8)


@given(decimals, decimals, tokens, tokens)
def test_no_price_is_rounded(read, written, cached, out):
    own = own_prices(
        json.dumps({**OWN, "models": {"m": {**RATES, "cache_read": read, "output": written}}})
    )
    spent = usage("m", cache_read_input_tokens=cached, output_tokens=out)
    exact = (Fraction(read) * cached + Fraction(written) * out) / 10**6
    assert PRICES.with_own(own).cost_of(spent) == exact * DOLLAR


@given(st.integers(0, 10**15))
def test_cents_are_the_nearest(amount):
    assert abs(Fraction(amount, CENT) - whole_cents(amount)) <= Fraction(1, 2)


def test_half_a_cent_is_a_cent():
    assert [whole_cents(n) for n in (CENT // 2 - 1, CENT // 2, CENT)] == [0, 1, 1]


def test_an_operators_models_replace_and_add_and_the_rest_stays(tmp_path):
    file = tmp_path / "prices.json"
    own = {**OWN, "models": {"claude-opus-99": RATES}, "session_hour": "0"}
    file.write_text(json.dumps(own))
    prices = Settings.from_environment({"FREEHOLD_PRICES": os.fspath(file)}).prices
    assert prices.model("claude-opus-99").input == Decimal("1.25")
    assert prices.model("claude-opus-4-8") == PRICES.model("claude-opus-4-8")
    assert (prices.time_rate, prices.search_cost) == (0, PRICES.search_cost)
    assert (prices.date, prices.own.date) == (PRICES.date, date(2026, 11, 1))


def changed(**given) -> str:
    return json.dumps({**OWN, "models": {"m": RATES}, **given})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("[]", "valid dictionary"),
        (json.dumps({"models": {}}), "source: Field required"),
        (changed(models={"m": {**RATES, "input": 5}}), "models.m.input: must be a string"),
        (changed(models={"m": {**RATES, "input": "0.0000001"}}), "at most 6 decimals"),
        (changed(models={"m": {**RATES, "input": "-1"}}), "models.m.input"),
        (changed(models={"m": {**RATES, "input": "1e3"}}), "models.m.input"),
        (changed(models={"m": {**RATES, "batch": "1"}}), "models.m.batch: Extra inputs"),
        (changed(models={"m": {"input": "1"}}), "models.m.output: Field required"),
        (changed(models={"m": {**RATES, "fast": {}}}), "models.m.fast.input: Field required"),
        (changed(session_hour="0.081"), "session_hour: must be"),
        (changed(web_fetch="1"), "web_fetch: Extra inputs"),
        (changed(date="soon"), "date"),
        (changed(own={}), "own: Extra inputs"),
    ],
)
def test_a_table_with_a_mistake_is_refused_by_its_place(tmp_path, text, says):
    file = tmp_path / "prices.json"
    file.write_text(text)
    with pytest.raises(ValidationError) as wrong:
        Settings.from_environment({"FREEHOLD_PRICES": str(file)})
    told = explain(wrong.value)
    assert told.startswith("FREEHOLD_PRICES: ")
    assert str(file) in told
    assert says in told


def test_a_table_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ValidationError) as wrong:
        Settings.from_environment({"FREEHOLD_PRICES": str(tmp_path / "none.json")})
    assert "none.json cannot be read: No such file" in explain(wrong.value)


def test_every_shipped_price_is_complete_and_dated():
    assert isinstance(PRICES, ListPrices)
    assert PRICES.source.startswith("https://")
    for name, prices in PRICES.models.items():
        assert prices.cache_write_5m == prices.input * Decimal("1.25"), name
        assert prices.cache_write_1h == prices.input * 2, name
        assert prices.cache_read < prices.input < prices.output, name
