"""Settings, start line, doctor and readiness of the providers of Claude on AWS."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from pydantic import SecretStr, ValidationError

from freehold.adapters.claude import Bedrock, ClaudeApi, ClaudePlatformAws, endpoint_of
from freehold.adapters.subprocess_sandbox import Probe
from freehold.cli.checks import check_model
from freehold.local.readiness import Readiness
from freehold.local.start_lines import start_lines
from freehold.settings import Settings, explain
from tests.loopback import LoopbackServer, QuietHandler

BEDROCK = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}
PLATFORM = {**BEDROCK, "ANTHROPIC_AWS_WORKSPACE_ID": "wrkspc_01"}


def settings(environment, model):
    return Settings.from_environment(environment, model=model)


def wrong(environment, model):
    with pytest.raises(ValidationError) as raised:
        settings(environment, model)
    return explain(raised.value)


# ---------------------------------------------------------------- settings
def test_a_provider_on_aws_is_never_chosen_by_itself():
    assert Settings.from_environment({**PLATFORM, "AWS_ACCESS_KEY_ID": "x"}).model == "scripted"


def test_the_region_of_the_model_may_be_another_than_that_of_the_process():
    assert settings(BEDROCK, "bedrock").model_region == "eu-west-1"
    other = {**BEDROCK, "FREEHOLD_MODEL_REGION": "us-west-2"}
    assert settings(other, "bedrock").model_region == "us-west-2"


def test_each_provider_has_the_url_and_the_key_that_the_sdk_names_for_it():
    everything = {
        **PLATFORM,
        "ANTHROPIC_BASE_URL": "https://one.example",
        "ANTHROPIC_BEDROCK_BASE_URL": "https://two.example",
        "ANTHROPIC_AWS_BASE_URL": "https://three.example",
        "AWS_BEARER_TOKEN_BEDROCK": "bedrock-key",
        "ANTHROPIC_AWS_API_KEY": "platform-key",
        "ANTHROPIC_API_KEY": "sk-1",
        "FREEHOLD_MODEL_IDS": '{"claude-x": "global.anthropic.claude-x"}',
    }
    found = {m: settings(everything, m) for m in ("anthropic", "bedrock", "claude-platform-aws")}
    assert endpoint_of(found["anthropic"], SecretStr("sk-1")) == ClaudeApi(
        SecretStr("sk-1"), "https://one.example"
    )
    assert endpoint_of(found["bedrock"], None) == Bedrock(
        "eu-west-1",
        "https://two.example",
        {"claude-x": "global.anthropic.claude-x"},
        SecretStr("bedrock-key"),
    )
    assert endpoint_of(found["claude-platform-aws"], None) == ClaudePlatformAws(
        "eu-west-1", "wrkspc_01", "https://three.example", SecretStr("platform-key")
    )
    for one in found.values():
        assert not [key for key in ("sk-1", "bedrock-key", "platform-key") if key in str(one)]


@pytest.mark.parametrize(
    ("environment", "model", "words"),
    [
        ({}, "bedrock", "set AWS_REGION"),
        ({"AWS_REGION": "x.evil.example/"}, "bedrock", "AWS_REGION"),
        (BEDROCK, "claude-platform-aws", "ANTHROPIC_AWS_WORKSPACE_ID"),
        (PLATFORM | {"ANTHROPIC_AWS_WORKSPACE_ID": "a b"}, "claude-platform-aws", "WORKSPACE_ID"),
        (BEDROCK | {"FREEHOLD_MODEL_IDS": "claude-x"}, "bedrock", "FREEHOLD_MODEL_IDS"),
        (BEDROCK | {"FREEHOLD_MODEL_IDS": '{"a": 1}'}, "bedrock", "FREEHOLD_MODEL_IDS"),
        (BEDROCK | {"AWS_BEARER_TOKEN_BEDROCK": "a\nb"}, "bedrock", "AWS_BEARER_TOKEN_BEDROCK"),
    ],
)
def test_what_is_missing_or_wrong_is_named(environment, model, words):
    assert words in wrong(environment, model)


# ---------------------------------------------------------------- start, readiness, doctor
@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("bedrock", "Claude on Amazon Bedrock in eu-west-1"),
        ("claude-platform-aws", "Claude Platform on AWS in eu-west-1"),
    ],
)
def test_the_start_says_who_is_asked_and_where(model, line):
    said = start_lines(settings(PLATFORM, model), Probe(None, ()), None, "http://127.0.0.1:1")
    assert f"model      {line}" in said


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """An environment without AWS credentials, where nobody is asked for some."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def give_credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-very-secret-key")


def test_ready_once_there_are_credentials(nowhere, monkeypatch):
    app = SimpleNamespace(settings=settings(BEDROCK, "bedrock"), records=None)
    readiness = Readiness(app, Probe("bubblewrap"))
    assert readiness.look().parts["model"] == "there are no AWS credentials"
    give_credentials(monkeypatch)
    assert readiness.look().parts["model"] == "ok"


def test_ready_with_a_key_of_the_provider(nowhere):
    app = SimpleNamespace(
        settings=settings(BEDROCK | {"AWS_BEARER_TOKEN_BEDROCK": "k"}, "bedrock"), records=None
    )
    assert Readiness(app, Probe("bubblewrap")).look().parts["model"] == "ok"


@pytest.fixture
def sts(monkeypatch):
    """An STS that knows one access key."""

    class Endpoint(QuietHandler):
        def serve(self, _):
            known = "Credential=AKIAEXAMPLE/" in self.headers["authorization"]
            result = "<Account>123456789012</Account><UserId>u</UserId><Arn>arn</Arn>"
            body = (
                f"<R><GetCallerIdentityResult>{result}</GetCallerIdentityResult></R>"
                if known
                else "<E><Error><Code>InvalidClientTokenId</Code><Message>m</Message></Error></E>"
            )
            self.answer(200 if known else 403, body)

    with LoopbackServer(Endpoint) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield


def test_the_doctor_says_whose_account_pays(nowhere, sts, monkeypatch):
    give_credentials(monkeypatch)
    found, time = check_model(settings(BEDROCK, "bedrock"))
    assert (found.status, time) == ("ok", None)
    assert found.detail == "bedrock in eu-west-1, paid by the AWS account 123456789012"


def test_the_doctor_names_what_helps_without_credentials(nowhere):
    found, _ = check_model(settings(PLATFORM, "claude-platform-aws"))
    assert found.status == "missing"
    assert "AWS_PROFILE" in found.remedy


def test_the_doctor_says_that_credentials_are_refused_and_does_not_show_them(
    nowhere, sts, monkeypatch
):
    give_credentials(monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER")
    found, _ = check_model(settings(BEDROCK, "bedrock"))
    assert found.status == "missing"
    assert "InvalidClientTokenId" in found.detail
    assert "a-very-secret-key" not in json.dumps(found.as_json())


def test_the_doctor_asks_nobody_with_a_key_of_the_provider(nowhere):
    found, _ = check_model(settings(BEDROCK | {"AWS_BEARER_TOKEN_BEDROCK": "k"}, "bedrock"))
    assert found.status == "note"
