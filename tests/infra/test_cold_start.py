"""What a function loads before its first request (DESIGN 10); bench/cold_start.py times it."""

from __future__ import annotations

from functools import cache

import pytest

from bench.cold_start import run
from freehold.settings_aws import (
    FUNCTIONS,
    DispatchEnvironment,
    FanOutEnvironment,
    SlotsEnvironment,
    StoreEnvironment,
    TurnEnvironment,
    WorkspacesEnvironment,
)

_ARN = "arn:aws:service:eu-west-1:123456789012"
TURN = TurnEnvironment(
    state_machine_arn=f"{_ARN}:stateMachine:Session",
    table_name="Table",
    bucket_name="blobs",
    key_arn=f"{_ARN}:key/1",
    model="anthropic",
    model_key_secret_arn=f"{_ARN}:secret:ModelKey",
)
CONNECTIONS = FanOutEnvironment(
    **TURN.model_dump(include=set(StoreEnvironment.model_fields)),
    connections_url="https://api.execute-api.eu-west-1.amazonaws.com/live",
)
VARIABLES = TURN.variables() | CONNECTIONS.variables()
SANDBOXES = {
    **SlotsEnvironment(
        table_name="Table",
        key_arn=f"{_ARN}:key/1",
        sandbox_cluster_arn=f"{_ARN}:cluster/Sandboxes",
        sandbox_subnets="subnet-1",
        sandbox_security_group="sg-1",
        sandbox_dispatch_arn=f"{_ARN}:function:Dispatch",
        sandbox_bucket_name="sandboxes",
        sandbox_family_prefix="Freehold",
        sandbox_idle_minutes=15,
        sandbox_image="image",
        sandbox_cpu=512,
        sandbox_memory_mib=1024,
        sandbox_disk_gib=21,
        sandbox_architecture="arm64",
        sandbox_execution_role_arn=f"{_ARN}:role/Execution",
        sandbox_log_group="Tasks",
        sandbox_region="eu-west-1",
        sandbox_file_systems="fs-1",
        sandbox_workspaces_arns=f"{_ARN}:function:Workspaces",
        sandbox_pool=4,
        sandbox_started=0,
        sandbox_archive_days=30,
    ).variables(),
    **DispatchEnvironment(
        sandbox_bucket_name="sandboxes", sandbox_network="10.0.0.0/16"
    ).variables(),
    **WorkspacesEnvironment(sandbox_bucket_name="sandboxes", mount_path="/mnt").variables(),
}
REPORT = """
import gc, json, sys
print(json.dumps({
    "loaded": sorted(sys.modules), "frozen": gc.get_freeze_count(), "collects": gc.isenabled(),
}))
"""


@pytest.fixture(scope="module")
def bytecode(tmp_path_factory):
    """Where the modules are kept compiled; the first of a series of runs fills it."""
    return str(tmp_path_factory.mktemp("bytecode"))


@cache
def _run(statement, bytecode):
    return run(f"{statement}\n{REPORT}", {**VARIABLES, **SANDBOXES}, bytecode)


@pytest.mark.parametrize("folder", sorted(set(FUNCTIONS) - {"run_turn", "stream"}))
def test_a_function_that_asks_no_model_does_not_load_its_sdk(folder, bytecode):
    loaded = _run(f"import functions.{folder}.index", bytecode)["loaded"]
    assert f"functions.{folder}.handler" in loaded
    assert not {"anthropic", "starlette", "uvicorn", "freehold.local"} & set(loaded)


def test_a_stream_loads_its_server_and_nothing_of_the_api(bytecode):
    loaded = _run("import functions.stream.index", bytecode)["loaded"]
    assert "uvicorn" in loaded
    heavy = {"anthropic", "aws_lambda_powertools.event_handler", "freehold.local", "websockets"}
    assert not heavy & set(loaded)


@pytest.mark.parametrize("folder", sorted(set(FUNCTIONS) - {"stream"}))
def test_what_a_function_starts_with_is_never_collected_and_what_it_makes_is(folder, bytecode):
    found = _run(f"import functions.{folder}.index", bytecode)
    assert found["collects"]
    assert found["frozen"] > 10_000


def test_an_environment_says_everything_that_its_model_reads():
    assert StoreEnvironment.read(VARIABLES).table_name == "Table"
    assert TurnEnvironment.read(VARIABLES) == TURN
    assert FanOutEnvironment.read(VARIABLES) == CONNECTIONS
