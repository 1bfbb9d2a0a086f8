"""`/metrics` in Prometheus' text format, on a port of its own, by prometheus-client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Self

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from freehold.facts import Fact
from freehold.metrics import METRICS, Measurement, Metric, Models, measurements

Look = Callable[[], Iterable[Measurement]]


class Prometheus:
    """Counts facts; a listener of `facts.told_to`. Thread-safe. Nobody is asked for a key: whoever
    reaches the port may read it, so it stands on loopback unless its operator says otherwise.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # theirs has no types
        self._registry = CollectorRegistry()
        self._models = Models()
        # A gauge that is looked up has no value between two looks, so it is made at each.
        self._known = {metric.name: _instrument(metric, self._registry) for metric in METRICS}

    def observe(self, fact: Fact) -> None:
        for measurement in measurements(fact, self._models):
            instrument = self._known[measurement.metric.name]
            labelled = instrument.labels(**measurement.labels) if measurement.labels else instrument
            if isinstance(labelled, Histogram):
                labelled.observe(measurement.value)
            else:
                labelled.inc(measurement.value)

    def ask(self, metrics: Iterable[Metric], look: Look) -> None:
        """Has `look` called at each scrape: it says what these gauges are now. One that raises
        leaves them out.
        """
        for metric in metrics:
            self._registry.unregister(self._known.pop(metric.name))
        self._registry.register(_Looked(tuple(metrics), look))

    def serve(self, port: int, host: str) -> Endpoint:
        """Answers scrapes until closed; 0 takes a free port. Raises OSError."""
        return Endpoint(port, host, self._registry)


class Endpoint:
    """A port that answers scrapes."""

    def __init__(self, port: int, host: str, registry: CollectorRegistry) -> None:
        self._server, self._thread = start_http_server(port, host, registry)
        self.port = self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Looked(Collector):
    def __init__(self, metrics: tuple[Metric, ...], look: Look) -> None:
        self._metrics = metrics
        self._look = look

    def collect(self) -> Iterator[GaugeMetricFamily]:
        found = list(self._look())
        for metric in self._metrics:
            family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            for measurement in found:
                if measurement.metric is metric:
                    labels = [measurement.labels[name] for name in metric.labels]
                    family.add_metric(labels, measurement.value)
            yield family

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Names alone: the registry must not look when this is registered."""
        for metric in self._metrics:
            yield GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)


def _instrument(metric: Metric, registry: CollectorRegistry) -> Counter | Histogram | Gauge:
    if metric.kind == "counter":
        return Counter(metric.name, metric.help, metric.labels, registry=registry)
    if metric.kind == "gauge":
        return Gauge(metric.name, metric.help, metric.labels, registry=registry)
    buckets = metric.buckets
    return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=buckets)
