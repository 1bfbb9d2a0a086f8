"""Settings: what the environment and the command line may say, and how a mistake is told."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from freehold.settings import Settings, explain
from freehold.settings_aws import PREFIX, ApiEnvironment


def test_a_claim_outlives_two_renewals():
    defaults = Settings()
    assert defaults.lease_seconds > 2 * defaults.renew_seconds
    with pytest.raises(ValidationError, match="twice renew_seconds"):
        Settings(lease_seconds=30, renew_seconds=15)


def test_without_a_key_the_scripted_model_answers():
    assert Settings.from_environment({}).model == "scripted"
    assert Settings.from_environment({"ANTHROPIC_API_KEY": ""}).model == "scripted"


def test_with_a_key_claude_answers():
    found = Settings.from_environment({"ANTHROPIC_API_KEY": "sk-ant-1"})
    assert found.model == "anthropic"
    assert found.anthropic_api_key is not None
    assert found.anthropic_api_key.get_secret_value() == "sk-ant-1"


def test_an_option_wins_over_the_environment_and_an_absent_one_does_not():
    environment = {"ANTHROPIC_API_KEY": "sk-ant-1"}
    assert Settings.from_environment(environment, model="scripted").model == "scripted"
    assert Settings.from_environment(environment, model=None).model == "anthropic"


def test_a_base_url_loses_its_trailing_slash():
    found = Settings.from_environment({"ANTHROPIC_BASE_URL": "https://models.example/api/"})
    assert found.anthropic_base_url == "https://models.example/api"


@pytest.mark.parametrize(
    ("environment", "given", "line"),
    [
        ({}, {"port": 70000}, "--port: Input should be less than or equal to 65535"),
        ({}, {"host": ""}, "--host: String should have at least 1 character"),
        ({"ANTHROPIC_BASE_URL": "models.example"}, {}, "ANTHROPIC_BASE_URL: must be an http://"),
        ({"FREEHOLD_API_KEY": "två ord"}, {}, "FREEHOLD_API_KEY: must be printable ASCII"),
        ({"FREEHOLD_SEARCH_URL": "search.example"}, {}, "FREEHOLD_SEARCH_URL: must be an http://"),
        (
            {"FREEHOLD_SEARCH_URL": "https://me:hidden@search.example/"},
            {},
            "FREEHOLD_SEARCH_URL: must hold no user name or password",
        ),
        ({"FREEHOLD_SEARCH_KEY": "two words"}, {}, "FREEHOLD_SEARCH_KEY: must be printable ASCII"),
        ({"ANTHROPIC_API_KEY": "one\ntwo"}, {}, "ANTHROPIC_API_KEY: must be printable ASCII"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_option(environment, given, line):
    with pytest.raises(ValidationError) as caught:
        Settings.from_environment(environment, **given)
    assert explain(caught.value).startswith(line)
    assert "\n" not in explain(caught.value)


def test_a_mistake_never_repeats_a_secret():
    with pytest.raises(ValidationError) as caught:
        Settings.from_environment(
            {"ANTHROPIC_API_KEY": "sk-ant-\u00e9-hidden", "FREEHOLD_API_KEY": "a hidden key"}
        )
    assert "hidden" not in explain(caught.value)
    assert "hidden" not in str(caught.value)


def test_settings_printed_show_no_secret():
    found = Settings.from_environment(
        {
            "ANTHROPIC_API_KEY": "sk-hidden",
            "FREEHOLD_API_KEY": "hidden",
            "FREEHOLD_SEARCH_KEY": "hidden",
        }
    )
    assert "hidden" not in f"{found!r} {found}"


def test_limits_of_requests_reach_the_functions_that_answer_clients():
    stored = {"STATE_MACHINE_ARN": "a", "TABLE_NAME": "t", "BUCKET_NAME": "b", "KEY_ARN": "k"}
    limits = {"CREATE_REQUESTS_PER_MINUTE": "3", "READ_REQUESTS_PER_MINUTE": "5"}
    variables = {PREFIX + name: value for name, value in {**stored, **limits}.items()}
    environment = ApiEnvironment.read(variables)
    assert environment.variables().items() >= variables.items()
    settings = environment.settings()
    assert (settings.create_requests_per_minute, settings.read_requests_per_minute) == (3, 5)
