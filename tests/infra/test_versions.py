"""A deployment switches whole functions at once: versions, and the alias that everybody calls."""

from __future__ import annotations

import json

import pytest

from freehold.settings_aws import FUNCTIONS
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


def _version(assembly, folder):
    """The logical id of the version that `live` points to; another id is another version."""
    return assembly.alias(folder).properties["FunctionVersion"]["Fn::GetAtt"][0]


def test_every_function_is_called_by_its_alias(assembly):
    for folder in FUNCTIONS:
        alias = assembly.alias(folder)
        assert alias.properties["Name"] == "live"
        callers = [
            resource
            for kind in CALLERS
            for resource in assembly.all(kind)
            if resource.stack == alias.stack
            and {"Ref": alias.name} in flattened(resource.properties)
        ]
        assert callers, folder


@pytest.mark.parametrize("kind", CALLERS)
def test_nobody_calls_a_function_past_its_alias(assembly, kind):
    functions = [assembly.function(folder).name for folder in FUNCTIONS]
    for resource in assembly.all(kind):
        parts = flattened(resource.properties)
        for name in functions:
            assert {"Ref": name} not in parts, resource.name
            assert {"Fn::GetAtt": [name, "Arn"]} not in parts, resource.name


def test_a_version_is_published_for_another_layer_and_for_another_environment(assembly, tmp_path):
    """Without that the alias would stay with what the last change of our code was deployed with."""
    python = tmp_path / "layer" / "arm64" / "python"
    python.mkdir(parents=True)
    (python / "other.py").write_text("newer = True\n")
    newer = synthesize(tmp_path / "out", layer=str(tmp_path / "layer"), model="scripted")
    for folder in FUNCTIONS:
        assert _version(newer, folder) != _version(assembly, folder), folder
    same = {_version(assembly, folder) for folder in FUNCTIONS}
    assert len(same) == len(FUNCTIONS)


def test_a_version_that_is_replaced_is_deleted(assembly):
    """One that stays would be in the way of the next deployment of the same code after one that
    failed: Lambda publishes nothing that equals the last version.
    """
    versions = assembly.all("AWS::Lambda::Version")
    assert len(versions) == len(FUNCTIONS)
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
