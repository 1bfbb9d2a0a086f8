"""Claude on Bedrock and on Claude Platform on AWS, over real HTTP: what is signed and sent, and
what is made of what comes.
"""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import anthropic.types
import pytest
from pydantic import SecretStr

from freehold import bedrock_models
from freehold.ports import ModelRequest, ReplyDone
from freehold.testing.messages_faults import Cut, Fail, Garble, Refuse
from freehold.testing.model_contract import TOOL, read, request_for, text
from tests.contract.aws_models import (
    ACCESS_KEY,
    PROVIDERS,
    REGION,
    SECRET_KEY,
    WORKSPACE,
    aws_credentials,
    bedrock,
    claude_platform,
)
from tests.contract.claude_endpoint import BINDING_BETA, THINKING, failure_of


@pytest.fixture(autouse=True)
def credentials():
    with aws_credentials(ANTHROPIC_API_KEY="sk-not-for-aws", AWS_REGION="us-west-2"):
        yield


@pytest.fixture(params=PROVIDERS)
def provider(request):
    with PROVIDERS[request.param]() as (api, model):
        yield api, model


def asking(model, **given):
    return ModelRequest(model, (), (), request_for({"say": "hello"}).messages, **given)


# ---------------------------------------------------------------- what is sent
def test_bedrock_gets_the_request_in_its_own_form():
    request = request_for({"say": "hello"})
    with bedrock() as (api, model):
        read(model, request)
    (sent,) = api.requests
    profile = "eu.anthropic.claude-sonnet-5-5"
    assert sent.path == f"/model/{profile}/invoke-with-response-stream"
    assert sent.json == {
        "anthropic_version": "bedrock-2023-05-31",
        "anthropic_beta": [BINDING_BETA],
        "max_tokens": 128_000,
        "system": [text("Be brief.")],
        "tools": [TOOL],
        "messages": list(request.messages),
        "thinking": THINKING,
    }


def test_claude_platform_gets_the_request_of_the_claude_api_for_its_workspace():
    with claude_platform() as (api, model):
        read(model, asking("claude-opus-5", speed="fast"))
    (sent,) = api.requests
    assert sent.path == "/v1/messages"
    assert sent.headers["anthropic-workspace-id"] == WORKSPACE
    assert "fast-mode-2026-02-01" in sent.headers["anthropic-beta"]
    assert sent.json["model"] == "claude-opus-5"
    assert sent.json["speed"] == "fast"


def test_every_request_is_signed_for_the_region_of_the_model_and_has_no_key(provider):
    """The doubles sign what arrives and compare; the Region of the process is another one."""
    api, model = provider
    read(model, asking("claude-opus-5"))
    (sent,) = api.requests
    assert sent.status == 200
    assert "x-api-key" not in sent.headers
    assert len(sent.headers["x-amz-date"]) == 16
    assert REGION != "us-west-2"


def test_temporary_credentials_of_a_role_are_signed_with_their_token():
    # Another Region, because the SDK keeps what credentials it found for one.
    with aws_credentials(AWS_SESSION_TOKEN="a-token"), bedrock(region="eu-north-1") as (api, model):
        assert "refuses the credentials" in failure_of(model).message  # the double's Region differs
    assert api.requests[0].headers["x-amz-security-token"] == "a-token"


def test_a_key_of_the_provider_stands_in_for_a_signature():
    with bedrock(api_key=SecretStr("bedrock-key")) as (api, model):
        error = failure_of(model)
    assert "refuses the credentials" in error.message  # the double asks for a signature
    assert "x-amz-date" not in api.requests[0].headers


def test_nothing_is_repeated(provider):
    api, model = provider
    api.fail_next(Refuse(500))
    failure_of(model)
    assert len(api.requests) == 1


def test_a_connection_is_used_again_and_replaced_after_a_cut(provider):
    api, model = provider
    read(model, asking("claude-opus-5"))
    read(model, asking("claude-opus-5"))
    assert api.requests[0].client == api.requests[1].client
    api.fail_next(Cut(2))
    assert failure_of(model).retryable
    assert isinstance(read(model, asking("claude-opus-5"))[-1], ReplyDone)
    assert api.requests[-1].client != api.requests[0].client


# ---------------------------------------------------------------- models
@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("us-east-1", "us.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("eu-central-1", "eu.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("ap-southeast-2", "global.anthropic.claude-haiku-4-5-20251001-v1:0"),
    ],
)
def test_a_model_is_asked_for_in_its_part_of_the_world(region, expected):
    assert bedrock_models.model_id("claude-haiku-4-5", region, {}) == expected


def test_ids_of_the_operator_win_and_ids_of_bedrock_stay():
    ids = {"claude-opus-5": "global.anthropic.claude-opus-5", "house": "arn:aws:bedrock:x"}
    assert bedrock_models.model_id("claude-opus-5", REGION, ids) == ids["claude-opus-5"]
    assert bedrock_models.model_id("house", REGION, ids) == ids["house"]
    for given in (
        "us.anthropic.claude-new-v1:0",
        "arn:aws:bedrock:eu-west-1:1:inference-profile/x",
    ):
        assert bedrock_models.model_id(given, REGION, {}) == given
    assert bedrock_models.model_id("claude-unheard-of", REGION, {}) is None


def test_the_names_are_those_of_the_sdk():
    literals, _ = get_args(anthropic.types.Model)
    assert set(bedrock_models.MODELS) <= set(get_args(literals))


def test_a_model_without_an_id_is_refused_before_anything_is_sent():
    with bedrock() as (api, model):
        error = failure_of(model, asking("claude-unheard-of"))
    assert "FREEHOLD_MODEL_IDS" in error.message
    assert (error.retryable, error.refused) == (False, False)
    assert api.requests == []


def test_fast_mode_is_refused_on_bedrock_and_said_so():
    with bedrock() as (api, model):
        error = failure_of(model, asking("claude-opus-5", speed="fast"))
        read(model, asking("claude-opus-5", speed="standard"))
    assert "model.speed" in error.message
    assert len(api.requests) == 1


# ---------------------------------------------------------------- trouble
_DENIED = (
    "User: arn:aws:sts::123456789012:assumed-role/RunTurn/x is not authorized to perform"
    " bedrock:InvokeModelWithResponseStream"
)


@pytest.mark.parametrize(
    ("fault", "kind", "retryable", "words"),
    [
        (
            Refuse(429, "ThrottlingException", "Too many tokens"),
            "model_rate_limited",
            True,
            "Too many tokens",
        ),
        (Refuse(503, "ServiceUnavailableException", "Busy"), "model_overloaded", True, "overload"),
        (Refuse(429, "ModelNotReadyException", "Wait"), "model_overloaded", True, "overloaded"),
        (Refuse(408, "ModelTimeoutException", "Late"), "model_request_failed", True, "Late"),
        (Refuse(424, "ModelErrorException", "Broke"), "model_request_failed", True, "Broke"),
        (Refuse(500, "InternalServerException", "Oops"), "model_request_failed", True, "Oops"),
        (
            Refuse(403, "AccessDeniedException", _DENIED),
            "model_request_failed",
            False,
            "allow bedrock:InvokeModelWithResponseStream",
        ),
        (
            Refuse(404, "ResourceNotFoundException", "Model use case details not submitted."),
            "model_request_failed",
            False,
            "enable the model in this Region's console",
        ),
        (
            Refuse(400, "ValidationException", "The provided model identifier is invalid."),
            "model_request_failed",
            False,
            "serves no claude-sonnet-5-5",
        ),
        (
            Refuse(400, "ValidationException", "…with on-demand throughput isn't supported."),
            "model_request_failed",
            False,
            "serves no claude-sonnet-5-5",
        ),
        (
            Refuse(403, "ExpiredTokenException", "Expired"),
            "model_request_failed",
            False,
            "get-caller-identity",
        ),
        (
            Refuse(403, "AccessDeniedException", "INVALID_PAYMENT_INSTRUMENT: none."),
            "billing",
            False,
            "INVALID_PAYMENT",
        ),
        (Fail(2), "model_overloaded", True, "overloaded"),
        (Fail(2, "rate_limit_error", "Slow down"), "model_rate_limited", True, "Slow down"),
        (Fail(1, "api_error", "Internal"), "model_request_failed", True, "Internal"),
        (Cut(0), "model_request_failed", True, "broke off"),
        (
            Garble(b"this is no frame of an event stream, however long it may be"),
            "model_request_failed",
            True,
            "no message stream",
        ),
        (Garble(b""), "model_request_failed", False, "ANTHROPIC_BEDROCK_BASE_URL"),
    ],
    ids=str,
)
def test_trouble_on_bedrock_has_a_kind_and_a_line(fault, kind, retryable, words):
    with bedrock() as (api, model):
        api.fail_next(fault)
        error = failure_of(model)
    assert (error.kind, error.retryable) == (kind, retryable)
    assert words in error.message
    assert error.refused is False


def test_content_that_bedrock_refuses_is_said_to_be_refused():
    with bedrock() as (api, model):
        api.fail_next(Refuse(400, "ValidationException", "prompt is too long"))
        assert failure_of(model).refused
        api.fail_next(Fail(2, "invalid_request_error", "No."))
        assert failure_of(model).refused


def test_no_refusal_tells_a_caller_roles_or_accounts(provider):
    api, model = provider
    api.fail_next(Refuse(403, "permission_error", f"{_DENIED} of account 123456789012"))
    message = failure_of(model).message
    assert "(an ARN)" in message
    assert "123456789012" not in message
    assert "assumed-role" not in message


def test_a_workspace_that_is_not_open_to_the_role_names_the_permission():
    with claude_platform(workspace="wrkspc_other") as (_, model):
        error = failure_of(model)
    assert "aws-external-anthropic:CreateInference" in error.message
    assert not error.retryable


def test_a_wrong_secret_is_told_without_it():
    with aws_credentials(AWS_SECRET_ACCESS_KEY="another-secret"):
        # A process of its own, because the SDK keeps the credentials that it found.
        program = (
            "import tests.contract.aws_models as m\n"
            "from tests.contract.claude_endpoint import BINDING_BETA, THINKING, failure_of\n"
            "with m.bedrock() as (api, model):\n"
            "    print(failure_of(model).message)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
    assert "AWS refuses the credentials" in done.stdout
    for secret in (SECRET_KEY, "another-secret", ACCESS_KEY):
        assert secret not in done.stdout + done.stderr


def test_without_credentials_nothing_is_sent(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with bedrock(region="eu-south-1") as (api, model):
        error = failure_of(model)
    assert "There are no AWS credentials" in error.message
    assert not error.retryable
    assert api.requests == []
