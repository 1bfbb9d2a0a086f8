"""The web of functions that rarely use it."""

from __future__ import annotations

import os
import subprocess
import sys

from freehold.adapters.late_web import LateWeb
from freehold.adapters.web import PublicWeb


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
    environment = {**os.environ, "AWS_DEFAULT_REGION": "eu-west-1"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
