"""A deployed program as a child process: its code from the assets, its environment from the
deployed function, its calls on the emulated account. Lambda, the web adapter and API Gateway's
streaming are what the emulator cannot do; `tests/infra/test_stream.py` has their half.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx2

from tests.e2e.deployment import ACCOUNT, REGION
from tests.servers import wait_for

WORKER = Path(__file__).parent / "worker"


@contextmanager
def stream_program(account, **overrides):
    """`functions/stream/run.sh` as deployed; answers `account` at its address. `overrides` are
    fields of its environment.
    """
    deployment = account.deployment
    name = deployment.function_name("stream")
    found = deployment.clients("lambda").get_function_configuration(FunctionName=name)
    (key,) = {
        f.properties["Code"]["S3Key"] for f in deployment.assembly.all("AWS::Lambda::Function")
    }
    code = deployment.assembly.folder / f"asset.{key.removesuffix('.zip')}"
    given = {f"FREEHOLD_{field.upper()}": str(value) for field, value in overrides.items()}
    variables = {**found["Environment"]["Variables"], **given, "LAMBDA_TASK_ROOT": str(code)}
    with running(account, [str(code / found["Handler"])], "stream", variables) as served:
        yield served


@contextmanager
def service_program(account, directory):
    """The stream service: its program as the first container leaves it in `directory`, started as
    the second one would be. Neither load balancer nor tasks are emulated.
    """
    deployment = account.deployment
    assembly = replace(deployment.assembly, stacks=("StreamService",))
    task = assembly.one("AWS::ECS::TaskDefinition").properties
    containers = {c["Name"]: c for c in task["ContainerDefinitions"]}
    fetch, service = containers["Fetch"], containers["Service"]
    _fetch(account, fetch, directory)
    name = deployment.function_name("api")
    known = deployment.clients("lambda").get_function_configuration(FunctionName=name)
    variables = {
        v["Name"]: v["Value"] if isinstance(v["Value"], str) else None
        for v in service["Environment"]
    }
    for variable, value in known["Environment"]["Variables"].items():
        assert variables[variable] in {None, value}  # the same, resolved by the emulator
        variables[variable] = value
    variables["PYTHONPATH"] = variables["PYTHONPATH"].replace("/program", str(directory))
    with running(account, service["EntryPoint"], "service", variables) as served:
        yield served


def _fetch(account, container, directory):
    places = [
        "".join(part if isinstance(part, str) else _bucket() for part in place["Fn::Join"][1])
        for place in container["Command"]
    ]
    command = [*container["EntryPoint"], *(p.replace("/program", str(directory)) for p in places)]
    subprocess.run(
        [sys.executable, *command[1:]],
        env={**os.environ, **aws_variables(account.deployment.url)},
        check=True,
        timeout=60,
    )


def _bucket():
    return f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"


@contextmanager
def running(account, command, program, variables):
    """A program that listens where `AWS_LWA_PORT` or `FREEHOLD_PORT` says, until it is stopped."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **variables,
        **{name: str(port) for name in ("AWS_LWA_PORT", "FREEHOLD_PORT") if name in variables},
        **aws_variables(account.deployment.url),
        "E2E_DIRECTORY": str(account.directory),
        "E2E_PROGRAM": program,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": f"{WORKER}:{variables.get('PYTHONPATH', '')}",
    }
    log = account.directory / f"{program}-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd="/"
        )
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx2.Client(trust_env=False, timeout=60) as http:
            wait_for(lambda: _answers(http, url, process, log), seconds=30, every=0.05)
            yield replace(account, url=url, http=http)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log.read_text()
        assert "Traceback" not in log.read_text(), log.read_text()


def aws_variables(url):
    """Of a process that uses the emulated account."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": REGION,
        "NO_PROXY": "127.0.0.1",
    }


def _answers(http, url, process, log):
    assert process.poll() is None, log.read_text()
    try:
        return http.get(f"{url}/healthz").status_code == 200
    except httpx2.TransportError:
        return False
