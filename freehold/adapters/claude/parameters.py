"""A `ModelRequest` as a call of the Messages API, and what a model takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freehold.model_limits import FAMILIES, OLDER, most_output_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freehold.ports import ModelRequest

_FAST_MODE_BETA = "fast-mode-2026-02-01"


@dataclass(frozen=True, slots=True)
class Call:
    """The body of a request and the headers that it needs beside the usual ones."""

    body: Mapping[str, Any]
    headers: Mapping[str, str]


def call_of(request: ModelRequest) -> Call:
    """The call for this request.

    Models that think adaptively are asked to. Some do without being asked, all accept it; a model
    that does not know the field refuses the request, so an unknown one is not asked.
    """
    model = request.model
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": request.max_tokens or most_output_tokens(model),
        "messages": request.messages,
    }
    if request.system:
        body["system"] = request.system
    if request.tools:
        body["tools"] = request.tools
    if model.startswith(FAMILIES) and not model.startswith(OLDER):
        body["thinking"] = {"type": "adaptive"}
    if request.effort:
        body["output_config"] = {"effort": request.effort}
    if request.speed == "fast":
        body["speed"] = "fast"
        return Call(body, {"anthropic-beta": _FAST_MODE_BETA})
    return Call(body, {})
