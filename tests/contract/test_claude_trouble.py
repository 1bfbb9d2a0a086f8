"""Claude's adapter when something goes wrong: kinds, readable lines, proxies, certificates."""

from __future__ import annotations

import pytest

from freehold.adapters.claude import ClaudeApi, ClaudeModel
from freehold.ports import ModelRequest, ReplyDone
from freehold.testing.messages_faults import Cut, Fail, Garble, Refuse
from freehold.testing.messages_server import MessagesServer
from freehold.testing.model_contract import read, request_for
from tests.contract.claude_endpoint import KEY, failure_of, model_at


@pytest.fixture(scope="module")
def api():
    with MessagesServer(api_key=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def claude(api):
    with model_at(api.url) as model:
        yield model


@pytest.mark.parametrize(
    ("fault", "kind", "retryable", "words"),
    [
        (Refuse(529, "overloaded_error"), "model_overloaded", True, "overloaded"),
        (Refuse(429, "rate_limit_error"), "model_rate_limited", True, "rate"),
        (Refuse(500), "model_request_failed", True, "failed"),
        (Refuse(502, "", "<html>"), "model_request_failed", True, "failed"),
        (Refuse(504, "timeout_error"), "model_request_failed", True, "failed"),
        (Refuse(409, "conflict_error"), "model_request_failed", True, "failed"),
        (Refuse(402, "billing_error"), "billing", False, "account"),
        (
            Refuse(400, "invalid_request_error", "Your credit balance is too low to access it."),
            "billing",
            False,
            "credit balance",
        ),
        (
            Refuse(400, "invalid_request_error", "Too\nbad."),
            "model_request_failed",
            False,
            "Too bad.",
        ),
        (Refuse(413, "request_too_large", "Too big"), "model_request_failed", False, "Too big"),
        (Refuse(403, "permission_error"), "model_request_failed", False, "ANTHROPIC_API_KEY"),
        (
            Refuse(400, "invalid_request_error", f"Hm {KEY} hm"),
            "model_request_failed",
            False,
            "***",
        ),
        (
            Refuse(500, headers={"x-should-retry": "false"}),
            "model_request_failed",
            False,
            "failed",
        ),
        (Fail(2), "model_overloaded", True, "overloaded"),
        (Fail(1, "api_error", "Internal"), "model_request_failed", True, "Internal"),
        (Cut(0), "model_request_failed", True, "broke off"),
        (Cut(4), "model_request_failed", True, "broke off"),
        (Garble(), "model_request_failed", False, "ANTHROPIC_BASE_URL"),
        (
            Garble(b"event: x\ndata: {\n\n", "text/event-stream"),
            "model_request_failed",
            True,
            "no mess",
        ),
    ],
    ids=str,
)
def test_trouble_has_a_kind_and_a_line(api, claude, fault, kind, retryable, words):
    api.fail_next(fault)
    error = failure_of(claude)
    assert (error.kind, error.retryable) == (kind, retryable)
    assert words in error.message


@pytest.mark.parametrize(
    ("fault", "refused"),
    [
        (Refuse(400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"), True),
        (Refuse(413, "request_too_large", "Too big"), True),
        (Refuse(400, "invalid_request_error", "Your credit balance is too low."), False),
        (Refuse(400, headers={"x-should-retry": "true"}), False),
        (Refuse(401, "authentication_error"), False),
        (Refuse(403, "permission_error"), False),
        (Refuse(404, "not_found_error"), False),
        (Refuse(529, "overloaded_error"), False),
        (Fail(2, "invalid_request_error", "No."), True),
        (Cut(4), False),
    ],
    ids=str,
)
def test_only_a_request_refused_for_its_content_is_said_to_be_refused(api, claude, fault, refused):
    api.fail_next(fault)
    error = failure_of(claude)
    assert error.refused is refused
    assert not (refused and error.retryable)


@pytest.mark.parametrize(
    ("status", "said", "too_long"),
    [
        (400, "prompt is too long: 200001 tokens > 200000 maximum", True),
        (400, "input length and `max_tokens` exceed context limit: 190000 + 64000 > 200000", True),
        (400, "Input is too long for requested model.", True),
        (413, "Request exceeds the maximum size", True),
        (413, "Request exceeds the maximum allowed number of bytes.", True),
        (400, "messages.0.content.0: Could not process image", False),
        (429, "prompt is too long", False),
    ],
)
def test_a_prompt_that_is_too_long_is_told_from_one_that_is_wrong(
    api, claude, status, said, too_long
):
    kind = {413: "request_too_large", 429: "rate_limit_error"}.get(status, "invalid_request_error")
    api.fail_next(Refuse(status, kind, said))
    assert failure_of(claude).too_long is too_long


def test_a_double_with_a_window_refuses_what_does_not_fit():
    with MessagesServer(api_key=KEY, window=200) as small, model_at(small.url) as model:
        assert isinstance(read(model, request_for({"say": "ok"}))[-1], ReplyDone)
        error = failure_of(model, request_for({"say": "x" * 2_000}))
        assert "tokens > 200 maximum" in error.message
        assert error.too_long


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "12"}, 12),
        ({"retry-after-ms": "2500"}, 2.5),
        ({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_every_form(api, claude, headers, seconds):
    api.fail_next(Refuse(429, "rate_limit_error", headers=headers))
    assert failure_of(claude).retry_after == seconds


def test_a_refused_key_names_its_variable(api):
    with model_at(api.url, "sk-wrong-key") as model:
        error = failure_of(model)
    assert (error.kind, error.retryable) == ("model_request_failed", False)
    assert "ANTHROPIC_API_KEY" in error.message
    assert "sk-wrong-key" not in error.message


def test_without_a_key_the_claude_api_is_not_asked():
    model = ClaudeModel(ClaudeApi(None))
    assert "ANTHROPIC_API_KEY is not set" in failure_of(model).message


def test_an_endpoint_of_ones_own_may_need_no_key(api):
    with model_at(api.url, None) as model:
        assert "refuses the key" in failure_of(model).message  # this one does need it: it was asked


def test_an_unknown_model_is_named(claude):
    request = ModelRequest("claudette-3", (), (), request_for({"say": "hello"}).messages)
    error = failure_of(claude, request)
    assert error.message == "127.0.0.1 knows no model 'claudette-3'."
    assert not error.retryable


def test_a_url_without_a_messages_api_names_its_variable(api):
    with model_at(f"{api.url}/elsewhere") as model:
        error = failure_of(model)
    assert "ANTHROPIC_BASE_URL" in error.message
    assert not error.retryable


def test_an_endpoint_that_is_not_there_is_named_without_its_password():
    with model_at("http://user:hush@127.0.0.1:9") as model:
        error = failure_of(model)
    assert error.message.startswith("127.0.0.1 cannot be reached: ")
    assert "hush" not in error.message
    assert error.retryable


def test_certificates_that_cannot_be_loaded_name_their_variable(monkeypatch, api):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    with model_at(api.url) as model:
        error = failure_of(model)
    assert "SSL_CERT_FILE" in error.message
    assert not error.retryable


# ---------------------------------------------------------------- proxies
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_an_endpoint_on_this_machine_is_reached_without_a_proxy(monkeypatch, api, variable):
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with model_at(api.url) as model:
        assert isinstance(read(model, request_for({"say": "hello"}))[-1], ReplyDone)


def test_an_endpoint_elsewhere_is_reached_through_the_proxy(monkeypatch):
    with MessagesServer(api_key=KEY) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with model_at("https://models.example") as model:
            error = failure_of(model)
        assert [request.path for request in proxy.requests] == ["models.example:443"]
    assert "HTTPS_PROXY" in error.message
