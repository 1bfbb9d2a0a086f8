"""One server for all examples, started as a user starts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from freehold.cli.server_process import ServerProcess

ROOT = Path(__file__).parents[2]
KEY = "a-key-for-the-examples"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The URL of a running server with the scripted model."""
    with ServerProcess(
        tmp_path_factory.mktemp("data"),
        options=["--model", "scripted"],
        environment={"FREEHOLD_API_KEY": KEY},
    ) as process:
        yield process.url


@pytest.fixture(scope="session")
def reader(server):
    """The environment of somebody who follows the documents: a key, a server, this Python first on
    PATH.
    """
    return {
        **os.environ,
        "FREEHOLD_URL": server,
        "FREEHOLD_API_KEY": KEY,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
