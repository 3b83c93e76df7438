"""Counters, gauges and histograms, and their Prometheus text form.

Only what ``/metrics`` needs: no dependency, no background work, no state outside a ``Metrics`` object. Gauges may
be functions, asked when somebody scrapes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

DURATION_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds."""

Labels = tuple[str, ...]


class Metric(Protocol):
    """Something that can be scraped."""

    def render(self) -> str:
        """The metric in Prometheus' text format, with its HELP and TYPE lines."""


MetricT = TypeVar("MetricT", bound=Metric)


class Counter:
    """Only grows. ``labels`` names the labels, in the order in which ``inc`` takes their values."""

    def __init__(self, name: str, help_: str, labels: Sequence[str] = ()) -> None:
        self.name, self.help, self.labels = name, help_, tuple(labels)
        self._values: dict[Labels, float] = {}

    def inc(self, *values: str, by: float = 1) -> None:
        """Adds to the series of these label values."""
        self._values[values] = self._values.get(values, 0) + by

    def value(self, *values: str) -> float:
        """What was counted so far."""
        return self._values.get(values, 0)

    def render(self) -> str:
        lines = [_head(self.name, self.help, "counter")]
        lines.extend(f"{self.name}{_series(self.labels, values)} {_number(n)}" for values, n in self._values.items())
        return "\n".join(lines)


class Gauge:
    """Goes up and down: set, or computed by functions at the time of the scrape."""

    def __init__(self, name: str, help_: str, labels: Sequence[str] = ()) -> None:
        self.name, self.help, self.labels = name, help_, tuple(labels)
        self._values: dict[Labels, float | Callable[[], float]] = {}

    def set(self, value: float, *values: str) -> None:
        """Sets the series of these label values."""
        self._values[values] = value

    def function(self, compute: Callable[[], float], *values: str) -> None:
        """The series of these label values is what the function says."""
        self._values[values] = compute

    def remove(self, *values: str) -> None:
        """Takes a series away."""
        self._values.pop(values, None)

    def render(self) -> str:
        lines = [_head(self.name, self.help, "gauge")]
        for values, value in self._values.items():
            number = value() if callable(value) else value
            lines.append(f"{self.name}{_series(self.labels, values)} {_number(number)}")
        return "\n".join(lines)


class Histogram:
    """How observations are distributed over buckets (upper bounds, ascending)."""

    def __init__(
        self, name: str, help_: str, labels: Sequence[str] = (), buckets: Sequence[float] = DURATION_BUCKETS
    ) -> None:
        self.name, self.help, self.labels, self.buckets = name, help_, tuple(labels), tuple(buckets)
        self._values: dict[Labels, tuple[list[int], list[float]]] = {}

    def observe(self, value: float, *values: str) -> None:
        """One observation, in the series of these label values."""
        found = self._values.get(values)
        if found is None:
            found = self._values[values] = ([0] * (len(self.buckets) + 1), [0.0])
        found[0][bisect_left(self.buckets, value)] += 1
        found[1][0] += value

    def render(self) -> str:
        lines = [_head(self.name, self.help, "histogram")]
        for values, (counts, total) in self._values.items():
            running = 0
            for bound, count in zip((*self.buckets, float("inf")), counts, strict=True):
                running += count
                limit = "+Inf" if bound == float("inf") else _number(bound)
                lines.append(f"{self.name}_bucket{_series((*self.labels, 'le'), (*values, limit))} {running}")
            lines.append(f"{self.name}_sum{_series(self.labels, values)} {_number(total[0])}")
            lines.append(f"{self.name}_count{_series(self.labels, values)} {running}")
        return "\n".join(lines)


class Metrics:
    """The metrics of one process, by name."""

    def __init__(self) -> None:
        self._metrics: dict[str, Counter | Gauge | Histogram] = {}

    def counter(self, name: str, help_: str, labels: Sequence[str] = ()) -> Counter:
        """The counter of this name, made on first use."""
        metric = self._metrics.setdefault(name, Counter(name, help_, labels))
        assert isinstance(metric, Counter)
        return metric

    def gauge(self, name: str, help_: str, labels: Sequence[str] = ()) -> Gauge:
        """The gauge of this name, made on first use."""
        metric = self._metrics.setdefault(name, Gauge(name, help_, labels))
        assert isinstance(metric, Gauge)
        return metric

    def histogram(
        self, name: str, help_: str, labels: Sequence[str] = (), buckets: Sequence[float] = DURATION_BUCKETS
    ) -> Histogram:
        """The histogram of this name, made on first use."""
        metric = self._metrics.setdefault(name, Histogram(name, help_, labels, buckets))
        assert isinstance(metric, Histogram)
        return metric

    def render(self) -> str:
        """Everything, in Prometheus' text format."""
        return "\n".join(metric.render() for metric in self._metrics.values()) + "\n"

    def values(self) -> Mapping[str, Counter | Gauge | Histogram]:
        """All metrics, by name."""
        return self._metrics


def _head(name: str, help_: str, kind: str) -> str:
    return f"# HELP {name} {help_}\n# TYPE {name} {kind}"


def _series(labels: Sequence[str], values: Sequence[str]) -> str:
    if not labels:
        return ""
    pairs = (f'{label}="{_escape(value)}"' for label, value in zip(labels, values, strict=True))
    return "{" + ",".join(pairs) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
