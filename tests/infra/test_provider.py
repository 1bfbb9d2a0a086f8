"""Who serves the model: what `run_turn` may do there, and that it is one of two ways at a time."""

from __future__ import annotations

import json

import pytest

from freehold import bedrock_models
from freehold.settings_aws import TurnEnvironment
from tests.infra.synthesis import synthesize
from tests.infra.templates import listed

KEY, STREAM = "secretsmanager:GetSecretValue", "bedrock:InvokeModelWithResponseStream"
PLATFORM = "aws-external-anthropic:CreateInference"
OWN = {"claude-opus-5": "global.anthropic.claude-opus-5", "claude-new": "eu.anthropic.new-v1"}
SCRIPTED = {"model": "scripted", "model_region": "eu-west-1", "snap_start": False}
BEDROCK = {"model": "bedrock", "model_ids": OWN}
PLATFORM_CONTEXT = {
    "model": "claude-platform-aws",
    "model_workspace_id": "wrkspc_01",
    "model_region": "us-west-2",
    "cache_ttl": "1h",
}
POLICY_CHARACTERS = 10_240
"""What AWS takes of the inline policies of a role."""


@pytest.fixture(scope="module")
def synthesized(assembly, tmp_path_factory):
    """The stacks for another context, each made once."""
    made = {}

    def of(**context):
        name = json.dumps(context)
        if name not in made:
            layer = str(assembly.folder.parent / "layer")
            folder = tmp_path_factory.mktemp("provider") / "out"
            made[name] = synthesize(folder, layer=layer, **context)
        return made[name]

    return of


def resolved(value, region="eu-west-1"):
    """An ARN of the template as AWS would read it."""
    known = {"AWS::Partition": "aws", "AWS::Region": region, "AWS::AccountId": "123456789012"}
    if isinstance(value, str):
        return value
    parts = value["Fn::Join"][1] if "Fn::Join" in value else [value]
    return "".join(p if isinstance(p, str) else known.get(p.get("Ref"), "x" * 60) for p in parts)


def variables(assembly):
    return assembly.function("run_turn").properties["Environment"]["Variables"]


def test_the_claude_api_is_paid_by_the_key_and_nothing_else(assembly):
    granted = assembly.permissions("run_turn")
    assert KEY in granted
    assert not {STREAM, PLATFORM} & set(granted)


def test_the_scripted_model_reads_no_key(synthesized):
    found = synthesized(**SCRIPTED)
    granted = found.permissions("run_turn")
    assert not {KEY, STREAM, PLATFORM} & set(granted)
    assert not [name for name in variables(found) if "SECRET" in name or "REGION" in name]


def test_bedrock_is_asked_for_the_mapped_models_and_the_key_cannot_be_read(synthesized):
    """The Region is not known before the deployment, so its part of the world is not either."""
    found = synthesized(**BEDROCK)
    granted = found.permissions("run_turn")
    assert not {KEY, PLATFORM, "bedrock:InvokeModel"} & set(granted)
    arns = [resolved(arn) for arn in granted[STREAM]]
    for region in ("eu-west-1", "us-east-1", "ap-south-1"):
        for name in bedrock_models.MODELS:
            profile = bedrock_models.model_id(name, region, OWN)
            assert f"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/{profile}" in arns
    for model in bedrock_models.MODELS.values():
        assert f"arn:aws:bedrock:*::foundation-model/{model}" in arns
    assert not [name for name in variables(found) if "SECRET" in name]
    assert "ModelKeySecretArn" in found.outputs("Data")


def test_models_of_the_operator_are_permitted_in_place_of_the_built_in_ones(synthesized):
    found = synthesized(**BEDROCK)
    arns = [resolved(arn) for arn in found.permissions("run_turn")[STREAM]]
    profiles = {arn.partition("inference-profile/")[2] for arn in arns}
    assert set(OWN.values()) <= profiles
    assert not {"eu.anthropic.claude-opus-5", "us.anthropic.claude-opus-5"} & profiles
    assert "arn:aws:bedrock:*::foundation-model/anthropic.new-v1" in arns
    assert json.loads(variables(found)["FREEHOLD_MODEL_IDS"]) == OWN


def test_claude_platform_is_asked_for_one_workspace_in_its_region(synthesized):
    found = synthesized(**PLATFORM_CONTEXT)
    granted = found.permissions("run_turn")
    assert not {KEY, STREAM} & set(granted)
    expected = "arn:aws:aws-external-anthropic:us-west-2:123456789012:workspace/wrkspc_01"
    assert [resolved(arn) for arn in granted[PLATFORM]] == [expected]
    assert variables(found)["FREEHOLD_MODEL_REGION"] == "us-west-2"
    assert variables(found)["FREEHOLD_CACHE_TTL"] == "1h"


@pytest.mark.parametrize("context", [BEDROCK, PLATFORM_CONTEXT], ids=lambda c: c["model"])
def test_a_provider_has_what_its_settings_require(synthesized, context):
    given = {n: resolved(value) for n, value in variables(synthesized(**context)).items()}
    settings = TurnEnvironment.read(given).settings()
    assert settings.model == context["model"]
    assert settings.cache_ttl == context.get("cache_ttl", "5m")
    assert settings.model_region == context.get("model_region", "eu-west-1")


@pytest.mark.parametrize("context", [BEDROCK, PLATFORM_CONTEXT], ids=lambda c: c["model"])
def test_the_policies_of_the_role_are_not_too_long(synthesized, context):
    found = synthesized(**context)
    role = found.function("run_turn").properties["Role"]["Fn::GetAtt"][0]
    text = [
        {**statement, "Resource": [resolved(arn) for arn in listed(statement["Resource"])]}
        for statement in found.statements(role)
    ]
    assert len(json.dumps(text, separators=(",", ":"))) < POLICY_CHARACTERS


def test_only_the_function_that_is_slow_to_start_starts_from_a_snapshot(assembly, synthesized):
    def snapped(found):
        return [
            function.properties["Handler"]
            for function in found.all("AWS::Lambda::Function")
            if function.properties.get("SnapStart") == {"ApplyOn": "PublishedVersions"}
        ]

    assert snapped(assembly) == ["functions.run_turn.index.handler"]
    assert snapped(synthesized(**SCRIPTED)) == []
