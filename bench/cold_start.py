"""Start of the function `api`: its code and the clients it makes, against what it stands on.

Processor time of new processes, with bytecode. The two are started by turns, so that a machine that
slows down slows both; their bound is a ratio, so the least of each is compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from bench.report import Bounds, options, report
from freehold.settings_aws import START, ApiEnvironment

MOST_RATIO = 1.5
_STANDS_ON = """
import boto3, pydantic, aws_lambda_powertools.event_handler
for service in ("dynamodb", "s3", "kms", "stepfunctions"):
    boto3.client(service)
"""
_API = "import functions.api.index"
_REPORT = """
import json, resource
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps(used.ru_utime + used.ru_stime))
"""
_ARN = "arn:aws:service:eu-west-1:123456789012"
_ENVIRONMENT = ApiEnvironment(
    state_machine_arn=f"{_ARN}:stateMachine:Session",
    table_name="Table",
    bucket_name="blobs",
    key_arn=f"{_ARN}:key/1",
)


def measure(n: int) -> tuple[list[float], list[float]]:
    """Processor seconds of `n` starts of what it stands on, and of `n` of the function."""
    floors, starts = [], []
    with tempfile.TemporaryDirectory() as bytecode:
        for number in range(n + 1):
            floor, start = _seconds(_STANDS_ON, bytecode), _seconds(_API, bytecode)
            if number:  # the first of each has written its bytecode
                floors.append(floor)
                starts.append(start)
    return floors, starts


def _seconds(statement: str, bytecode: str) -> float:
    return float(run(f"{statement}\n{_REPORT}", _ENVIRONMENT.variables(), bytecode))


def run(program: str, variables: Mapping[str, str], bytecode: str) -> Any:
    """What a new process says, as JSON, that begins as a function does, and reaches no AWS."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={
            **environment,
            **variables,
            **START,
            "PYTHONPYCACHEPREFIX": bytecode,
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    given = options(__doc__, n=12)
    floors, starts = measure(given.n)
    bounds = Bounds(p50=round(min(floors) * MOST_RATIO * 1000, 2))
    report("start of api, processor time", starts, bounds, as_json=given.json)
    if not given.json:
        print(f"least of both: {min(starts) / min(floors):.2f} times, bound {MOST_RATIO}")


if __name__ == "__main__":
    main()
