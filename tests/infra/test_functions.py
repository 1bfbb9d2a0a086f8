"""What every function needs to run: its environment, its limits, a log of its own."""

from __future__ import annotations

import re

import pytest

from freehold.settings_aws import FUNCTIONS, PREFIX, START
from tests.infra.synthesis import ROOT
from tests.infra.templates import ALWAYS, handler_of

INDEXES = sorted((ROOT / "functions").glob("*/index.py"))


def test_each_entry_point_has_its_environment_in_the_settings():
    assert sorted(FUNCTIONS) == [path.parent.name for path in INDEXES]


@pytest.mark.parametrize("index", INDEXES, ids=lambda path: path.parent.name)
def test_an_entry_point_reads_the_environment_that_its_stack_provides(index):
    read = re.findall(r"(\w+)\.read\(os\.environ\)", index.read_text())
    assert read == [FUNCTIONS[index.parent.name].__name__]


def test_no_function_is_deployed_that_has_no_entry_point(assembly):
    handlers = {f.properties["Handler"] for f in assembly.all("AWS::Lambda::Function")}
    assert handlers == {handler_of(folder) for folder in ALWAYS}


@pytest.mark.parametrize("folder", ALWAYS)
def test_a_stack_provides_every_variable_that_its_function_requires(assembly, folder):
    given = assembly.function(folder).properties["Environment"]["Variables"]
    plain = {name: value if isinstance(value, str) else "resolved" for name, value in given.items()}
    FUNCTIONS[folder].read(plain)
    known = {PREFIX + field.upper() for field in FUNCTIONS[folder].model_fields}
    assert {name for name in given if not name.startswith("AWS_")} <= known | set(START)


def test_a_function_refuses_to_start_without_a_variable():
    for model in FUNCTIONS.values():
        with pytest.raises(ValueError, match=r"state_machine_arn|sandbox_"):
            model.read({})


@pytest.mark.parametrize("folder", ALWAYS)
def test_a_function_has_limits_and_a_log_that_forgets(assembly, folder):
    function = assembly.function(folder)
    assert 1 <= function.properties["Timeout"] <= 900
    assert 128 <= function.properties["MemorySize"] <= 2048
    group = function.properties["LoggingConfig"]["LogGroup"]["Ref"]
    own = [log for log in assembly.all("AWS::Logs::LogGroup") if log.name == group]
    assert [log.properties["RetentionInDays"] for log in own] == [30]
    users = [
        f.properties["Handler"]
        for f in assembly.all("AWS::Lambda::Function")
        if f.stack == function.stack and f.properties["LoggingConfig"]["LogGroup"]["Ref"] == group
    ]
    assert users == [function.properties["Handler"]]


def test_every_log_group_forgets(assembly):
    assert all(log.properties["RetentionInDays"] for log in assembly.all("AWS::Logs::LogGroup"))


@pytest.mark.parametrize("folder", ALWAYS)
def test_third_party_code_comes_from_one_layer_for_the_same_processor(assembly, folder):
    function = assembly.function(folder)
    (layer,) = [layer for layer in function.properties["Layers"] if "Ref" in layer]
    (found,) = [
        layer_
        for layer_ in assembly.all("AWS::Lambda::LayerVersion")
        if layer_.stack == function.stack and layer_.name == layer["Ref"]
    ]
    assert function.properties["Architectures"] == found.properties["CompatibleArchitectures"]
    assert [function.properties["Runtime"]] == found.properties["CompatibleRuntimes"]


def test_the_functions_share_one_code_of_nothing_but_our_packages(assembly):
    (key,) = {f.properties["Code"]["S3Key"] for f in assembly.all("AWS::Lambda::Function")}
    asset = assembly.folder / f"asset.{key.removesuffix('.zip')}"
    assert sorted(path.name for path in asset.iterdir()) == [
        "egress_proxy",
        "freehold",
        "functions",
    ]
    packed = {path.relative_to(asset) for path in asset.rglob("*") if path.is_file()}
    assert not [path for path in packed if path.suffix == ".pyc"]
    assert all((asset / "functions" / folder / "index.py").exists() for folder in FUNCTIONS)


def _pins(lock):
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


def test_the_layer_has_the_versions_that_the_tests_ran_with():
    layer, runtime = _pins("requirements-layer.lock"), _pins("requirements.lock")
    assert {"anthropic", "boto3", "pydantic", "cryptography"} <= set(layer)
    differing = {name for name in layer if name in runtime and layer[name] != runtime[name]}
    assert differing == set()
    # What Powertools' tracer stands on is used where there is a daemon to send traces to.
    assert set(layer) - set(runtime) <= {"aws-xray-sdk", "wrapt"}
