"""What Amazon Bedrock calls Claude's models. Stdlib only: the stacks grant what this names.

Most models are served through inference profiles alone, whose ids are the model's behind the part
of the world that requests may be sent to: `us.`, `eu.` or `global.`.
"""

from __future__ import annotations

from collections.abc import Mapping

_DATED = {
    "claude-haiku-4-5": "anthropic.claude-haiku-4-5-20251001-v1:0",
    "claude-haiku-4-5-20251001": "anthropic.claude-haiku-4-5-20251001-v1:0",
    "claude-opus-4-5": "anthropic.claude-opus-4-5-20251101-v1:0",
    "claude-opus-4-5-20251101": "anthropic.claude-opus-4-5-20251101-v1:0",
    "claude-opus-4-6": "anthropic.claude-opus-4-6-v1",
    "claude-sonnet-4-5": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "claude-sonnet-4-5-20250929": "anthropic.claude-sonnet-4-5-20250929-v1:0",
}
_PLAIN = (
    "claude-fable-5",
    "claude-fable-5-1",
    "claude-opus-4-7",
    "claude-opus-4-8",
    "claude-opus-5",
    "claude-opus-5-5",
    "claude-sonnet-4-6",
    "claude-sonnet-5",
    "claude-sonnet-5-5",
)
MODELS: Mapping[str, str] = {**_DATED, **{name: f"anthropic.{name}" for name in _PLAIN}}
"""The model of Bedrock for each name of the Claude API that is known to be served there."""

_GEOGRAPHIES = {"us": "us", "eu": "eu"}
_ANYWHERE = "global"
"""Where data stays on its continent by default; from elsewhere it may go anywhere."""


def geographies() -> tuple[str, ...]:
    """All that `geography` may answer."""
    return (*sorted(set(_GEOGRAPHIES.values())), _ANYWHERE)


def geography(region: str) -> str:
    """What begins the ids of inference profiles for requests from a Region."""
    return _GEOGRAPHIES.get(region.partition("-")[0], _ANYWHERE)


def model_id(model: str, region: str, ids: Mapping[str, str]) -> str | None:
    """What a request names; None for a model that nobody said the id of.

    `ids` are the operator's, and win. What is an id of Bedrock already, or an ARN, stays as it is.
    """
    if model in ids:
        return ids[model]
    if model in MODELS:
        return f"{geography(region)}.{MODELS[model]}"
    return model if is_id(model) else None


def is_id(model: str) -> bool:
    """Whether this is Bedrock's own way to name one of Claude's models."""
    return model.startswith("arn:") or "anthropic." in model


def foundation_model(identifier: str) -> str:
    """The model behind the id of a profile: `eu.anthropic.x` is `anthropic.x`."""
    return "anthropic." + identifier.partition("anthropic.")[2]
