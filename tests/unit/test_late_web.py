"""The web of functions that rarely use it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from freehold.adapters.late_web import LateWeb
from freehold.adapters.web import PublicWeb
from freehold.bootstrap_aws import aws
from freehold.settings_aws import StoreEnvironment, TurnEnvironment

ACCOUNT = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}


class Recorded(PublicWeb):
    """Says what it was asked for."""

    def fetch(self, url, **rest):
        return url, rest

    def search(self, query, **rest):
        return query, rest


def test_it_is_built_by_its_first_call_and_once():
    built = []

    def build():
        built.append(Recorded())
        return built[-1]

    web = LateWeb(("web_fetch",), build)
    assert web.tools == ("web_fetch",)
    assert built == []
    limits = {"permits": bool, "max_tokens": 5}
    place = {"permits": bool, "domains": ("a.example",), "location": {}, "model": "m"}
    assert web.fetch("https://a.example", **limits) == ("https://a.example", limits)
    assert web.search("a", **place) == ("a", place)
    assert len(built) == 1


def test_on_aws_it_is_what_it_says_and_loaded_late():
    code = """
import sys
from freehold import bootstrap_aws as b
assert "freehold.adapters.web" not in sys.modules
app = b.aws(b.StoreEnvironment(state_machine_arn="a", table_name="t", bucket_name="b", key_arn="k"))
app.web.fetch("https://a.example", permits=bool, max_tokens=None).close()
assert "freehold.adapters.web" in sys.modules
"""
    environment = {**os.environ, **ACCOUNT}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)


STORE = {"state_machine_arn": "a", "table_name": "t", "bucket_name": "b", "key_arn": "k"}
KEY = {"model": "anthropic", "model_key_secret_arn": "s"}
BOTH = ("web_fetch", "web_search")


@pytest.mark.parametrize(
    ("environment", "tools"),
    [
        (StoreEnvironment(**STORE), ("web_fetch",)),
        (TurnEnvironment(**STORE, model="scripted"), ("web_fetch",)),
        (TurnEnvironment(**STORE, **KEY), BOTH),
        (TurnEnvironment(**STORE, **KEY, model_base_url="https://m.example"), ("web_fetch",)),
    ],
    ids=["asks no model", "scripted", "the Claude API", "another endpoint"],
)
def test_on_aws_the_claude_api_searches_for_who_may_ask_it(monkeypatch, environment, tools):
    for name, value in ACCOUNT.items():
        monkeypatch.setenv(name, value)
    web = aws(environment).web
    assert web.tools == tools
    web.fetch("https://a.example", permits=bool, max_tokens=None).close()
    if tools == BOTH:
        place = {"permits": bool, "domains": (), "location": {}, "model": "m"}
        web.search("a", **place).close()
