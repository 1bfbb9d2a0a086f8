"""An emulated AWS account on a free port of 127.0.0.1, for tests."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pytest
from botocore.config import Config

from tests.servers import wait_for

PYTHON = Path(
    os.environ.get("MINISTACK_PYTHON")
    or Path(__file__).parents[1] / ".venv-ministack" / "bin" / "python"
)
LAUNCHER = Path(__file__).with_name("ministack_launcher.py")
ACCOUNT, REGION = "000000000000", "us-east-1"
CREDENTIALS = {"aws_access_key_id": ACCOUNT, "aws_secret_access_key": "none"}
_KEPT = ("PATH", "HOME", "LANG")


@dataclass(frozen=True)
class Endpoint:
    """Where it listens, and clients that ask nobody else."""

    url: str

    def client(self, service: str) -> Any:
        """A boto3 client that repeats nothing by itself."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            config=Config(
                proxies={},
                retries={"mode": "standard", "total_max_attempts": 1},
                s3={"addressing_style": "path"},
            ),
            **CREDENTIALS,
        )


@contextmanager
def ministack(environment: Mapping[str, str] | None = None) -> Iterator[Endpoint]:
    """A new, empty account, gone with all its files in the end. `environment` is for it and for its
    Lambda workers, which run under `LAMBDA_PYTHON` or, without that, under its own Python.
    """
    if not PYTHON.exists():
        pytest.skip("waits for .venv-ministack, which scripts/ministack_environment.sh makes")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="ministack-", ignore_cleanup_errors=True) as directory:
        given = {
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "LOG_LEVEL": "WARNING",
            "NO_PROXY": "127.0.0.1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "STATE_DIR": directory,
            "TMPDIR": directory,
            **(environment or {}),
        }
        with _process(directory, given) as process, httpx2.Client(trust_env=False) as http:
            wait_for(lambda: _answers(http, url, process, directory), seconds=30, every=0.05)
            yield Endpoint(url)


@contextmanager
def _process(directory: str, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (Path(directory) / "log").open("wb") as output:
        process = subprocess.Popen(
            [str(PYTHON), "-P", str(LAUNCHER)],  # beside it lies a module `ministack`
            cwd=directory,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(
    http: httpx2.Client, url: str, process: subprocess.Popen[bytes], directory: str
) -> bool:
    assert process.poll() is None, (Path(directory) / "log").read_text()
    try:
        return http.get(f"{url}/_ministack/health").status_code == 200
    except httpx2.TransportError:
        return False
