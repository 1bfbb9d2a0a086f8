"""The steps of `freehold smoke`, each of which needs the ones before it."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from freehold.cli.installation import Installation
from freehold.cli.smoke_readers import (
    AT_NIGHT,
    NotServed,
    StepFailed,
    is_local,
    read_socket,
    read_stream,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anthropic import Anthropic

Status: TypeAlias = Literal["ok", "failed", "skipped"]

_MESSAGE = "This is a test of the installation. Answer with one word."
_WORKSPACE = "smoke-tests"
"""What a run that makes its own key leaves nothing in."""
_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """How one step went. `remedy` is a command or an action; empty when there is nothing to do."""

    name: str
    status: Status
    seconds: float
    detail: str
    remedy: str = ""


class Smoke:
    """One run. What it makes is gone after `steps` has been exhausted, however that went."""

    def __init__(
        self,
        stack: str,
        agent_model: str,
        base_url: str | None,
        websocket_url: str | None,
        patience: float,
    ) -> None:
        self._installation = Installation(stack)
        self._model = agent_model
        self._base_url = base_url or ""
        self._websocket_url = websocket_url
        self._patience = patience
        self._key = os.environ.get("FREEHOLD_API_KEY", "")
        self._client: Anthropic
        self._made: list[tuple[str, Callable[[], object]]] = []
        self._ids: dict[str, str] = {}
        self._events: list[Any] = []

    def steps(self) -> Iterator[Step]:
        """Each as soon as it is known. The first that fails is followed by the cleaning up only."""
        is_well = True
        for name, act in (
            ("stacks", self._look_up),
            ("key", self._get_key),
            ("agent", self._create_agent),
            ("environment", self._create_environment),
            ("session", self._create_session),
            ("message", self._send),
            ("idle", self._wait),
            ("events", self._list),
            ("stream", self._stream),
            ("websocket", self._follow_socket),
        ):
            step = self._step(name, act)
            yield step
            if step.status == "failed":
                is_well = False
                break
        if self._made or is_well:
            yield self._step("clean up", self._clean_up)

    def _step(self, name: str, act: Callable[[], str]) -> Step:
        import anthropic  # noqa: PLC0415 - two seconds, which no other command should pay
        from websockets.exceptions import WebSocketException  # noqa: PLC0415 - as above

        began = time.monotonic()
        status: Status = "failed"
        remedy = ""
        try:
            detail, status = act(), "ok"
        except NotServed as missing:
            detail, status = str(missing), "skipped"
        except StepFailed as failed:
            detail, remedy = str(failed), failed.remedy
        except anthropic.APIStatusError as refused:
            detail, remedy = _refusal(refused), self._remedy(refused.status_code)
        except (anthropic.AnthropicError, WebSocketException, OSError) as lost:
            detail = f"{self._base_url or 'the API'} does not answer: {lost}"
            remedy = "freehold deploy check; is the address reachable from here?"
        took = round(time.monotonic() - began, 2)
        return Step(name, status, took, " ".join(detail.split()), remedy)

    def _remedy(self, status: int) -> str:
        if status in {401, 403}:
            create = f"freehold keys create --stack {self._installation.name}-Data"
            return f"set FREEHOLD_API_KEY to a key of this installation, or unset it ({create})"
        return AT_NIGHT

    # ------------------------------------------------------------ the steps
    def _look_up(self) -> str:
        from freehold.adapters.aws_stack import (  # noqa: PLC0415 - few commands pay
            StackMissing,
            StackUnusable,
        )

        try:
            self._base_url = self._base_url or self._installation.stack("Api").output("BaseUrl")
            if self._websocket_url is None:
                with suppress(StackMissing):
                    live = self._installation.stack("Live")
                    self._websocket_url = live.outputs().get("WebSocketUrl")
        except StackMissing as missing:
            remedy = "set AWS_REGION to the Region of the deployment, and --stack to its name"
            raise StepFailed(str(missing), remedy) from missing
        except StackUnusable as failed:
            raise StepFailed(str(failed), "freehold deploy check") from failed
        return self._base_url

    def _get_key(self) -> str:
        """A key of the caller's, or one that lives as long as this run."""
        from freehold.adapters.aws_stack import (  # noqa: PLC0415 - few commands pay
            StackUnusable,
            in_one_line,
        )
        from freehold.bootstrap_aws import records  # noqa: PLC0415 - as above
        from freehold.services import keys  # noqa: PLC0415 - as above

        found = "FREEHOLD_API_KEY"
        if not self._key:
            data = self._installation.stack("Data")
            try:
                store = records(data.output("TableName"))
                with in_one_line(data.name):
                    self._key = keys.create_key(store, _WORKSPACE)
                    listed = [k for k in keys.list_keys(store) if k.workspace == _WORKSPACE]
            except StackUnusable as failed:
                remedy = "set FREEHOLD_API_KEY, or use credentials that may write the table"
                raise StepFailed(str(failed), remedy) from failed
            found = next(k.id for k in listed if self._key.endswith(k.last_characters))
            self._remember("key", found)

            def revoke() -> None:
                with in_one_line(data.name):
                    keys.revoke_key(store, found)

            self._made.append(("key", revoke))
        self._client = _client(self._base_url, self._key)
        return found

    def _create_agent(self) -> str:
        agents = self._client.beta.agents
        agent = agents.create(name="Smoke test", model=self._model, system="Be brief.")
        self._made.append(("agent", lambda: agents.archive(agent.id)))
        return self._remember("agent", agent.id)

    def _create_environment(self) -> str:
        environments = self._client.beta.environments
        environment = environments.create(name=f"smoke-{secrets.token_hex(4)}")
        self._made.append(("environment", lambda: environments.delete(environment.id)))
        return self._remember("environment", environment.id)

    def _create_session(self) -> str:
        sessions = self._client.beta.sessions
        session = sessions.create(
            agent=self._ids["agent"], environment_id=self._ids["environment"], title="Smoke test"
        )
        self._made.append(("session", lambda: sessions.delete(session.id)))
        return self._remember("session", session.id)

    def _remember(self, kind: str, name: str) -> str:
        self._ids[kind] = name
        return name

    def _send(self) -> str:
        sent = self._client.beta.sessions.events.send(
            self._ids["session"],
            events=[{"type": "user.message", "content": [{"type": "text", "text": _MESSAGE}]}],
        )
        return str(sent.data[0].id if sent.data else "sent")

    def _wait(self) -> str:
        """Until the answer is there. A model that fails is named by the session itself."""
        deadline = time.monotonic() + self._patience
        while True:
            self._events = list(self._client.beta.sessions.events.list(self._ids["session"]))
            self._fail_with_model()
            if self._events and self._events[-1].type == "session.status_idle":
                said = [e for e in self._events if e.type == "agent.message"]
                if said:
                    return "".join(b.text for b in said[-1].content if b.type == "text")[:80]
                raise StepFailed("the session is idle and nothing was said", AT_NIGHT)
            if time.monotonic() > deadline:
                seen = self._events[-1].type if self._events else "nothing"
                raise StepFailed(f"not idle after {self._patience:.0f} s: {seen}", AT_NIGHT)
            time.sleep(_POLL_SECONDS)

    def _fail_with_model(self) -> None:
        for event in self._events:
            if event.type == "session.error" and event.error.retry_status.type != "retrying":
                remedy = f"freehold model-key set --stack {self._installation.name}-Data"
                raise StepFailed(event.error.message, remedy)

    def _list(self) -> str:
        found = self._client.beta.sessions.events.list(self._ids["session"], limit=2)
        paged = [event.id for event in found]
        if paged != [event.id for event in self._events]:
            raise StepFailed("pages of two hold other events than one page", AT_NIGHT)
        return f"{len(paged)} events"

    def _stream(self) -> str:
        return f"{read_stream(self._client, self._ids['session'], self._patience)} events"

    def _follow_socket(self) -> str:
        url, session_id = self._websocket_url, self._ids["session"]
        return f"{read_socket(url, self._key, session_id, self._patience)} events"

    def _clean_up(self) -> str:
        """Everything, newest first, whatever of it fails."""
        import anthropic  # noqa: PLC0415 - loaded by now

        from freehold.adapters.aws_stack import StackUnusable  # noqa: PLC0415 - as above

        left = []
        for kind, remove in reversed(self._made):
            try:
                remove()
            except (anthropic.AnthropicError, StackUnusable):
                left.append(f"{kind} {self._ids[kind]}")
        if left:
            remedy = "delete them by the API; a key: freehold keys revoke"
            raise StepFailed(f"still there: {', '.join(left)}", remedy)
        return ", ".join(kind for kind, _ in reversed(self._made))


def _client(base_url: str, key: str) -> Anthropic:
    """A proxy of the environment is for the outside, not for 127.0.0.1."""
    import anthropic  # noqa: PLC0415 - loaded by now

    http = anthropic.DefaultHttpxClient(trust_env=not is_local(base_url))
    return anthropic.Anthropic(base_url=base_url, api_key=key, http_client=http, timeout=60)


def _refusal(refused: Any) -> str:
    """The sentence of an error envelope, and by what to find it in the log."""
    error = refused.body.get("error") if isinstance(refused.body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return f"{refused.status_code}: {message or refused} ({refused.request_id})"
