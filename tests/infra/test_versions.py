"""A deployment switches whole functions at once: versions, and the alias that everybody calls."""

from __future__ import annotations

import json

import pytest

from tests.infra.conftest import SANDBOXES
from tests.infra.synthesis import synthesize
from tests.infra.templates import flattened

CALLERS = (
    "AWS::ApiGateway::Method",
    "AWS::Events::Rule",
    "AWS::IAM::Policy",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Permission",
    "AWS::StepFunctions::StateMachine",
)


def _versions(assembly):
    """The logical id of the version that `live` points to, by function; another id is another
    version.
    """
    return {
        function.name: assembly.alias_of(function).properties["FunctionVersion"]["Fn::GetAtt"][0]
        for folder in assembly.folders
        for function in assembly.functions(folder)
    }


def test_every_function_is_called_by_its_alias(deployed):
    for folder in deployed.folders:
        assert deployed.functions(folder)
        for function in deployed.functions(folder):
            alias = deployed.alias_of(function)
            assert alias.properties["Name"] == "live"
            callers = [
                resource
                for kind in CALLERS
                for resource in deployed.all(kind)
                if resource.stack == alias.stack
                and {"Ref": alias.name} in flattened(resource.properties)
            ]
            assert callers, folder


@pytest.mark.parametrize("kind", [*CALLERS, "AWS::Lambda::Function"])
def test_nobody_calls_a_function_past_its_alias(deployed, kind):
    """Functions are told by a variable whom they call."""
    functions = [function.name for function in deployed.all("AWS::Lambda::Function")]
    for resource in deployed.all(kind):
        parts = flattened(resource.properties)
        for name in functions:
            assert {"Ref": name} not in parts, resource.name
            assert {"Fn::GetAtt": [name, "Arn"]} not in parts, resource.name


def test_no_stack_is_told_of_a_function_but_by_its_alias(deployed):
    functions = [function.name for function in deployed.all("AWS::Lambda::Function")]
    for stack in deployed.stacks:
        if stack == "Operations":
            continue  # metrics are by the function's name, whatever its version
        told = [
            output["Value"]
            for output in deployed.template(stack).get("Outputs", {}).values()
            if "Export" in output
        ]
        for name in functions:
            assert {"Fn::GetAtt": [name, "Arn"]} not in told


def test_a_version_is_published_for_another_layer_and_for_another_environment(sandboxed, tmp_path):
    """Without that the alias would stay with what the last change of our code was deployed with."""
    python = tmp_path / "layer" / "arm64" / "python"
    python.mkdir(parents=True)
    (python / "other.py").write_text("newer = True\n")
    newer = synthesize(
        tmp_path / "out", **SANDBOXES, layer=str(tmp_path / "layer"), model="scripted"
    )
    before, after = _versions(sandboxed), _versions(newer)
    assert before.keys() == after.keys()
    assert not [name for name in before if before[name] == after[name]]
    assert len(set(before.values())) == len(before) == len(sandboxed.folders) + 1


def test_a_version_that_is_replaced_is_deleted(deployed):
    """One that stays would be in the way of the next deployment of the same code after one that
    failed: Lambda publishes nothing that equals the last version.
    """
    versions = deployed.all("AWS::Lambda::Version")
    assert len(versions) == len(deployed.all("AWS::Lambda::Function"))
    assert not [v for v in versions if v.body.get("DeletionPolicy", "Delete") != "Delete"]


def test_an_execution_carries_nothing_that_a_version_could_misread(assembly):
    """It goes on with the definition it began with, and calls whatever `live` is by then."""
    definition = json.loads(
        assembly.one("AWS::StepFunctions::StateMachine").properties["DefinitionString"]
    )
    ids = {"workspace_id.$", "session_id.$", "thread_id.$", "epoch.$", "leg.$"}
    for state in definition["States"].values():
        if state["Type"] == "Task":
            given = state["Parameters"].get("release", state["Parameters"])
            assert set(given) == ids
