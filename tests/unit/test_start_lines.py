"""What the server says of itself when it starts."""

from __future__ import annotations

import pytest

from freehold.adapters.subprocess_sandbox import Probe
from freehold.local.start_lines import start_lines
from freehold.settings import Settings


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "web_fetch; there is no web_search, for FREEHOLD_SEARCH_URL is not set"),
        ({"model": "anthropic"}, "web_fetch, and web_search by the Claude API"),
        (
            {"model": "anthropic", "anthropic_base_url": "https://models.example"},
            "web_fetch; there is no web_search, for FREEHOLD_SEARCH_URL is not set",
        ),
        (
            {"search_url": "https://search.example:8443/s?token=hidden", "model": "anthropic"},
            "web_fetch, and web_search by search.example:8443",
        ),
    ],
)
def test_the_start_says_which_web_tools_there_are(given, line):
    settings = Settings(**given)
    said = start_lines(settings, Probe(None, ()), None, "http://127.0.0.1:1")
    assert f"web tools  {line}" in said
    assert "hidden" not in "".join(said)


@pytest.mark.parametrize(
    ("probe", "line"),
    [
        (Probe("bubblewrap"), "what each environment grants, by a proxy"),
        (Probe("container", (), "it is turned off"), "none in any sandbox: it is turned off"),
        (Probe("none"), "this machine's own, whatever an environment says"),
        (Probe(None), "none, as there is no sandbox"),
    ],
)
def test_the_start_says_which_network_sandboxes_have(probe, line):
    said = start_lines(Settings(), probe, None, "http://127.0.0.1:1")
    assert [words for words in said if words.startswith(f"network    {line}")]
