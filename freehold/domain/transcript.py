"""What the model is shown: the feed of a thread as the Messages API's turns.

Order is consumption, not position: input that arrived during a turn comes after that turn's reply,
because the claim that took it in lists it as `consumed`. Results of a reply come first in the turn
that follows it, in the model's order. An operator's message is a turn of its own behind the user
turn in which it was taken in, the only place the API takes it. What a refused request had read
since the last reply is `withdrawn`. Behind a checkpoint its summary stands for what was before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from freehold.domain.checkpoint import Checkpoint, cleared_before, latest_checkpoint
from freehold.domain.entry import Entry
from freehold.domain.erasure import ERASED
from freehold.domain.media import has_media, without_urls
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
_CLEARED: JsonObject = {"type": "text", "text": "(This result was cleared to make room.)"}


def messages_of(entries: Iterable[Entry]) -> list[JsonObject]:
    """The conversation so far. Ends on a user turn whenever a claim has just taken something in.

    Of a feed with a checkpoint, the entries from where its head `begins` are enough.
    """
    return Conversation.of(list(entries)).finish()


@dataclass(frozen=True, slots=True)
class SaidReply:
    """A reply with words or calls in it, by the version of its commit. `is_open`: what follows it
    belongs to it, be it results or its own continuation.
    """

    version: int
    is_open: bool


class Conversation:
    """Folds entries into turns."""

    def __init__(self, checkpoint: Checkpoint | None, cleared: int) -> None:
        """`cleared`: results in commits before this version are shown as cleared."""
        self._cut = checkpoint.cut if checkpoint else 0
        self._cleared = cleared
        self.replies: list[SaidReply] = []
        self.operator: list[tuple[int, JsonObject]] = []
        """What an operator said, with the version of the commit that took it in."""
        self._messages: list[JsonObject] = []
        self._bodies: dict[str, JsonObject] = {}
        self._tool_ids: dict[str, str] = {}
        self._results: dict[str, JsonObject] = {}
        self._user: list[JsonObject] = []
        self._system: list[JsonObject] = []
        self._is_paused = False
        self._was_withdrawn = False
        if checkpoint is not None:
            self._user.append({"type": "text", "text": checkpoint.summary})
            self._system += checkpoint.operator
            self.operator += [(self._cut - 1, block) for block in checkpoint.operator]

    @classmethod
    def of(cls, entries: Sequence[Entry], *, upto: int | None = None, cleared: int = 0) -> Self:
        """The conversation as of the commit before version `upto`, begun at the last checkpoint of
        all these entries.
        """
        cleared = max(cleared, cleared_before(entries))
        conversation = cls(latest_checkpoint(entries), cleared)
        for entry in entries:
            if upto is None or entry.version < upto:
                conversation.read(entry)
        return conversation

    def read(self, entry: Entry) -> None:
        for event in entry.events:
            self._bodies[str(event["id"])] = event
        if entry.version < self._cut:
            return
        if entry.private.get("withdrawn"):
            self._withdraw()
        reply = entry.private.get("reply")
        if isinstance(reply, dict):
            self._assistant(entry.version, reply)
        for event in entry.events:
            self._result(event, is_cleared=entry.version < self._cleared)
        consumed = entry.private.get("consumed")
        for event_id in consumed if isinstance(consumed, list) else ():
            event = self._bodies[str(event_id)]
            if event["type"] == "system.message":
                self._system += _content(event)
                self.operator += [(entry.version, block) for block in _content(event)]
            else:
                self._user += _content(event)

    def _withdraw(self) -> None:
        """The open user turn goes; a call is answered all the same, and an operator is obeyed.

        What nobody can fetch any more is in an earlier turn, if this one had nothing to fetch or
        was not the first to go.
        """
        if self._was_withdrawn or not has_media([*self._user, *self._results.values()]):
            for message in self._messages:
                message["content"] = without_urls(message["content"])
        self._was_withdrawn = True
        self._user = []
        for result in self._results.values():
            result.update(content=[_REFUSED_RESULT], is_error=True)

    def _assistant(self, version: int, reply: JsonObject) -> None:
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
        self._was_withdrawn = False
        self._tool_ids = tool_ids
        self._messages.append({"role": "assistant", "content": [*blocks]})
        self._is_paused = reply.get("stop_reason") == PAUSED
        is_open = bool(tool_ids) or reply.get("stop_reason") in (PAUSED, CUT_SHORT)
        self.replies.append(SaidReply(version, is_open))
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

    def _result(self, event: JsonObject, *, is_cleared: bool) -> None:
        """A result answers the model's own id for the use."""
        use_id = event.get("tool_use_id") or event.get("custom_tool_use_id")
        if not str(event["type"]).endswith("tool_result") or use_id not in self._tool_ids:
            return
        tool_id = self._tool_ids[str(use_id)]
        self._results[tool_id] = {
            "type": "tool_result",
            "tool_use_id": tool_id,
            "content": [_CLEARED] if is_cleared else [*_content(event)] or [_NO_OUTPUT],
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
        """The turns."""
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
