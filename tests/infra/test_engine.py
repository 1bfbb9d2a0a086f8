"""The state machine as it is deployed, and what wakes and revives its runs."""

from __future__ import annotations

import json
import re

import pytest

from freehold.adapters.dynamodb import schema
from freehold.local.asl_check import check
from freehold.local.runs import FUNCTIONS as PLACEHOLDERS
from tests.infra.synthesis import ROOT
from tests.infra.templates import flattened

FILE = ROOT / "statemachines" / "session.asl.json"
STATES = {"RunTurn": "run_turn", "RunTools": "run_tools", "Release": "reaper"}


def _definition(assembly):
    machine = assembly.one("AWS::StepFunctions::StateMachine").properties
    text = machine["DefinitionString"]
    names = machine["DefinitionSubstitutions"]
    folders = {assembly.alias(folder).name: folder for folder in STATES.values()}
    for name, value in names.items():
        text = text.replace(f"${{{name}}}", folders[value["Ref"]])
    return text


def test_every_placeholder_is_the_function_of_that_name(assembly):
    machine = assembly.one("AWS::StepFunctions::StateMachine").properties
    wanted = set(re.findall(r"\$\{(\w+)\}", FILE.read_text()))
    assert set(machine["DefinitionSubstitutions"]) == wanted == set(PLACEHOLDERS)
    text = _definition(assembly)
    assert "${" not in text
    deployed = json.loads(text)["States"]
    assert {name: deployed[name]["Resource"] for name in STATES} == STATES


def test_the_deployed_definition_is_the_one_that_the_laptop_executes(assembly):
    definition = json.loads(_definition(assembly))
    check(definition)
    local = FILE.read_text()
    for name, folder in PLACEHOLDERS.items():
        local = local.replace(f"${{{name}}}", folder)
    assert definition == json.loads(local)


def test_a_task_waits_longer_than_its_function_may_take(assembly):
    states = json.loads(FILE.read_text())["States"]
    for state, folder in STATES.items():
        timeout = assembly.function(folder).properties["Timeout"]
        assert states[state]["TimeoutSeconds"] > timeout, state


def test_the_functions_start_the_machine_that_names_them(assembly):
    name = assembly.one("AWS::StepFunctions::StateMachine").properties["StateMachineName"]
    for folder in ("api", "run_turn", "run_tools", "reaper", "wake"):
        variables = assembly.function(folder).properties["Environment"]["Variables"]
        arn = variables["FREEHOLD_STATE_MACHINE_ARN"]["Fn::Join"][1]
        assert arn[-1] == f":stateMachine:{name}"


def test_the_machine_logs_no_data_of_executions(assembly):
    logging = assembly.one("AWS::StepFunctions::StateMachine").properties["LoggingConfiguration"]
    assert logging["IncludeExecutionData"] is False


def _targets(rule):
    return [target["Arn"]["Ref"] for target in rule.properties["Targets"]]


def test_a_sweep_runs_every_minute(assembly):
    (rule,) = [r for r in assembly.all("AWS::Events::Rule") if "ScheduleExpression" in r.properties]
    assert rule.properties["ScheduleExpression"] == "rate(1 minute)"
    assert _targets(rule) == [assembly.alias("reaper").name]


def test_an_execution_that_failed_is_told_to_the_reaper(assembly):
    (rule,) = [r for r in assembly.all("AWS::Events::Rule") if "EventPattern" in r.properties]
    pattern = rule.properties["EventPattern"]
    assert pattern["source"] == ["aws.states"]
    assert pattern["detail"]["status"] == ["FAILED", "TIMED_OUT", "ABORTED"]
    machine = assembly.one("AWS::StepFunctions::StateMachine").name
    assert pattern["detail"]["stateMachineArn"] == [{"Ref": machine}]
    assert _targets(rule) == [assembly.alias("reaper").name]


def test_wake_sees_the_heads_of_busy_threads_and_reports_single_failures(assembly):
    source = assembly.consumer("wake")
    assert {"Ref": assembly.alias("wake").name} in flattened(source["FunctionName"])
    assert ":live" in flattened(source["FunctionName"])
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["BisectBatchOnFunctionError"] is True
    # What cannot be started must not hold up the shard for a day: the sweep starts it.
    assert source["MaximumRecordAgeInSeconds"] <= 600
    (only,) = source["FilterCriteria"]["Filters"]
    pattern = json.loads(only["Pattern"])
    assert pattern["eventName"] == ["INSERT", "MODIFY"]
    image = pattern["dynamodb"]["NewImage"]
    assert image == {schema.DUE_SORT_KEY: {"S": [{"prefix": "busy/"}]}}


@pytest.mark.parametrize("folder", ["run_turn", "run_tools"])
def test_the_state_machine_may_call_what_its_states_name(assembly, folder):
    machine = assembly.one("AWS::StepFunctions::StateMachine").properties
    role = machine["RoleArn"]["Fn::GetAtt"][0]
    (invoke,) = [s for s in assembly.statements(role) if s["Action"] == "lambda:InvokeFunction"]
    assert {"Ref": assembly.alias(folder).name} in invoke["Resource"]
    assert len(invoke["Resource"]) == len(STATES)
