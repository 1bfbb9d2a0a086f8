"""A `ModelRequest` as the parameters of a Messages API request, and what a model takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freehold.ports import ModelRequest

_FAMILIES = ("claude-opus-", "claude-sonnet-", "claude-haiku-", "claude-fable-", "claude-mythos-")
_OLD_OPUS = ("claude-opus-4-0", "claude-opus-4-1", "claude-opus-4-2025")
_OLD_SONNET = ("claude-sonnet-4-0", "claude-sonnet-4-2025")
_GENERATION_4_5 = ("claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5")
_WITHOUT_ADAPTIVE = (*_OLD_OPUS, *_OLD_SONNET, *_GENERATION_4_5)
_FAST_MODE_BETA = "fast-mode-2026-02-01"


def most_output_tokens(model: str) -> int:
    """The most tokens that a reply of this model can have; for one nobody knows, what any takes."""
    if model.startswith(_OLD_OPUS) or not model.startswith(_FAMILIES):
        return 32_000
    if model.startswith((*_OLD_SONNET, *_GENERATION_4_5)):
        return 64_000
    return 128_000


def parameters_of(request: ModelRequest) -> dict[str, Any]:
    """Keyword arguments of `messages.create`.

    Models that think adaptively are asked to. Some do without being asked, all accept it; a model
    that does not know the field refuses the request, so an unknown one is not asked.
    """
    model = request.model
    given: dict[str, Any] = {
        "model": model,
        "max_tokens": request.max_tokens or most_output_tokens(model),
        "messages": request.messages,
    }
    if request.system:
        given["system"] = request.system
    if request.tools:
        given["tools"] = request.tools
    if model.startswith(_FAMILIES) and not model.startswith(_WITHOUT_ADAPTIVE):
        given["thinking"] = {"type": "adaptive"}
    if request.effort:
        given["output_config"] = {"effort": request.effort}
    if request.speed == "fast":
        given["speed"] = "fast"
        given["extra_headers"] = {"anthropic-beta": _FAST_MODE_BETA}
    return given
