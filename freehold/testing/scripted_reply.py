"""From a request to its reply: the brain of the scripted model and of the Messages API double."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Literal

from freehold.testing import scripted_demo, scripted_summary
from freehold.testing.prompt_cache import input_tokens, segments
from freehold.testing.script import FAILURES, Element, Failure, NotAScript, parse_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from freehold.ports import ModelRequest
    from freehold.toolset import Json, JsonObject

_WORDS = 3
_FRAGMENT = 16
_DONE = Element(say="Done.")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a reply does: a block opens, grows by a delta of the API, or is complete."""

    kind: Literal["start", "delta", "stop"]
    index: int
    block: JsonObject
    delta: JsonObject


@dataclass(frozen=True, slots=True)
class ScriptedReply:
    """What a request is answered with. With `failure` there is nothing else.

    `is_cut`: the steps end in the middle of the last block, and then the connection breaks.
    """

    steps: tuple[Step, ...] = ()
    blocks: tuple[JsonObject, ...] = ()
    stop_reason: str = "end_turn"
    stop_details: JsonObject | None = None
    failure: Failure | None = None
    retry_after: float | None = None
    is_cut: bool = False
    delay: float = 0.0
    pace: float = 0.0


class Brain:
    """Answers requests. A function of the request, but for `times`, which counts attempts at it.

    `sign` makes the signature of a thinking text. `window`: prompts of more tokens are refused.
    """

    def __init__(self, sign: Callable[[str], str] | None = None, window: int | None = None) -> None:
        self._sign = sign or signature
        self._window = window
        self._attempts: Counter[str] = Counter()
        self._lock = Lock()

    def answer(self, request: ModelRequest) -> ScriptedReply:
        """The reply to this request. Never raises."""
        size = input_tokens(segments(request))[-1] if self._window else 0
        if self._window and size > self._window:
            message = f"prompt is too long: {size} tokens > {self._window} maximum"
            return ScriptedReply(failure=replace(FAILURES["too_long"], message=message))
        element = _element(request)
        spoiled = self._is_spoiled(element, request)
        if element.error and spoiled:
            return ScriptedReply(failure=FAILURES[element.error], retry_after=element.retry_after)
        blocks = tuple(_blocks(element, request, self._sign))
        steps = tuple(step for n, block in enumerate(blocks) for step in _steps(n, block))
        is_cut = element.cut and spoiled
        details: JsonObject | None = None
        if element.refusal:
            details = {"type": "refusal", **element.refusal.model_dump()}
        return ScriptedReply(
            steps=_cut(steps) if is_cut else steps,
            blocks=blocks,
            stop_reason=element.stop,
            stop_details=details,
            is_cut=is_cut,
            delay=element.delay_ms / 1000,
            pace=element.pace_ms / 1000,
        )

    def _is_spoiled(self, element: Element, request: ModelRequest) -> bool:
        if element.times is None:
            return True
        with self._lock:
            digest = _digest(request.messages)
            self._attempts[digest] += 1
            return self._attempts[digest] <= element.times


# ---------------------------------------------------------------- what is due
@dataclass(frozen=True, slots=True)
class _Turn:
    """The end of the transcript: what the user said last, and what came since."""

    text: str
    replies: tuple[list[JsonObject], ...]
    is_first: bool
    results: tuple[tuple[str, bool], ...]


def _turn(messages: Sequence[JsonObject], *, beside: str = "") -> _Turn:
    """`beside`: a text that is passed over."""
    last, text = 0, ""
    for n, message in enumerate(messages):
        said = [t for t in _texts(message) if t != beside]
        if message["role"] == "user" and said:
            last, text = n, said[-1]
    since = messages[last + 1 :]
    results = [
        (_text_of(block.get("content")), bool(block.get("is_error")))
        for message in since
        for block in _content(message)
        if block.get("type") == "tool_result"
    ]
    return _Turn(
        text=text,
        replies=tuple(_content(m) for m in since if m["role"] == "assistant"),
        is_first=all(message["role"] == "user" for message in messages[:last]),
        results=tuple(results),
    )


def _element(request: ModelRequest) -> Element:
    turn = _turn(request.messages)
    if scripted_summary.is_asked_for(turn.text):
        return _summary(request.messages, turn.text)
    try:
        script = parse_script(turn.text)
    except NotAScript as error:
        return Element(say=f"The script is not understood: {error}")
    if script is not None:
        due = scripted_summary.place_of(turn.text, script, turn.replies)
        return script[due] if due < len(script) else _DONE
    return scripted_demo.answer(
        turn.text,
        tools=frozenset(str(tool.get("name")) for tool in request.tools),
        is_first=turn.is_first,
        results=list(turn.results),
    )


def _summary(messages: Sequence[JsonObject], asked: str) -> Element:
    turn = _turn(messages, beside=asked)
    try:
        script = parse_script(turn.text)
    except NotAScript:
        script = None
    played = scripted_summary.place_of(turn.text, script or (), turn.replies)
    return scripted_summary.summary(_heard(messages), script, played)


def _heard(messages: Sequence[JsonObject]) -> list[str]:
    """What was said to the model."""
    return [t for message in messages if message["role"] != "assistant" for t in _texts(message)]


def _texts(message: JsonObject) -> list[str]:
    return [str(b["text"]) for b in _content(message) if b.get("type") == "text"]


def _content(message: JsonObject) -> list[JsonObject]:
    content = message["content"]
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return (
        [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    )


def _text_of(content: Json) -> str:
    """The text of a tool result."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return "\n".join(str(b["text"]) for b in blocks if isinstance(b, dict) and "text" in b)


# ---------------------------------------------------------------- blocks
def _blocks(
    element: Element, request: ModelRequest, sign: Callable[[str], str]
) -> Iterator[JsonObject]:
    if element.think is not None:
        yield {"type": "thinking", "thinking": element.think, "signature": sign(element.think)}
    if element.redacted:
        yield {"type": "redacted_thinking", "data": sign("")}
    for text in element.texts:
        yield {"type": "text", "text": _filled(text, request)}
    transcript = _digest(request.messages) if element.uses else ""
    for n, use in enumerate(element.uses):
        name = hashlib.sha256(f"{transcript}/{n}".encode()).hexdigest()[:24]
        yield {"type": "tool_use", "id": f"toolu_{name}", "name": use.tool, "input": use.input}


def _filled(text: str, request: ModelRequest) -> str:
    if "{remembered}" in text:
        known = scripted_summary.remembered(_heard(request.messages))
        text = text.replace("{remembered}", "; ".join(known))
    return text.replace("{result}", _last_results(request))


def _last_results(request: ModelRequest) -> str:
    """The text of the results in the user's last turn."""
    users = [message for message in request.messages if message["role"] == "user"]
    blocks = _content(users[-1])
    results = [b.get("content") for b in blocks if b.get("type") == "tool_result"]
    return "\n".join(_text_of(content) for content in results)


def signature(text: str) -> str:
    """A signature of a thinking text that anybody can make. The double makes its own."""
    return base64.b64encode(hashlib.sha256(f"scripted/{text}".encode()).digest()).decode()


def _digest(messages: Sequence[JsonObject]) -> str:
    """Names a transcript. Breakpoints move from turn to turn and are no part of it."""
    bare = [
        [m["role"], [{k: v for k, v in b.items() if k != "cache_control"} for b in _content(m)]]
        for m in messages
    ]
    return hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()


# ---------------------------------------------------------------- deltas
def _steps(index: int, block: JsonObject) -> Iterator[Step]:
    yield Step("start", index, block, {})
    for delta in _deltas(block):
        yield Step("delta", index, block, delta)
    yield Step("stop", index, block, {})


def _deltas(block: JsonObject) -> Iterator[JsonObject]:
    kind = block["type"]
    if kind == "text":
        for piece in _pieces(str(block["text"])):
            yield {"type": "text_delta", "text": piece}
    elif kind == "thinking":
        for piece in _pieces(str(block["thinking"])):
            yield {"type": "thinking_delta", "thinking": piece}
        yield {"type": "signature_delta", "signature": block["signature"]}
    elif kind == "tool_use":
        given = json.dumps(block["input"], ensure_ascii=False) if block["input"] else ""
        for start in range(0, len(given), _FRAGMENT):
            yield {"type": "input_json_delta", "partial_json": given[start : start + _FRAGMENT]}


def _pieces(text: str) -> list[str]:
    """The text in pieces of a few words, with the white space it has; a single word in two."""
    words = text.split(" ")
    if len(words) == 1:
        half = (len(text) + 1) // 2
        return [piece for piece in (text[:half], text[half:]) if piece]
    groups = [words[n : n + _WORDS] for n in range(0, len(words), _WORDS)]
    return [" ".join(g) + (" " if n < len(groups) - 1 else "") for n, g in enumerate(groups)]


def _cut(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps up to the middle of the last block."""
    last = [n for n, step in enumerate(steps) if step.kind == "start"]
    return steps[: (last[-1] + len(steps)) // 2] if last else ()
