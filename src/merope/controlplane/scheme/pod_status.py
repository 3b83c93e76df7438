"""The one-word status of a pod that ``kubectl get pods`` shows, and the cells that are computed like it.

There is no field for it: it is read from the phase, the states of init containers in their order, the states of the
containers, and whether the pod is being deleted. Later findings override earlier ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from merope.controlplane.scheme.tables import NONE, age

Object = dict[str, Any]

_TERMINAL: Final = ("Succeeded", "Failed")
_COMPLETED: Final = {
    "Succeeded": "The pod has completed successfully.",
    "Failed": "The pod failed.",
}


@dataclass(slots=True)
class _Summary:
    reason: str
    ready: int
    total: int
    restarts: int
    last_restart: str


def _is_sidecar(container: Object | None) -> bool:
    return container is not None and container.get("restartPolicy") == "Always"


def _finished_at(status: Object) -> str:
    terminated = (status.get("lastState") or {}).get("terminated") or {}
    return terminated.get("finishedAt") or ""


def _ended(terminated: Object) -> str:
    """Why a container ended: its reason, or the signal or code."""
    if terminated.get("reason"):
        return str(terminated["reason"])
    signal = terminated.get("signal")
    return f"Signal:{signal}" if signal else f"ExitCode:{terminated.get('exitCode', 0)}"


def _has_condition(status: Object, kind: str) -> bool:
    return any(one.get("type") == kind and one.get("status") == "True" for one in status.get("conditions") or ())


def _summarize(pod: Object) -> _Summary:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    reason = status.get("reason") or status.get("phase") or ""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    init_containers = {one.get("name"): one for one in spec.get("initContainers") or ()}
    sidecars = sum(_is_sidecar(one) for one in init_containers.values())
    summary = _Summary(reason, 0, len(spec.get("containers") or ()) + sidecars, 0, "")
    sidecar_restarts, sidecar_last = 0, ""
    initializing = False

    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        restarts, finished = container.get("restartCount", 0), _finished_at(container)
        summary.restarts += restarts
        summary.last_restart = max(summary.last_restart, finished)
        sidecar = _is_sidecar(init_containers.get(container.get("name")))
        if sidecar:
            sidecar_restarts += restarts
            sidecar_last = max(sidecar_last, finished)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if sidecar and container.get("started"):
            summary.ready += bool(container.get("ready"))
            continue
        initializing = True
        if terminated is not None:
            summary.reason = "Init:" + _ended(terminated)
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            summary.reason = f"Init:{waiting['reason']}"
        else:
            summary.reason = f"Init:{index}/{len(init_containers)}"
        break

    if not initializing or _has_condition(status, "Initialized"):
        summary.restarts, summary.last_restart = sidecar_restarts, sidecar_last
        _summarize_containers(status, summary)

    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            summary.reason = "Unknown"
        elif status.get("phase") not in _TERMINAL:
            summary.reason = "Terminating"
    return summary


def _summarize_containers(status: Object, summary: _Summary) -> None:
    running = False
    for container in reversed(status.get("containerStatuses") or ()):
        summary.restarts += container.get("restartCount", 0)
        summary.last_restart = max(summary.last_restart, _finished_at(container))
        state = container.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            summary.reason = state["waiting"]["reason"]
        elif state.get("terminated") is not None:
            summary.reason = _ended(state["terminated"])
        elif container.get("ready") and state.get("running") is not None:
            running = True
            summary.ready += 1
    if summary.reason == "Completed" and running:
        summary.reason = "Running" if _has_condition(status, "Ready") else "NotReady"


def pod_status(pod: Object) -> str:
    """The status column."""
    return _summarize(pod).reason


def pod_ready(pod: Object) -> str:
    """Ready containers of all containers, sidecars included."""
    summary = _summarize(pod)
    return f"{summary.ready}/{summary.total}"


def pod_restarts(pod: Object) -> str:
    """Restarts of the containers, with the age of the last one where it is known."""
    summary = _summarize(pod)
    if summary.restarts and summary.last_restart:
        return f"{summary.restarts} ({age(summary.last_restart)} ago)"
    return str(summary.restarts)


def pod_readiness_gates(pod: Object) -> str:
    """Readiness gates whose condition is true, of all gates."""
    gates = (pod.get("spec") or {}).get("readinessGates") or ()
    if not gates:
        return NONE
    status = pod.get("status") or {}
    return f"{sum(_has_condition(status, gate.get('conditionType', '')) for gate in gates)}/{len(gates)}"


def pod_row_conditions(pod: Object) -> list[Object]:
    """The condition of a row that tells clients a pod has ended."""
    phase = (pod.get("status") or {}).get("phase", "")
    if phase not in _COMPLETED:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": _COMPLETED[phase]}]
