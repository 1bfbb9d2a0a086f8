"""What is imported when: a cold start on Lambda and a command on a laptop pay only for what they
use.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("anthropic", "boto3", "botocore", "starlette", "uvicorn", "httpx2", "websockets")
OBSERVERS = ("prometheus_client", "opentelemetry")


def _loaded(statement: str) -> set[str]:
    """The heavy packages that are loaded after `statement` ran in a fresh interpreter."""
    program = (
        f"{statement}\nimport sys\nprint(*[m for m in {HEAVY + OBSERVERS!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "functions.api.handler",
        "functions.run_tools.handler",
        "functions.reaper.handler",
        "freehold.bootstrap",
        "freehold.cli",
    ],
)
def test_no_sdk_and_no_server_is_imported(module):
    loaded = _loaded(f"import {module}")
    assert not loaded & {"anthropic", "starlette", "uvicorn", "websockets"}


def test_a_model_turn_imports_the_sdk_only_when_the_model_is_asked():
    assert "anthropic" not in _loaded("import functions.run_turn.handler, freehold.adapters.claude")


def test_the_sandbox_knows_no_cloud_and_no_model():
    assert not _loaded("import sandbox_task.routes, sandbox_task.tool_host")


@pytest.mark.parametrize(
    "module",
    [
        "functions.run_turn.handler",
        "functions.run_tools.handler",
        "functions.api.handler",
        "functions.observability",
        "functions.service.__main__",
        "freehold.local.server",
    ],
)
def test_who_is_not_asked_for_metrics_or_spans_imports_nothing_for_them(module):
    assert not _loaded(f"import {module}") & set(OBSERVERS)


def test_the_probe_sees_what_is_loaded():
    assert _loaded("import freehold.adapters.prometheus") >= {"prometheus_client"}
    assert _loaded("import freehold.adapters.otlp_spans") >= {"opentelemetry"}
    assert _loaded("import httpx2") >= {"httpx2"}
