"""Turns the chunks of an open model request into the events of a reply, previewing text as it
comes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

from freehold.domain import permissions
from freehold.domain.session import Use, UseState
from freehold.domain.step import CUT_SHORT, Failure, Reply, ReplyEvent
from freehold.errors import ModelError
from freehold.ids import new_id
from freehold.ports import (
    BlockDone,
    BlockStarted,
    Feed,
    OpenReply,
    ReplyDone,
    TextDelta,
    Usage,
    UsageSeen,
)
from freehold.toolset import JsonObject
from freehold.wire.content import AgentContent, TextBlock
from freehold.wire.events import (
    AgentCustomToolUseEvent,
    AgentMessageEvent,
    AgentThinkingEvent,
    AgentToolUseEvent,
    SessionRefusalStopDetails,
)
from freehold.wire.session_events import RefusalCategory
from freehold.wire.sessions import SessionAgent

_UNSTAMPED = ""


@dataclass(slots=True)
class _Message:
    """A run of text blocks without another block between them: one `agent.message`."""

    id: str
    texts: dict[int, str] = field(default_factory=dict)


class ReplyReader:
    """Reads one reply. Previews carry the ids of the events that will follow, in the order they
    will (BEHAVIOUR 8.3).
    """

    def __init__(self, agent: SessionAgent, feed: Feed, topic: str) -> None:
        self._agent = agent
        self._feed = feed
        self._topic = topic
        self._message: _Message | None = None
        self._thinking_id = ""
        self._events: list[ReplyEvent] = []
        self._uses: list[Use] = []
        self._denied: dict[str, str] = {}
        self._children: list[tuple[str, str]] = []
        self._blocks: list[JsonObject] = []
        self.usage = Usage()

    def read(self, reply: OpenReply) -> Reply:
        """The complete reply. Raises ModelError, ModelStopped."""
        for chunk in reply:
            if isinstance(chunk, BlockStarted):
                self._open_block(chunk)
            elif isinstance(chunk, TextDelta):
                self._preview_text(chunk)
            elif isinstance(chunk, BlockDone):
                self._close_block(chunk)
            elif isinstance(chunk, UsageSeen):
                self.usage = chunk.usage
            elif isinstance(chunk, ReplyDone):
                return self._reply(chunk)
        raise ModelError("model_request_failed", "The model's reply was cut off.", retryable=True)

    def cut_short(self) -> Reply | Failure:
        """What is complete of a reply that there was no time to read on; with none of it, a failed
        request.
        """
        done = ReplyDone(CUT_SHORT, self.usage)
        if self._message is not None:
            complete = {n: text for n, text in self._message.texts.items() if text}
            self._message.texts = complete
        if not self._blocks:
            error = ModelError("model_request_failed", "The reply took too long.", retryable=True)
            return Failure(error, self.usage)
        return self._reply(done)

    # ------------------------------------------------------------ blocks
    def _open_block(self, chunk: BlockStarted) -> None:
        if chunk.type == "text":
            if self._message is None:
                self._message = _Message(new_id("sevt"))
                self._preview_start("agent.message", self._message.id)
            self._message.texts[chunk.index] = ""
            return
        self._close_message()
        if chunk.type == "thinking":
            self._thinking_id = new_id("sevt")
            self._preview_start("agent.thinking", self._thinking_id)

    def _close_block(self, chunk: BlockDone) -> None:
        block = chunk.block
        kind = block.get("type")
        if kind == "text":
            self._close_text(chunk)
        elif kind == "tool_use":
            self._use_tool(block)
        else:
            if kind == "thinking":
                event_id = self._thinking_id or new_id("sevt")
                self._events.append(AgentThinkingEvent(id=event_id, processed_at=_UNSTAMPED))
            self._blocks.append(block)

    def _close_text(self, chunk: BlockDone) -> None:
        """An empty text block is dropped: the API takes none back."""
        message = self._message
        text = str(chunk.block.get("text", ""))
        if message is None or not text:
            if message is not None:
                message.texts.pop(chunk.index, None)
            return
        message.texts[chunk.index] = text
        part = list(message.texts).index(chunk.index)
        self._blocks.append({"type": "text", "event": message.id, "part": part})

    def _close_message(self) -> None:
        message, self._message = self._message, None
        if message is None or not any(message.texts.values()):
            return
        content: list[AgentContent] = [
            TextBlock(text=text) for text in message.texts.values() if text
        ]
        self._events.append(
            AgentMessageEvent(id=message.id, content=content, processed_at=_UNSTAMPED)
        )

    def _use_tool(self, block: JsonObject) -> None:
        event_id, name = new_id("sevt"), str(block["name"])
        found = block.get("input")
        given = found if isinstance(found, dict) else {}
        if any(tool.name == name for tool in permissions.custom_tools(self._agent)):
            self._use_custom_tool(event_id, name, given)
        else:
            self._use_built_in(event_id, name, given)
        self._blocks.append({"type": "tool_use", "event": event_id, "id": block["id"]})

    def _use_custom_tool(self, event_id: str, name: str, given: JsonObject) -> None:
        self._events.append(
            AgentCustomToolUseEvent(id=event_id, name=name, input=given, processed_at=_UNSTAMPED)
        )
        self._uses.append(Use(event_id, 0, name, "ask", custom=True))

    def _use_built_in(self, event_id: str, name: str, given: JsonObject) -> None:
        """A name nobody knows is treated like a tool that is not enabled."""
        decision = permissions.evaluate(self._agent, name)
        self._events.append(
            AgentToolUseEvent(
                id=event_id,
                name=name,
                input=given,
                evaluated_permission=decision.permission,
                evaluation=decision.evaluation,
                processed_at=_UNSTAMPED,
            )
        )
        if decision.permission == "deny":
            self._denied[event_id] = f"Permission to use {name} has been denied."
        state: UseState = "ask" if decision.permission == "ask" else "allow"
        self._uses.append(Use(event_id, 0, name, state))

    # ------------------------------------------------------------ previews
    def _preview_start(self, kind: str, event_id: str) -> None:
        if self._feed.previewed(self._topic):
            frame: JsonObject = {"type": "event_start", "event": {"type": kind, "id": event_id}}
            self._feed.preview(self._topic, frame)

    def _preview_text(self, chunk: TextDelta) -> None:
        if self._message is None or not self._feed.previewed(self._topic):
            return
        index = list(self._message.texts).index(chunk.index)
        content: JsonObject = {"type": "text", "text": chunk.text}
        delta: JsonObject = {"type": "content_delta", "index": index, "content": content}
        self._feed.preview(
            self._topic, {"type": "event_delta", "event_id": self._message.id, "delta": delta}
        )

    # ------------------------------------------------------------ the end
    def _reply(self, done: ReplyDone) -> Reply:
        self._close_message()
        details = None
        if done.stop_reason == "refusal":
            details = _refusal(done.stop_details or {})
            self._drop_calls()
        messages = [e for e in self._events if isinstance(e, AgentMessageEvent)]
        texts = [b.text for e in messages for b in e.content if isinstance(b, TextBlock)]
        return Reply(
            events=tuple(self._events),
            uses=tuple(self._uses),
            blocks=tuple(self._blocks),
            usage=done.usage,
            stop_reason=done.stop_reason,
            stop_details=details,
            denied=self._denied,
            children=tuple(self._children),
            text="\n\n".join(texts),
        )

    def _drop_calls(self) -> None:
        """A refused reply calls nothing: what it had begun to ask for before is not run."""
        calls = {use.event_id for use in self._uses}
        self._events = [event for event in self._events if event.id not in calls]
        self._blocks = [block for block in self._blocks if block.get("event") not in calls]
        self._uses, self._denied = [], {}


def _refusal(given: JsonObject) -> SessionRefusalStopDetails:
    """A category that this API does not know is shown as null."""
    category, explanation = given.get("category"), given.get("explanation")
    known = next((c for c in get_args(RefusalCategory) if c == category), None)
    text = explanation if isinstance(explanation, str) else None
    return SessionRefusalStopDetails(category=known, explanation=text)
