"""What the server says of itself when it starts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from freehold import __version__

if TYPE_CHECKING:
    from freehold.adapters.subprocess_sandbox import Probe
    from freehold.settings import Settings

_log = logging.getLogger("freehold.server")


def start_lines(
    settings: Settings,
    probe: Probe,
    secret: str | None,
    url: str,
    metrics_url: str | None = None,
) -> list[str]:
    """One fact a line, the address last: whoever waits for it has read the rest. `secret` is a key
    that was just created, which is said here and nowhere else.
    """
    lines = [
        f"Freehold {__version__}",
        f"data       {settings.data_dir.resolve()}",
        f"model      {_model(settings)}",
        f"sandbox    {_sandbox(probe)}",
        f"network    {_network(probe)}",
        f"web tools  {_web_tools(settings)}",
    ]
    if secret is not None:
        lines.append(f"API key    {secret}  (shown this once)")
    elif settings.api_key is not None:
        lines.append("API key    from FREEHOLD_API_KEY")
    if settings.otlp_endpoint is not None:
        lines.append(f"spans      {_collector(settings)}")
    if metrics_url is not None:
        lines.append(f"metrics    {metrics_url}")
    return [*lines, f"listening  {url}"]


def _model(settings: Settings) -> str:
    if settings.model == "scripted":
        return "scripted: a script that ships with Freehold answers, not Claude"
    if settings.model == "bedrock":
        return f"Claude on Amazon Bedrock in {settings.model_region}"
    if settings.model == "claude-platform-aws":
        return f"Claude Platform on AWS in {settings.model_region}"
    if settings.anthropic_api_key is None and settings.anthropic_base_url is None:
        return "anthropic, but ANTHROPIC_API_KEY is not set: every turn will fail"
    return f"anthropic at {settings.anthropic_base_url or 'the Claude API'}"


def _collector(settings: Settings) -> str:
    """Never the path or user of the URL, which may hold a key."""
    parts = urlsplit(settings.otlp_endpoint or "")
    content = ", with what was said" if settings.otel_content else ", without content"
    return f"to {parts.netloc.rpartition('@')[2]}{content}"


def _web_tools(settings: Settings) -> str:
    """Never the path or query of the endpoint, which may hold a key."""
    if settings.search_url is None and settings.model_searches:
        return "web_fetch, and web_search by the Claude API"
    if settings.search_url is None:
        return "web_fetch; there is no web_search, for FREEHOLD_SEARCH_URL is not set"
    return f"web_fetch, and web_search by {urlsplit(settings.search_url).netloc}"


def _network(probe: Probe) -> str:
    """Of the sandboxes."""
    if probe.rung is None:
        return "none, as there is no sandbox"
    if probe.rung == "none":
        return "this machine's own, whatever an environment says"
    if probe.no_network:
        return f"none in any sandbox: {probe.no_network}"
    return "what each environment grants, by a proxy: public hosts on ports 80 and 443"


def _sandbox(probe: Probe) -> str:
    if probe.rung is None:
        return f"none is usable, so tools are refused. {probe.advice}"
    if probe.rung == "none":
        return "none: tools run as this user, with its files and its network, isolated from nothing"
    return probe.rung
