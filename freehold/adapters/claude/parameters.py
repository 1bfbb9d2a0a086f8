"""A `ModelRequest` as a call of the Messages API, and what a model takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freehold.model_limits import FAMILIES, OLDER, most_output_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freehold.ports import ModelRequest

_FAST_MODE_BETA = "fast-mode-2026-02-01"
_PRESERVED_THINKING = (
    "claude-fable-5-1",
    "claude-fable-5-2",
    "claude-mythos-5-1",
    "claude-mythos-5-2",
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
)
"""They check that nothing before a thinking block has changed since it was thought."""
_BINDING_BETA = "thinking-binding-controls-2026-08-01"


@dataclass(frozen=True, slots=True)
class Call:
    """The body of a request and the headers that it needs beside the usual ones."""

    body: Mapping[str, Any]
    headers: Mapping[str, str]


def call_of(request: ModelRequest) -> Call:
    """The call for this request.

    Models that think adaptively are asked to. Some do without being asked, all accept it; a model
    that does not know the field refuses the request, so an unknown one is not asked.

    Thinking is sent back as it came. A conversation changes before it all the same: tools that an
    operator replaces, images that give way, a history that is summed up. Models that check refuse
    such a request, and every later one of the session, unless they are asked to drop the thinking
    that no longer fits. What another model thought they drop unasked.
    """
    model = request.model
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": request.max_tokens or most_output_tokens(model),
        "messages": request.messages,
    }
    betas: list[str] = []
    if request.system:
        body["system"] = request.system
    if request.tools:
        body["tools"] = request.tools
    if model.startswith(FAMILIES) and not model.startswith(OLDER):
        body["thinking"] = {"type": "adaptive"}
    if model.startswith(_PRESERVED_THINKING):
        body["thinking"]["block_binding"] = {"prefix_mismatch_behavior": "drop_block"}
        betas.append(_BINDING_BETA)
    if request.effort:
        body["output_config"] = {"effort": request.effort}
    if request.speed == "fast":
        body["speed"] = "fast"
        betas.append(_FAST_MODE_BETA)
    return Call(body, {"anthropic-beta": ",".join(betas)} if betas else {})
