"""A double of the Messages API, over real HTTP, that enforces the API's rules.

    with MessagesServer() as api:
        client = anthropic.Anthropic(base_url=api.url, api_key=api.api_key)

It answers what the scripted model would (`freehold.testing.script`), as a stream or in one piece,
counts the prompt cache as the API does, signs thinking and knows its own signatures, remembers
every request, and breaks one on demand (`fail_next`). On its own:

    python -m freehold.testing.messages_server --port 0
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import secrets
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass, field, replace
from itertools import count
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Self

from freehold.ports import ModelRequest
from freehold.testing.messages_dialects import ClaudeApi
from freehold.testing.messages_http import HttpServer
from freehold.testing.messages_refused import Refused
from freehold.testing.messages_rules import check, known_model
from freehold.testing.messages_stream import Answer
from freehold.testing.messages_thinking import Seal, prefixes
from freehold.testing.messages_turns import merged
from freehold.testing.prompt_cache import PromptCache, segments
from freehold.testing.scripted_model import output_tokens
from freehold.testing.scripted_reply import Brain

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence

    from freehold.testing.messages_dialects import Dialect
    from freehold.testing.messages_faults import Fault
    from freehold.toolset import Json, JsonObject

_LARGEST_BODY = 32 * 1024 * 1024


@dataclass(slots=True)
class Recorded:
    """One request as it arrived. The key is left out of `headers`, whose names are in lower case.

    `client` is the address of the connection's other end: equal, the same connection. `status` is
    set once it is answered; `ended` when nothing more is sent, `left` when the client was gone
    before that.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes
    client: object
    status: int | None = None
    ended: Event = field(default_factory=Event)
    left: Event = field(default_factory=Event)

    @property
    def json(self) -> JsonObject:
        found: JsonObject = json.loads(self.body)
        return found

    @property
    def prompt(self) -> list[bytes]:
        """The prompt block by block, without breakpoints: what is to be stable over turns."""
        return [part.data for part in segments(model_request(self.json))]


class MessagesServer:
    """The double. Listens from the start of the `with` block until its end.

    `clock` answers the prompt cache's seconds. With `tls` it speaks HTTPS. `dialect` makes it
    another provider's endpoint, which has no `api_key`. Prompts of more tokens than `window` are
    refused.
    """

    def __init__(
        self,
        *,
        api_key: str = "test-key",
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
        tls: ssl.SSLContext | None = None,
        dialect: Dialect | None = None,
        window: int | None = None,
    ) -> None:
        self.api_key = api_key
        self.dialect = dialect or ClaudeApi(api_key)
        self.requests: list[Recorded] = []
        self._faults: deque[Fault] = deque()
        self._key = secrets.token_bytes(32)
        self._brain = Brain(self._sign, window)
        self._cache = PromptCache(clock)
        self._thinking: dict[str, tuple[JsonObject, ...]] = {}
        self._paused: set[str] = set()
        self._bound: dict[str, set[bytes]] = {}
        self._ids = count(1)
        self._lock = Lock()
        self._scheme = "https" if tls else "http"
        self._http = HttpServer((host, port), self, tls)
        self._thread = Thread(target=self._http.serve, name="messages-server")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.stop()
        self._thread.join()

    @property
    def url(self) -> str:
        host, port = self._http.server_address[:2]
        return f"{self._scheme}://{host!s}:{port}"

    def fail_next(self, *faults: Fault) -> None:
        """The next requests with a good key meet these faults, one each."""
        with self._lock:
            self._faults.extend(faults)

    def drop_connections(self) -> None:
        """Ends every open connection, in use or idle."""
        self._http.drop_connections()

    # ------------------------------------------------------------ what the HTTP side asks
    def next_id(self, prefix: str) -> str:
        with self._lock:
            return f"{prefix}_{next(self._ids):024d}"

    def record(
        self, path: str, headers: Mapping[str, str], body: bytes, client: object
    ) -> Recorded:
        """Remembers a request, without its key."""
        lower = {name.lower(): value for name, value in headers.items()}
        kept = {k: v for k, v in lower.items() if k not in {"x-api-key", "authorization"}}
        recorded = Recorded(path, kept, body, client)
        with self._lock:
            self.requests.append(recorded)
        return recorded

    def next_fault(self) -> Fault | None:
        with self._lock:
            return self._faults.popleft() if self._faults else None

    def answer(self, sent: Mapping[str, str], body: bytes) -> tuple[Answer, bool]:
        """The reply to a request, and whether it is to be streamed. Raises Refused."""
        given = _parse(sent, body)
        betas = frozenset(part.strip() for part in sent.get("anthropic-beta", "").split(","))
        parsed = check(given, betas=betas, seal=self._seal())
        request = model_request(given)
        reply = self._brain.answer(request)
        if reply.failure:
            failure, after = reply.failure, reply.retry_after
            headers = {} if after is None else {"retry-after": f"{after:g}"}
            raise Refused(failure.status, failure.type, failure.message, headers=headers)
        self._remember(reply.blocks, is_paused=reply.stop_reason == "pause_turn")
        self._bind(reply.blocks, list(prefixes(parsed, merged(parsed.messages)))[-1])
        parameters = json.dumps([given.get("tool_choice"), given.get("thinking")])
        used = self._cache.use(request, parameters)
        usage = replace(used, output_tokens=output_tokens(reply.blocks))
        return Answer(self.next_id("msg"), request.model, reply, usage), parsed.stream

    def model(self, model_id: str) -> JsonObject:
        """What `GET /v1/models/{id}` answers. Raises Refused."""
        if not known_model(model_id):
            raise Refused(404, "not_found_error", f"model: {model_id}")
        return {
            "type": "model",
            "id": model_id,
            "display_name": model_id,
            "created_at": "2026-01-01T00:00:00Z",
            "lifecycle": "active",
        }

    def _sign(self, text: str) -> str:
        return base64.b64encode(hmac.digest(self._key, text.encode(), hashlib.sha256)).decode()

    def _seal(self) -> Seal:
        return Seal(
            self._sign,
            self._thinking.get,
            lambda blocks: _name(blocks) in self._paused,
            self._bound.get,
        )

    def _bind(self, blocks: tuple[JsonObject, ...], prefix: bytes) -> None:
        """The same words may be thought in several places."""
        with self._lock:
            for block in blocks:
                if block["type"] == "thinking":
                    self._bound.setdefault(str(block["signature"]), set()).add(prefix)

    def _remember(self, blocks: tuple[JsonObject, ...], *, is_paused: bool) -> None:
        thoughts = tuple(b for b in blocks if b["type"] in {"thinking", "redacted_thinking"})
        uses = {str(block["id"]): thoughts for block in blocks if block["type"] == "tool_use"}
        with self._lock:
            self._thinking.update(uses)
            if is_paused:
                self._paused.add(_name(blocks))


def _parse(headers: Mapping[str, str], body: bytes) -> JsonObject:
    if "anthropic-version" not in headers:
        raise Refused(400, "invalid_request_error", "anthropic-version: header is required")
    if not headers.get("content-type", "").startswith("application/json"):
        raise Refused(400, "invalid_request_error", "content-type: must be application/json")
    if len(body) > _LARGEST_BODY:
        raise Refused(413, "request_too_large", "Request exceeds the maximum size")
    try:
        given = json.loads(body)
    except ValueError as error:
        text = f"The request body is not valid JSON: {error}"
        raise Refused(400, "invalid_request_error", text) from None
    if not isinstance(given, dict):
        raise Refused(400, "invalid_request_error", "Input should be an object")
    return given


def _name(blocks: Sequence[Json]) -> str:
    """Names a reply by what it says."""
    return json.dumps(list(blocks), sort_keys=True)


def model_request(body: JsonObject) -> ModelRequest:
    """A request body that keeps to the rules, in the port's terms."""
    config = body.get("output_config")
    speed = body.get("speed")
    system = body.get("system") or []
    return ModelRequest(
        model=str(body["model"]),
        system=_objects([{"type": "text", "text": system}] if isinstance(system, str) else system),
        tools=_objects(body.get("tools")),
        messages=_objects(body["messages"]),
        max_tokens=int(str(body["max_tokens"])),
        effort=str(config["effort"]) if isinstance(config, dict) and config.get("effort") else None,
        speed=str(speed) if speed else None,
    )


def _objects(found: object) -> tuple[JsonObject, ...]:
    return (
        tuple(item for item in found if isinstance(item, dict)) if isinstance(found, list) else ()
    )


def main() -> None:
    """Serves until SIGINT or SIGTERM."""
    options = argparse.ArgumentParser(description="A double of the Messages API.")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--api-key", default="test-key")
    given = options.parse_args()
    ended = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with MessagesServer(port=given.port, api_key=given.api_key) as server:
        sys.stdout.write(f"Messages API double at {server.url}\n")
        sys.stdout.flush()
        ended.wait()


if __name__ == "__main__":
    main()
