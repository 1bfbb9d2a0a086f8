"""What the model is shown: the feed of a thread as the Messages API's turns.

Order is consumption, not position: input that arrived during a turn comes after that turn's reply,
because the claim that took it in lists it as `consumed`. Results of a reply come first in the turn
that follows it, in the model's order. An operator's message is a turn of its own behind the user
turn in which it was taken in, the only place the API takes it. What a refused request had read
since the last reply is `withdrawn`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from freehold.domain.entry import Entry
from freehold.domain.erasure import ERASED
from freehold.domain.step import CUT_SHORT, PAUSED
from freehold.toolset import JsonObject

_GO_ON: JsonObject = {
    "type": "text",
    "text": "Your reply was cut off here by a time limit. Continue where it stops.",
}
_ERASED: JsonObject = {"type": "text", "text": ERASED}
_NO_OUTPUT: JsonObject = {"type": "text", "text": "(no output)"}
_REFUSED_RESULT: JsonObject = {
    "type": "text",
    "text": "This result cannot be shown to you: the model's API refuses its content.",
}
CACHE_POINT: JsonObject = {"type": "ephemeral"}


def messages_of(entries: Iterable[Entry]) -> list[JsonObject]:
    """The conversation so far. Ends on a user turn whenever a claim has just taken something in."""
    conversation = _Conversation()
    for entry in entries:
        conversation.read(entry)
    return conversation.finish()


class _Conversation:
    """Folds entries into turns."""

    def __init__(self) -> None:
        self._messages: list[JsonObject] = []
        self._bodies: dict[str, JsonObject] = {}
        self._tool_ids: dict[str, str] = {}
        self._results: dict[str, JsonObject] = {}
        self._user: list[JsonObject] = []
        self._system: list[JsonObject] = []
        self._is_paused = False

    def read(self, entry: Entry) -> None:
        for event in entry.events:
            self._bodies[str(event["id"])] = event
        if entry.private.get("withdrawn"):
            self._withdraw()
        reply = entry.private.get("reply")
        if isinstance(reply, dict):
            self._assistant(reply)
        for event in entry.events:
            self._result(event)
        consumed = entry.private.get("consumed")
        for event_id in consumed if isinstance(consumed, list) else ():
            event = self._bodies[str(event_id)]
            turn = self._system if event["type"] == "system.message" else self._user
            turn += _content(event)

    def _withdraw(self) -> None:
        """The open user turn goes; a call is answered all the same, and an operator is obeyed."""
        self._user = []
        for result in self._results.values():
            result.update(content=[_REFUSED_RESULT], is_error=True)

    def _assistant(self, reply: JsonObject) -> None:
        """A reply closes the user turn before it; one without words leaves it open, since user
        turns do not follow one another. A block that an event shows is stored as a reference to
        that event.
        """
        tool_ids: dict[str, str] = {}
        blocks = []
        stored = reply["blocks"]
        for block in stored if isinstance(stored, list) else ():
            assert isinstance(block, dict)
            blocks.append(self._block(block, tool_ids))
        blocks = [block for block in blocks if not _is_blank(block)]
        if not blocks:
            return
        self._close_user()
        self._tool_ids = tool_ids
        self._messages.append({"role": "assistant", "content": [*blocks]})
        self._is_paused = reply.get("stop_reason") == PAUSED
        if reply.get("stop_reason") == CUT_SHORT and not tool_ids:
            self._user.append(_GO_ON)

    def _block(self, block: JsonObject, tool_ids: dict[str, str]) -> JsonObject:
        event_id = block.get("event")
        if not isinstance(event_id, str):
            return block
        event = self._bodies[event_id]
        if block["type"] == "text":
            content = event["content"]
            assert isinstance(content, list)
            part: JsonObject = content[int(str(block["part"]))]  # type: ignore[assignment]
            return {"type": "text", "text": part.get("text", ERASED)}
        tool_ids[event_id] = str(block["id"])
        return {
            "type": "tool_use",
            "id": block["id"],
            "name": event["name"],
            "input": event["input"],
        }

    def _result(self, event: JsonObject) -> None:
        """A result answers the model's own id for the use."""
        use_id = event.get("tool_use_id") or event.get("custom_tool_use_id")
        if not str(event["type"]).endswith("tool_result") or use_id not in self._tool_ids:
            return
        tool_id = self._tool_ids[str(use_id)]
        self._results[tool_id] = {
            "type": "tool_result",
            "tool_use_id": tool_id,
            "content": [*_content(event)] or [_NO_OUTPUT],
            "is_error": bool(event.get("is_error")),
        }

    def _close_user(self) -> None:
        """Results in the order of the calls, then what people said, then the operator's word.
        Consecutive user turns are one.
        """
        ordered = [i for i in self._tool_ids.values() if i in self._results]
        blocks = [self._results.pop(i) for i in ordered] + self._user
        self._user = []
        if not blocks:
            return
        if self._is_paused:
            self._abandon()
        self._messages.append({"role": "user", "content": [*blocks]})
        if self._system:
            self._messages.append({"role": "system", "content": [*self._system]})
            self._system = []

    def _abandon(self) -> None:
        """A paused reply that nobody resumed: what the provider had not answered of it is left out,
        since only the provider can.
        """
        self._is_paused = False
        content = self._messages.pop()["content"]
        blocks = [b for b in content if isinstance(b, dict)] if isinstance(content, list) else []
        answered = {block.get("tool_use_id") for block in blocks}
        kept = [b for b in blocks if b["type"] != "server_tool_use" or b["id"] in answered]
        if kept:
            self._messages.append({"role": "assistant", "content": [*kept]})

    def finish(self) -> list[JsonObject]:
        self._close_user()
        return self._messages


def _content(event: JsonObject) -> list[JsonObject]:
    """The blocks of an event as the model takes them: a word where content was erased, and no text
    without words, which the API refuses wherever it stands.
    """
    content = event.get("content")
    blocks = [b for b in content if isinstance(b, dict)] if isinstance(content, list) else []
    shown = (_ERASED if b.get("type") == "redacted" else b for b in blocks)
    kept = (b for b in shown if not _is_blank(b))
    return [_uncited(b) if b.get("type") == "search_result" else b for b in kept]


def _uncited(block: JsonObject) -> JsonObject:
    """Events have no place for citations, and the API refuses a request in which some search
    results ask for them and others do not.
    """
    return {**block, "citations": {"enabled": False}}


def _is_blank(block: JsonObject) -> bool:
    return block.get("type") == "text" and not str(block.get("text")).strip()


def with_cache_points(
    system: Sequence[JsonObject], tools: Sequence[JsonObject], messages: Sequence[JsonObject]
) -> tuple[tuple[JsonObject, ...], tuple[JsonObject, ...], tuple[JsonObject, ...]]:
    """Breakpoints within the API's four: after tools and system, and on the last two user turns.

    The older of the two is where the previous request put its last one, so everything before it is
    read, not written.
    """
    marked_system, marked_tools = list(system), list(tools)
    if marked_system:
        marked_system[-1] = {**marked_system[-1], "cache_control": CACHE_POINT}
    elif marked_tools:
        marked_tools[-1] = {**marked_tools[-1], "cache_control": CACHE_POINT}
    marked = list(messages)
    users = [n for n, message in enumerate(marked) if message["role"] == "user"]
    for n in users[-2:]:
        content = marked[n]["content"]
        assert isinstance(content, list)
        last = content[-1]
        assert isinstance(last, dict)
        point: JsonObject = {**last, "cache_control": CACHE_POINT}
        marked[n] = {**marked[n], "content": [*content[:-1], point]}
    return tuple(marked_system), tuple(marked_tools), tuple(marked)
