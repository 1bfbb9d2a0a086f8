"""The web calls of one round of tools. They run here, in the control plane, at least once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from freehold.domain import permissions
from freehold.domain.accounting import Spent
from freehold.domain.shown_urls import is_shown
from freehold.domain.web_rules import rules_of
from freehold.engine.environment import read_environment
from freehold.engine.history import History
from freehold.engine.observing import observed_search
from freehold.engine.pricing import spent_by
from freehold.errors import SandboxStarting, ToolError, WebCallStopped
from freehold.keys import SessionKey
from freehold.ports import App, Run, SandboxRef, Usage, WebCall
from freehold.session_doc import read_doc
from freehold.toolset import (
    INTERRUPTED,
    MAX_RESULT_CHARACTERS,
    WEB_TOOLS,
    JsonObject,
    ToolCall,
    ToolResult,
    excerpt,
    refusal,
)
from freehold.wire.environments import Environment
from freehold.wire.sessions import SessionAgent
from freehold.wire.tools import WebFetchToolConfig, WebFetchURLSources, WebSearchToolConfig

_NOT_SHOWN = (
    "url_not_allowed: {} was not shown in this conversation by a source that web_fetch may use: a"
    " message of the user, the result of a custom tool, or an earlier web_search or web_fetch."
)
_READERS = {"bash", "read", "grep"}
_NO_FILE = "the rest is left out, as there is no sandbox to keep it in"


@dataclass(frozen=True, slots=True)
class _Ground:
    """What the calls of a round are judged by. No environment: it was deleted by force."""

    agent: SessionAgent
    environment: Environment | None


class WebCalls:
    """Thread-safe: the calls of a round run in parallel."""

    def __init__(self, app: App, run: Run, history: History) -> None:
        self._app = app
        self._run = run
        self._key = SessionKey(run.workspace_id, run.session_id)
        self._history = history
        self._lock = Lock()
        self._running: list[WebCall] = []
        self._ground: _Ground | None = None
        self._stopped: ToolResult | None = None
        self._is_stopped = False
        self._ended: list[WebCall] = []

    @property
    def spent(self) -> list[Spent]:
        """What the calls that have ended spent of the model."""
        with self._lock:
            usages = [call.usage for call in self._ended]
        if not any(usage != Usage() for usage in usages):
            return []
        agent = self._grounds().agent
        return [spent_by(self._app, agent, usage) for usage in usages]

    def execute(self, call: ToolCall) -> ToolResult | None:
        """The call's result; None when this invocation ends before it has one."""
        refused = refusal(call, WEB_TOOLS)
        if refused is not None:
            return ToolResult.text(refused, is_error=True)
        try:
            opened = self._open(call)
            if isinstance(opened, ToolResult):
                return opened
            agent = self._grounds().agent
            with self._registered(opened), observed_search(self._app, self._run, agent, opened):
                return self._shortened(call, opened.result())
        except WebCallStopped:
            return self._stopped
        except ToolError as error:
            return ToolResult.text(str(error), is_error=True)

    def interrupt(self) -> None:
        """Ends every call at once; each answers that it was interrupted."""
        self._stop(ToolResult.text(INTERRUPTED, is_error=True))

    def leave(self) -> None:
        """Ends every call at once, without an answer: another invocation will make it again."""
        self._stop(None)

    def _stop(self, answer: ToolResult | None) -> None:
        with self._lock:
            if not self._is_stopped:
                self._is_stopped, self._stopped = True, answer
            running = list(self._running)
        for call in running:
            call.close()

    @contextmanager
    def _registered(self, call: WebCall) -> Iterator[None]:
        with self._lock:
            if self._is_stopped:
                raise WebCallStopped
            self._running.append(call)
        try:
            yield
        finally:
            with self._lock:
                self._running.remove(call)
                self._ended.append(call)

    # ------------------------------------------------------------ what a call may do
    def _open(self, call: ToolCall) -> WebCall | ToolResult:
        """The call, or why it is not made."""
        ground = self._grounds()
        config = permissions.config_of(ground.agent, call.name)
        permits = rules_of(config, ground.environment).permits
        if call.name == "web_search":
            own = config if isinstance(config, WebSearchToolConfig) else None
            location = own.user_location if own else None
            given = location.model_dump(exclude={"type"}, exclude_none=True) if location else {}
            domains = tuple(own.allowed_domains or ()) if own else ()
            query = str(call.input["query"])
            return self._app.web.search(
                query,
                permits=permits,
                domains=domains,
                location=given,
                model=ground.agent.model.id,
            )
        url = str(call.input["url"])
        fetch = config if isinstance(config, WebFetchToolConfig) else None
        if not self._is_shown(url, fetch.url_sources if fetch else None):
            return ToolResult.text(_NOT_SHOWN.format(url), is_error=True)
        limit = fetch.max_content_tokens if fetch else None
        return self._app.web.fetch(url, permits=permits, max_tokens=limit)

    def _is_shown(self, url: str, sources: WebFetchURLSources | None) -> bool:
        """What was shown before the checkpoint counts too: the summary may name it."""
        known = is_shown(url, self._history.entries, sources)
        return known or is_shown(url, self._history.everything(), sources)

    def _grounds(self) -> _Ground:
        """As of the first call of the round."""
        with self._lock:
            if self._ground is None:
                doc = read_doc(self._app.records, self._app.blobs, self._key).doc
                environment = read_environment(
                    self._app.records, self._app.blobs, self._key.workspace_id, doc
                )
                self._history.refresh()
                self._ground = _Ground(doc.agent, environment)
            return self._ground

    # ------------------------------------------------------------ long results
    def _shortened(self, call: ToolCall, result: ToolResult) -> ToolResult:
        """A text of more than 100,000 characters goes to a file in the sandbox (BEHAVIOUR 3.1)."""
        content = [
            {**block, "text": self._excerpt(call, str(block["text"]))}
            if block["type"] == "text" and len(str(block["text"])) > MAX_RESULT_CHARACTERS
            else block
            for block in result.content
        ]
        return ToolResult(tuple(content), result.is_error)

    def _excerpt(self, call: ToolCall, text: str) -> str:
        path = f"/workspace/.web/{call.event_id}.txt"
        kept = self._keep(call, path, text)
        return excerpt(text, f"all of them are in {path}" if kept else _NO_FILE)

    def _keep(self, call: ToolCall, path: str, text: str) -> bool:
        """Whether the text is in the sandbox now, where the agent can read it.

        The write is a call of its own, named by its content: a fetch that is made again after a
        crash may bring something else.
        """
        if not _READERS & set(permissions.enabled_tools(self._grounds().agent)):
            return False
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        given: JsonObject = {"file_path": path, "content": text}
        write = ToolCall(call.thread_id, f"{call.event_id}_{digest}", "write", given)
        ref = SandboxRef(self._key.workspace_id, self._key.session_id)
        try:
            boot_id = self._app.sandboxes.boot(ref)
            written = None
            while written is None and not self._is_stopped:
                written = self._app.sandboxes.execute(ref, boot_id, write)
        except (SandboxStarting, ToolError):
            return False
        return written is not None and not written.is_error
