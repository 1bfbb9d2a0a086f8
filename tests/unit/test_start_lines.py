"""What the server says of itself when it starts."""

from __future__ import annotations

import pytest

from freehold.adapters.subprocess_sandbox import Probe
from freehold.local.start_lines import start_lines
from freehold.settings import Settings


@pytest.mark.parametrize(
    ("url", "line"),
    [
        (None, "web_fetch; there is no web_search, for FREEHOLD_SEARCH_URL is not set"),
        (
            "https://search.example:8443/s?token=hidden",
            "web_fetch, and web_search by search.example:8443",
        ),
    ],
)
def test_the_start_says_which_web_tools_there_are(url, line):
    settings = Settings(search_url=url)
    said = start_lines(settings, Probe(None, ()), None, "http://127.0.0.1:1")
    assert f"web tools  {line}" in said
    assert "hidden" not in "".join(said)
