"""Who is told what happens in a laptop's server: `/metrics` and a collector of spans, where its
operator asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from freehold.facts import InvocationEnded, Observe, told_to
from freehold.ports import App
from freehold.settings import Settings
from functions.observability import count_released_runs, done, outcome_of_run

if TYPE_CHECKING:
    from freehold.adapters.otlp_spans import OtlpSpans
    from freehold.adapters.prometheus import Prometheus

_HOST = "127.0.0.1"
Function = Callable[[Any, Any], Any]


class CannotServeMetrics(Exception):
    """The message is one line for the person who started the server."""


class NoSpans(Exception):
    """Spans are asked for and cannot be made. The message is one line, as above."""


class Observers:
    """Those that the settings ask for. Their libraries are imported for nobody else."""

    def __init__(self, settings: Settings) -> None:
        """Raises NoSpans."""
        self._port = settings.metrics_port
        self._open = ExitStack()
        self._prometheus = None if self._port is None else _prometheus()
        listeners: list[Observe] = []
        if settings.otlp_endpoint is not None:
            spans = _spans(settings, settings.otlp_endpoint)
            self._open.callback(spans.close)
            listeners.append(spans.observe)
        if self._prometheus is not None:
            listeners.append(self._prometheus.observe)
        self.observe = told_to(*listeners)

    def serve(self, app: App) -> str | None:
        """Where metrics are scraped from now on, if anywhere. Raises CannotServeMetrics."""
        if self._prometheus is None or self._port is None:
            return None
        from freehold.services.census import METRICS, Census  # noqa: PLC0415 - as above

        self._prometheus.ask(METRICS, Census(app).look)
        try:
            endpoint = self._open.enter_context(self._prometheus.serve(self._port, _HOST))
        except OSError as error:
            place = f"{_HOST} port {self._port}"
            raise CannotServeMetrics(
                f"Cannot serve metrics on {place}: {error.strerror}."
            ) from error
        return f"http://{_HOST}:{endpoint.port}/metrics"

    def close(self) -> None:
        self._open.close()


def observed_functions(functions: Mapping[str, Function], observe: Observe) -> dict[str, Function]:
    """The same, with what each invocation came to told."""
    return {name: _observed(name, function, observe) for name, function in functions.items()}


def _observed(name: str, function: Function, observe: Observe) -> Function:
    is_reaper = name == "reaper"

    def watched(event: Any, context: Any) -> Any:
        try:
            answer = function(event, context)
        except Exception:
            observe(InvocationEnded(name, "failed"))
            raise
        outcome = done(answer) if is_reaper else outcome_of_run(answer)
        counts = count_released_runs(answer) if is_reaper else {}
        observe(InvocationEnded(name, outcome["outcome"], counts))
        return answer

    return watched


def _prometheus() -> Prometheus:
    from freehold.adapters.prometheus import (  # noqa: PLC0415 - only who is scraped needs it
        Prometheus,
    )

    return Prometheus()


def _spans(settings: Settings, endpoint: str) -> OtlpSpans:
    try:
        from freehold.adapters.otlp_spans import (  # noqa: PLC0415 - who has no collector needs none
            OtlpSpans,
        )
    except ModuleNotFoundError as error:
        raise NoSpans(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed: "
            "pip install 'freehold[otel]'."
        ) from error
    return OtlpSpans(endpoint, provider=settings.model, with_content=settings.otel_content)
