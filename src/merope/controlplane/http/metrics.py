"""Request metrics of a server in Prometheus' text form."""

from __future__ import annotations

import resource as rusage
import time
from bisect import bisect_left
from collections import defaultdict
from typing import Any, Final

from merope.controlplane.http.requestinfo import RequestInfo

_BUCKETS: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0)
_VERBS: Final = frozenset(
    [
        "get",
        "list",
        "watch",
        "create",
        "update",
        "patch",
        "delete",
        "deletecollection",
        "proxy",
        "head",
        "post",
        "put",
        "options",
    ]
)
_SUBRESOURCES: Final = frozenset(
    [
        "status",
        "scale",
        "finalize",
        "approval",
        "token",
        "log",
        "exec",
        "attach",
        "portforward",
        "proxy",
        "eviction",
        "binding",
        "resize",
        "ephemeralcontainers",
    ]
)
_KIBIBYTE: Final = 1024


class Metrics:
    """Counts what a server answered. All changes happen on the server's event loop."""

    def __init__(self) -> None:
        self.requests: defaultdict[tuple[str, ...], int] = defaultdict(int)
        self._durations: dict[tuple[str, ...], list[float]] = {}
        self.watches = 0
        self.in_flight = 0
        self._started = time.time()

    def record(self, info: RequestInfo, code: int, seconds: float, *, known: bool) -> None:
        """Count an answered request; those for nothing that is ``known`` together, since clients choose their names."""
        scope = ""
        if info.is_resource:
            scope = "resource" if info.path_name else "namespace" if info.namespace else "cluster"
        verb = info.verb if info.verb in _VERBS else "other"
        if known:
            subresource = info.subresource if info.subresource in _SUBRESOURCES else ""
            key = (verb, info.group, info.version, info.resource, subresource, scope)
        else:
            key = (verb, "", "", "", "", "")
        self.requests[(*key, str(code))] += 1
        if info.long_running:
            return
        counts = self._durations.get(key)
        if counts is None:
            counts = self._durations[key] = [0.0] * (len(_BUCKETS) + 2)
        counts[bisect_left(_BUCKETS, seconds)] += 1
        counts[-1] += seconds

    def render(self, objects: dict[str, int], figures: dict[str, Any]) -> bytes:
        """The exposition; ``objects`` are counts by resource, ``figures`` further gauges."""
        lines: list[str] = []
        names = ("verb", "group", "version", "resource", "subresource", "scope", "code")
        lines.append("# TYPE apiserver_request_total counter")
        for key, number in sorted(self.requests.items()):
            lines.append(f"apiserver_request_total{_labels(names, key)} {number}")
        lines.append("# TYPE apiserver_request_duration_seconds histogram")
        for series, counts in sorted(self._durations.items()):
            total = 0.0
            for bound, count in zip((*_BUCKETS, "+Inf"), counts[:-1], strict=True):
                total += count
                labels = _labels((*names[:-1], "le"), (*series, str(bound)))
                lines.append(f"apiserver_request_duration_seconds_bucket{labels} {total:.0f}")
            labels = _labels(names[:-1], series)
            lines.append(f"apiserver_request_duration_seconds_sum{labels} {counts[-1]:.6f}")
            lines.append(f"apiserver_request_duration_seconds_count{labels} {total:.0f}")
        lines.append("# TYPE apiserver_longrunning_requests gauge")
        lines.append(f'apiserver_longrunning_requests{{verb="WATCH"}} {self.watches}')
        lines.append("# TYPE apiserver_current_inflight_requests gauge")
        lines.append(f"apiserver_current_inflight_requests {self.in_flight}")
        lines.append("# TYPE apiserver_storage_objects gauge")
        for name, held in sorted(objects.items()):
            lines.append(f"apiserver_storage_objects{_labels(('resource',), (name,))} {held}")
        for name, value in sorted(figures.items()):
            lines.append(f"# TYPE merope_store_{name} gauge")
            lines.append(f"merope_store_{name} {value}")
        lines += _process(self._started)
        return ("\n".join(lines) + "\n").encode()


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    parts = []
    for name, value in zip(names, values, strict=True):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        parts.append(f'{name}="{escaped}"')
    return "{" + ",".join(parts) + "}"


def _process(started: float) -> list[str]:
    usage = rusage.getrusage(rusage.RUSAGE_SELF)
    return [
        "# TYPE process_cpu_seconds_total counter",
        f"process_cpu_seconds_total {usage.ru_utime + usage.ru_stime:.2f}",
        "# TYPE process_max_resident_memory_bytes gauge",
        f"process_max_resident_memory_bytes {usage.ru_maxrss * _KIBIBYTE}",
        "# TYPE process_start_time_seconds gauge",
        f"process_start_time_seconds {started:.2f}",
    ]
