"""The language in which a message tells the scripted model what to answer.

A message of the user that holds the word `script:` followed by a JSON array is a script, and so is
a fenced block named `script`. Each element is one reply of the model. Which one is due is read off
the transcript: the number of assistant turns since that message. After the last one the reply is
`Done.`

    script: [{"say": "Looking.", "tool": "bash", "input": {"command": "ls"}},
             {"say": "It printed {result}"}]

The fields of an element, all of them optional; the blocks of the reply come in this order:

| Field | |
|---|---|
| `think` | text of a thinking block, signed |
| `redacted` | true: a redacted thinking block |
| `say` | a text or a list of them, a block each; `{result}` is the text of the last tool results, \
`{remembered}` whatever the conversation holds behind `remember: ` |
| `tool`, `input` | one tool use |
| `tools` | a list of `{"tool", "input"}`: parallel tool uses |
| `stop_reason` | else `tool_use` where there is one, `refusal` with `refuse`, or `end_turn` |
| `refuse` | true or `{"category", "explanation"}`: a refusal with details |
| `error` | the name of one of `FAILURES`, such as `overloaded`: no reply |
| `cut` | true: the connection breaks in the middle of the last block |
| `times` | how many attempts at the same request `error` or `cut` spoils; without it, every one |
| `retry_after` | seconds, sent with `error` |
| `delay_ms` | pause after the reply has begun and before its first block |
| `pace_ms` | pause before each delta |

A script that is not understood is answered with a text that says why.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping


_START = re.compile(r"script:\s*(?=\[)|```script\s*(?=\[)")

StopReason = Literal[
    "end_turn",
    "tool_use",
    "max_tokens",
    "stop_sequence",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
]
FailureName = Literal[
    "overloaded",
    "rate_limited",
    "failed",
    "billing",
    "invalid",
    "too_long",
    "unauthorized",
    "forbidden",
    "not_found",
]


@dataclass(frozen=True, slots=True)
class Failure:
    """A refused request: over HTTP `status` and `type`, at the port `kind` and `retryable`."""

    status: int
    type: str
    kind: str
    retryable: bool
    message: str
    refused: bool = False
    too_long: bool = False


FAILURES: dict[str, Failure] = {
    "overloaded": Failure(529, "overloaded_error", "model_overloaded", True, "Overloaded"),
    "rate_limited": Failure(
        429, "rate_limit_error", "model_rate_limited", True, "This request would exceed your limit."
    ),
    "failed": Failure(500, "api_error", "model_request_failed", True, "Internal server error"),
    "billing": Failure(402, "billing_error", "billing", False, "Your credit balance is too low."),
    "invalid": Failure(
        400, "invalid_request_error", "model_request_failed", False, "The request is invalid.", True
    ),
    "too_long": Failure(
        400,
        "invalid_request_error",
        "model_request_failed",
        False,
        "prompt is too long: 200001 tokens > 200000 maximum",
        True,
        True,
    ),
    "unauthorized": Failure(
        401, "authentication_error", "model_request_failed", False, "invalid x-api-key"
    ),
    "forbidden": Failure(
        403, "permission_error", "model_request_failed", False, "This key may not use the model."
    ),
    "not_found": Failure(404, "not_found_error", "model_request_failed", False, "model: unknown"),
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Use(_Strict):
    """One tool use."""

    tool: Annotated[str, Field(min_length=1)]
    input: dict[str, JsonValue] = {}


class Refusal(_Strict):
    """The details of a refusal, in the API's words."""

    category: str | None = None
    explanation: str | None = None


class Element(_Strict):
    """One reply of a script."""

    think: str | None = None
    redacted: bool = False
    say: str | list[str] = []
    tool: str | None = None
    input: dict[str, JsonValue] = {}
    tools: list[Use] = []
    stop_reason: StopReason | None = None
    refuse: bool | Refusal = False
    error: FailureName | None = None
    cut: bool = False
    times: Annotated[int, Field(ge=1)] | None = None
    retry_after: Annotated[float, Field(ge=0)] | None = None
    delay_ms: Annotated[float, Field(ge=0)] = 0
    pace_ms: Annotated[float, Field(ge=0)] = 0

    @property
    def texts(self) -> list[str]:
        return [self.say] if isinstance(self.say, str) else self.say

    @property
    def uses(self) -> list[Use]:
        """The tool uses, the single one first."""
        single = [Use(tool=self.tool, input=self.input)] if self.tool else []
        return [*single, *self.tools]

    @property
    def refusal(self) -> Refusal | None:
        if isinstance(self.refuse, Refusal):
            return self.refuse
        return Refusal() if self.refuse else None

    @property
    def stop(self) -> str:
        """The stop reason of the reply."""
        if self.stop_reason:
            return self.stop_reason
        if self.refusal:
            return "refusal"
        return "tool_use" if self.uses else "end_turn"


_SCRIPT = TypeAdapter(list[Element])


class NotAScript(ValueError):
    """The text names itself a script and is none. The message says where it goes wrong."""


def parse_script(text: str) -> list[Element] | None:
    """The script in a message; None where it holds none. Raises NotAScript."""
    start = _START.search(text)
    if start is None:
        return None
    try:
        given, _ = json.JSONDecoder().raw_decode(text, start.end())
        return _SCRIPT.validate_python(given)
    except json.JSONDecodeError as error:
        raise NotAScript(f"{error.msg} at character {error.pos}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise NotAScript(f"{place}: {first['msg']}") from None


def script(*elements: Mapping[str, object]) -> str:
    """The text of a message that is a script of these elements."""
    return f"script: {json.dumps(elements, ensure_ascii=False)}"
