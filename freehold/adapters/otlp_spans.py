"""Spans of OpenTelemetry's GenAI conventions, sent over OTLP/HTTP: a trace per run of a thread,
with `invoke_agent` at its root and below it each model request (`chat`) and each tool call.

Ids are derived from the run's, so the parts of a run that different invocations tell of are one
trace, whoever tells them and in whatever order. A span holds ids, names, numbers and outcomes. What
was said is left out unless the operator asks for it.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from freehold import __version__
from freehold.facts import Fact, ModelRequestEnded, ToolCallEnded, TurnEnded
from freehold.ports import Run

_PROVIDERS = {
    "anthropic": "anthropic",
    "bedrock": "aws.bedrock",
    "claude-platform-aws": "anthropic",
}
_MOST_CHARACTERS = 100_000
"""Of one attribute of content; what is longer is cut there."""
_SEND_SECONDS = 5.0
_CLOSE_SECONDS = 2.0
_SCOPE = InstrumentationScope("freehold", __version__)

Attributes = dict[str, str | int | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Names:
    """Of the trace and of its root span. `id` tells further spans of the trace apart."""

    run: Run

    @property
    def _base(self) -> str:
        """A successor is the same running period: its leg is left out."""
        return f"{self.run.session_id}/{self.run.thread_id}/{self.run.epoch}"

    def context(self, id_: str = "") -> SpanContext:
        return SpanContext(
            trace_id=_number(self._base, 16),
            span_id=_number(f"{self._base}/{id_}", 8),
            is_remote=False,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
        )


class OtlpSpans:
    """A listener of `facts.told_to`. It queues and returns: a thread of its own sends, and drops
    what nobody takes, so an endpoint that is not there costs nothing but a line of log.
    """

    def __init__(self, endpoint: str, *, provider: str, with_content: bool) -> None:
        """`endpoint` is a collector's base URL; `provider` is `Settings.model`."""
        exporter = OTLPSpanExporter(
            endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_SEND_SECONDS
        )
        self._processor = BatchSpanProcessor(exporter, schedule_delay_millis=1000)
        self._provider = _PROVIDERS.get(provider, f"freehold.{provider}")
        self._with_content = with_content
        self._resource = Resource.create(
            {"service.name": "freehold", "service.version": __version__}
        )

    def observe(self, fact: Fact) -> None:
        if isinstance(fact, ModelRequestEnded):
            self._model_request(fact)
        elif isinstance(fact, ToolCallEnded):
            self._tool_call(fact)
        elif isinstance(fact, TurnEnded):
            self._turn(fact)

    def close(self) -> None:
        """Sends what is queued, for as long as the end of a server may wait for it."""
        end = threading.Thread(target=self._processor.shutdown, name="spans-end", daemon=True)
        end.start()
        end.join(_CLOSE_SECONDS)

    # ------------------------------------------------------------ spans
    def _model_request(self, fact: ModelRequestEnded) -> None:
        usage, request = fact.usage, fact.request
        created = usage.cache_creation_5m + usage.cache_creation_1h
        cached = usage.cache_read_input_tokens
        attributes: Attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": self._provider,
            "gen_ai.request.model": request.model,
            "gen_ai.agent.id": fact.agent_id,
            "gen_ai.usage.input_tokens": usage.input_tokens + cached + created,
            "gen_ai.usage.cache_read.input_tokens": cached,
            "gen_ai.usage.cache_creation.input_tokens": created,
            "gen_ai.usage.output_tokens": usage.output_tokens,
        }
        if fact.stop_reason is not None:
            attributes["gen_ai.response.finish_reasons"] = [fact.stop_reason]
        content = {
            "gen_ai.system_instructions": request.system,
            "gen_ai.input.messages": request.messages,
            "gen_ai.output.messages": [{"role": "assistant", "content": fact.blocks}],
        }
        self._send(
            f"chat {request.model}",
            fact.run,
            SpanKind.CLIENT,
            (fact.period.began, fact.period.ended),
            {**attributes, **self._said(content)},
            id_=f"chat/{fact.period.ended}",
            error=None if fact.outcome == "ok" else fact.outcome,
        )

    def _tool_call(self, fact: ToolCallEnded) -> None:
        call = fact.call
        attributes: Attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": call.name,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": call.event_id,
        }
        content = {
            "gen_ai.tool.call.arguments": call.input,
            "gen_ai.tool.call.result": fact.result.content,
        }
        self._send(
            f"execute_tool {call.name}",
            fact.run,
            SpanKind.INTERNAL,
            (fact.period.began, fact.period.ended),
            {**attributes, **self._said(content)},
            id_=f"tool/{call.event_id}",
            error="tool_error" if fact.result.is_error else None,
        )

    def _turn(self, fact: TurnEnded) -> None:
        """The root. Where nobody wrote down when the run began, it has no length."""
        attributes: Attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": self._provider,
            "freehold.outcome": fact.outcome,
        }
        began = fact.ended if fact.since is None else min(fact.since, fact.ended)
        self._send(
            "invoke_agent",
            fact.run,
            SpanKind.INTERNAL,
            (began, fact.ended),
            attributes,
            error=fact.outcome if fact.outcome == "retries_exhausted" else None,
        )

    def _send(
        self,
        name: str,
        run: Run,
        kind: SpanKind,
        times: tuple[int, int],
        attributes: Attributes,
        *,
        id_: str = "",
        error: str | None = None,
    ) -> None:
        names = Names(run)
        about: Attributes = {
            **attributes,
            "gen_ai.conversation.id": run.session_id,
            "freehold.thread.id": run.thread_id,
        }
        if error is not None:
            about["error.type"] = error
        span = ReadableSpan(
            name,
            context=names.context(id_),
            parent=names.context() if id_ else None,
            resource=self._resource,
            attributes=about,
            kind=kind,
            status=Status(StatusCode.UNSET if error is None else StatusCode.ERROR),
            start_time=times[0],
            end_time=times[1],
            instrumentation_scope=_SCOPE,
        )
        self._processor.on_end(span)

    def _said(self, content: Mapping[str, object]) -> Attributes:
        """In the Messages API's own JSON; nothing where the operator did not ask for it."""
        if not self._with_content:
            return {}
        return {
            name: json.dumps(value, ensure_ascii=False)[:_MOST_CHARACTERS]
            for name, value in content.items()
        }


def _number(text: str, size: int) -> int:
    """Never 0, which names no span."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size]) or 1
