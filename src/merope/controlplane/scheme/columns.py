"""The columns of the built-in kinds, with the words and abbreviations that users of kubectl know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from merope.controlplane.resource import Column, GroupVersionKind
from merope.controlplane.scheme.column_texts import DESCRIPTIONS
from merope.controlplane.scheme.pod_status import (
    pod_readiness_gates,
    pod_ready,
    pod_restarts,
    pod_row_conditions,
    pod_status,
)
from merope.controlplane.scheme.tables import AGE, CREATED_AT, NONE, UNKNOWN, age, human_duration, parse_time
from merope.lang.selectors import label_selector

Object = dict[str, Any]
Cell = Callable[[Object], Any]

_UNSET: Final = "<unset>"
_MODES: Final = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_DEFAULT_CLASS: Final = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


# --- building cells ----------------------------------------------------------------------------------------------


def _at(obj: Any, path: str) -> Any:
    for key in path.split("."):
        obj = obj.get(key) if isinstance(obj, dict) else None
    return obj


def _field(path: str, default: Any = "") -> Cell:
    def cell(obj: Object) -> Any:
        value = _at(obj, path)
        return default if value is None or value == "" else value

    return cell


def _size(*paths: str) -> Cell:
    return lambda obj: sum(len(_at(obj, path) or ()) for path in paths)


def _text(name: str, cell: Cell | str, priority: int = 0) -> Column:
    return Column(name, "string", _field(cell) if isinstance(cell, str) else cell, priority=priority)


def _wide(name: str, cell: Cell | str) -> Column:
    return _text(name, cell, 1)


def _count(name: str, cell: Cell | str, priority: int = 0) -> Column:
    return Column(name, "integer", _field(cell, 0) if isinstance(cell, str) else cell, priority=priority)


def _joined(values: Iterable[str], separator: str = ",") -> str:
    return separator.join(values)


def _labels(labels: Mapping[str, str] | None) -> str:
    return _joined(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def _selector(path: str) -> Cell:
    def cell(obj: Object) -> str:
        selector = _at(obj, path)
        return (str(label_selector(selector)) if selector is not None else "") or NONE

    return cell


def _containers(template: str, field: str) -> Cell:
    return lambda obj: _joined(one.get(field, "") for one in _at(obj, template + ".spec.containers") or ())


def _pod_template_columns(template: str, selector: Cell | None) -> tuple[Column, ...]:
    columns = (_wide("Containers", _containers(template, "name")), _wide("Images", _containers(template, "image")))
    return columns if selector is None else (*columns, _wide("Selector", selector))


def _modes(modes: Iterable[str] | None) -> str:
    order = list(_MODES)
    known = sorted({mode for mode in modes or () if mode in _MODES}, key=order.index)
    return _joined(_MODES[mode] for mode in known)


def _boolean(value: Any) -> str:
    return _UNSET if value is None else str(bool(value))


def _condition(obj: Object, kind: str) -> Object | None:
    for condition in _at(obj, "status.conditions") or ():
        if condition.get("type") == kind:
            return dict(condition)
    return None


def _has_condition(obj: Object, kind: str) -> bool:
    condition = _condition(obj, kind)
    return condition is not None and condition.get("status", "True") == "True"


# --- core --------------------------------------------------------------------------------------------------------


def _cluster_ip(obj: Object) -> str:
    spec = obj.get("spec") or {}
    addresses = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return addresses[0] if addresses else NONE


def _external_ip(obj: Object) -> str:
    spec = obj.get("spec") or {}
    external: list[str] = spec.get("externalIPs") or []
    match spec.get("type"):
        case "ExternalName":
            return str(spec.get("externalName", ""))
        case "LoadBalancer":
            ingress = _at(obj, "status.loadBalancer.ingress") or ()
            balanced = sorted({one.get("ip") or one.get("hostname") or "" for one in ingress} - {""})
            return _joined([*balanced, *external]) or "<pending>"
    return _joined(external) or NONE


def _service_ports(obj: Object) -> str:
    def port(one: Object) -> str:
        node_port = f":{one['nodePort']}" if one.get("nodePort") else ""
        return f"{one.get('port')}{node_port}/{one.get('protocol', 'TCP')}"

    return _joined(port(one) for one in _at(obj, "spec.ports") or ()) or NONE


def _node_status(obj: Object) -> str:
    ready = _condition(obj, "Ready")
    status = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if _at(obj, "spec.unschedulable"):
        status.append("SchedulingDisabled")
    return _joined(status)


def _node_roles(obj: Object) -> str:
    labels = obj["metadata"].get("labels") or {}
    prefix = "node-role.kubernetes.io/"
    roles = {key[len(prefix) :] for key in labels if key.startswith(prefix)}
    roles.add(labels.get("kubernetes.io/role", ""))
    return _joined(sorted(roles - {""})) or NONE


def _node_address(kind: str) -> Cell:
    def cell(obj: Object) -> str:
        addresses = _at(obj, "status.addresses") or ()
        return next((str(one.get("address")) for one in addresses if one.get("type") == kind), NONE)

    return cell


def _endpoints(obj: Object) -> str:
    found: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses = [str(one.get("ip")) for one in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        found += [f"{a}:{one.get('port')}" for one in ports for a in addresses] if ports else addresses
    return _limited(found, 3)


def _limited(found: list[str], limit: int) -> str:
    if not found:
        return NONE
    more = f" + {len(found) - limit} more..." if len(found) > limit else ""
    return _joined(found[:limit]) + more


def _claim_status(obj: Object) -> str:
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else str(_at(obj, "status.phase") or "")


def _claim_capacity(obj: Object) -> str:
    return str(_at(obj, "status.capacity.storage") or "") if _at(obj, "spec.volumeName") else ""


def _claim_modes(obj: Object) -> str:
    return _modes(_at(obj, "status.accessModes")) if _at(obj, "spec.volumeName") else ""


def _volume_claim(obj: Object) -> str:
    claim = _at(obj, "spec.claimRef")
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""


def _quota(limits: bool) -> Cell:
    def cell(obj: Object) -> str:
        hard = _at(obj, "status.hard") or {}
        used = _at(obj, "status.used") or {}
        return _joined(
            (
                f"{name}: {used.get(name, 0)}/{hard[name]}"
                for name in sorted(hard)
                if name.startswith("limits") == limits
            ),
            ", ",
        )

    return cell


# --- events ------------------------------------------------------------------------------------------------------


def _event_columns(reference: str, message: str, source: str, prefix: str) -> tuple[Column, ...]:
    """The columns of one of the two views of events; they name the same fields differently."""

    def named(name: str) -> str:
        return f"deprecated{name[0].upper()}{name[1:]}" if prefix else name

    reporting = "reportingController" if prefix else "reportingComponent"

    def first_seen(obj: Object) -> str:
        return age(obj.get(named("firstTimestamp")) or obj.get("eventTime"))

    def last_seen(obj: Object) -> str:
        last = _at(obj, "series.lastObservedTime") or obj.get(named("lastTimestamp"))
        return age(last) if last else first_seen(obj)

    def event_object(obj: Object) -> str:
        about = obj.get(reference) or {}
        kind = str(about.get("kind", "")).lower()
        return f"{kind}/{about.get('name', '')}" if about.get("name") else kind

    def event_source(obj: Object) -> str:
        origin = obj.get(source) or {}
        component = origin.get("component") or obj.get(reporting, "")
        host = origin.get("host") or (obj.get("reportingInstance", "") if not origin.get("component") else "")
        return f"{component}, {host}" if host else str(component)

    def count(obj: Object) -> int:
        return int(_at(obj, "series.count") or obj.get(named("count")) or 1)

    return (
        _text("Last Seen", last_seen),
        _text("Type", "type"),
        _text("Reason", "reason"),
        _text("Object", event_object),
        _wide("Subobject", f"{reference}.fieldPath"),
        _wide("Source", event_source),
        _text("Message", lambda obj: str(obj.get(message, "")).strip()),
        _wide("First Seen", first_seen),
        Column("Count", "string", count, priority=1),
        Column("Name", "string", _field("metadata.name"), "name", priority=1),
    )


# --- workloads ---------------------------------------------------------------------------------------------------


def _ready(ready: str, desired: str) -> Cell:
    return lambda obj: f"{_at(obj, ready) or 0}/{_at(obj, desired) or 0}"


def _job_status(obj: Object) -> str:
    if _has_condition(obj, "Complete"):
        return "Complete"
    if _has_condition(obj, "Failed"):
        return "Failed"
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for condition in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if _has_condition(obj, condition):
            return condition
    return "Running"


def _job_completions(obj: Object) -> str:
    succeeded = _at(obj, "status.succeeded") or 0
    completions = _at(obj, "spec.completions")
    if completions is not None:
        return f"{succeeded}/{completions}"
    parallelism = _at(obj, "spec.parallelism") or 0
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_duration(obj: Object) -> str:
    start = _at(obj, "status.startTime")
    if not start:
        return ""
    end = _at(obj, "status.completionTime")
    if not end:
        return age(start)
    return human_duration((parse_time(end) or 0) - (parse_time(start) or 0))


def _last_schedule(obj: Object) -> str:
    last = _at(obj, "status.lastScheduleTime")
    return age(last) if last else NONE


def _revision_owner(obj: Object) -> str:
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            group = str(owner.get("apiVersion", "")).rpartition("/")[0]
            return f"{str(owner.get('kind', '')).lower()}{'.' + group if group else ''}/{owner.get('name', '')}"
    return NONE


# --- other groups ------------------------------------------------------------------------------------------------


def _subjects(kind: str) -> Cell:
    def cell(obj: Object) -> str:
        found = [one for one in obj.get("subjects") or () if one.get("kind") == kind]
        if kind == "ServiceAccount":
            return _joined((f"{one.get('namespace', '')}/{one.get('name', '')}" for one in found), ", ")
        return _joined((str(one.get("name", "")) for one in found), ", ")

    return cell


def _role(obj: Object) -> str:
    return f"{_at(obj, 'roleRef.kind') or ''}/{_at(obj, 'roleRef.name') or ''}"


def _requested_duration(obj: Object) -> str:
    seconds = _at(obj, "spec.expirationSeconds")
    return NONE if seconds is None else human_duration(seconds)


def _request_condition(obj: Object) -> str:
    status = "Denied" if _has_condition(obj, "Denied") else "Approved" if _has_condition(obj, "Approved") else "Pending"
    if _has_condition(obj, "Failed"):
        status += ",Failed"
    if _at(obj, "status.certificate"):
        status += ",Issued"
    return status


def _api_service(obj: Object) -> str:
    service = _at(obj, "spec.service")
    return f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"


def _api_available(obj: Object) -> str:
    condition = _condition(obj, "Available")
    if condition is None:
        return "Unknown"
    status = str(condition.get("status", "Unknown"))
    return status if status == "True" else f"{status} ({condition.get('reason', '')})"


def _default_class_name(obj: Object) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    name = str(obj["metadata"].get("name", ""))
    return f"{name} (default)" if any(annotations.get(key) == "true" for key in _DEFAULT_CLASS) else name


def _ingress_hosts(obj: Object) -> str:
    hosts = [str(rule["host"]) for rule in _at(obj, "spec.rules") or () if rule.get("host")]
    return _limited(hosts, 3) if hosts else "*"


def _ingress_address(obj: Object) -> str:
    ingress = _at(obj, "status.loadBalancer.ingress") or ()
    return _joined(sorted({str(one.get("ip") or one.get("hostname") or "") for one in ingress} - {""}))


def _ingress_parameters(obj: Object) -> str:
    parameters = _at(obj, "spec.parameters")
    if not parameters:
        return NONE
    group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
    return f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"


def _slice_ports(obj: Object) -> str:
    ports = obj.get("ports") or ()
    named = [str(one["port"] if one.get("port") is not None else one.get("name") or "*") for one in ports]
    return _limited(named, 3) if named else _UNSET


def _slice_endpoints(obj: Object) -> str:
    found = [str(address) for one in obj.get("endpoints") or () for address in one.get("addresses") or ()]
    return _limited(found, 3) if found else _UNSET


def _scale_target(obj: Object) -> str:
    return f"{_at(obj, 'spec.scaleTargetRef.kind') or ''}/{_at(obj, 'spec.scaleTargetRef.name') or ''}"


def _targets_v1(obj: Object) -> str:
    target = _at(obj, "spec.targetCPUUtilizationPercentage")
    if target is None:
        return NONE
    current = _at(obj, "status.currentCPUUtilizationPercentage")
    return f"cpu: {UNKNOWN if current is None else f'{current}%'}/{target}%"


_METRIC_SOURCES: Final = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def _measured(target: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """``current/target`` of one metric, each in the form the target is given in."""
    if target.get("averageUtilization") is not None:
        value = current.get("averageUtilization")
        return f"{UNKNOWN if value is None else f'{value}%'}/{target['averageUtilization']}%"
    if target.get("averageValue") is not None:
        suffix = " (avg)" if target.get("type") == "AverageValue" else ""
        return f"{current.get('averageValue', UNKNOWN)}/{target['averageValue']}{suffix}"
    return f"{current.get('value', UNKNOWN)}/{target.get('value', UNKNOWN)}"


def _targets_v2(obj: Object) -> str:
    currents = _at(obj, "status.currentMetrics") or []
    found = []
    for index, metric in enumerate(_at(obj, "spec.metrics") or ()):
        key = _METRIC_SOURCES.get(metric.get("type", ""), "")
        source = metric.get(key) or {}
        current = (currents[index].get(key) or {}).get("current") or {} if index < len(currents) else {}
        text = _measured(source.get("target") or {}, current)
        found.append(f"{source['name']}: {text}" if "name" in source else text)
    if not found:
        return NONE
    more = f" + {len(found) - 2} more..." if len(found) > 2 else ""
    return _joined(found[:2], ", ") + more


def _scaler_columns(targets: Cell) -> tuple[Column, ...]:
    return (
        _text("Reference", _scale_target),
        _text("Targets", targets),
        _text("MinPods", _field("spec.minReplicas", _UNSET)),
        _text("MaxPods", _field("spec.maxReplicas", 0)),
        _text("Replicas", _field("status.currentReplicas", 0)),
        AGE,
    )


# --- the tables --------------------------------------------------------------------------------------------------

_REPLICAS: Final = (
    _count("Desired", "spec.replicas"),
    _count("Current", "status.replicas"),
    _count("Ready", "status.readyReplicas"),
    AGE,
)
_BINDING: Final = (
    _text("Role", _role),
    AGE,
    _wide("Users", _subjects("User")),
    _wide("Groups", _subjects("Group")),
    _wide("ServiceAccounts", _subjects("ServiceAccount")),
)
_WEBHOOKS: Final = (_count("Webhooks", _size("webhooks")), AGE)

_BY_KIND: Final[Mapping[tuple[str, str], tuple[Column, ...]]] = {
    ("v1", "Namespace"): (_text("Status", "status.phase"), AGE),
    ("v1", "ConfigMap"): (_text("Data", _size("data", "binaryData")), AGE),
    ("v1", "Secret"): (_text("Type", "type"), _text("Data", _size("data")), AGE),
    ("v1", "ServiceAccount"): (AGE,),
    ("v1", "Event"): _event_columns("involvedObject", "message", "source", ""),
    ("events.k8s.io/v1", "Event"): _event_columns("regarding", "note", "deprecatedSource", "deprecated"),
    ("v1", "Pod"): (
        _text("Ready", pod_ready),
        _text("Status", pod_status),
        _text("Restarts", pod_restarts),
        AGE,
        _wide("IP", lambda obj: _at(obj, "status.podIP") or NONE),
        _wide("Node", _field("spec.nodeName", NONE)),
        _wide("Nominated Node", _field("status.nominatedNodeName", NONE)),
        _wide("Readiness Gates", pod_readiness_gates),
    ),
    ("v1", "PodTemplate"): (
        _text("Containers", _containers("template", "name")),
        _text("Images", _containers("template", "image")),
        _text("Pod Labels", lambda obj: _labels(_at(obj, "template.metadata.labels"))),
    ),
    ("v1", "Service"): (
        _text("Type", "spec.type"),
        _text("Cluster-IP", _cluster_ip),
        _text("External-IP", _external_ip),
        _text("Port(s)", _service_ports),
        AGE,
        _wide("Selector", lambda obj: _labels(_at(obj, "spec.selector"))),
    ),
    ("v1", "Endpoints"): (_text("Endpoints", _endpoints), AGE),
    ("v1", "Node"): (
        _text("Status", _node_status),
        _text("Roles", _node_roles),
        AGE,
        _text("Version", "status.nodeInfo.kubeletVersion"),
        _wide("Internal-IP", _node_address("InternalIP")),
        _wide("External-IP", _node_address("ExternalIP")),
        _wide("OS-Image", _field("status.nodeInfo.osImage", UNKNOWN)),
        _wide("Kernel-Version", _field("status.nodeInfo.kernelVersion", UNKNOWN)),
        _wide("Container-Runtime", _field("status.nodeInfo.containerRuntimeVersion", UNKNOWN)),
    ),
    ("v1", "PersistentVolumeClaim"): (
        _text("Status", _claim_status),
        _text("Volume", "spec.volumeName"),
        _text("Capacity", _claim_capacity),
        _text("Access Modes", _claim_modes),
        _text("StorageClass", "spec.storageClassName"),
        _text("VolumeAttributesClass", _field("spec.volumeAttributesClassName", _UNSET)),
        AGE,
        _wide("VolumeMode", _field("spec.volumeMode", _UNSET)),
    ),
    ("v1", "PersistentVolume"): (
        _text("Capacity", "spec.capacity.storage"),
        _text("Access Modes", lambda obj: _modes(_at(obj, "spec.accessModes"))),
        _text("Reclaim Policy", "spec.persistentVolumeReclaimPolicy"),
        _text("Status", _claim_status),
        _text("Claim", _volume_claim),
        _text("StorageClass", "spec.storageClassName"),
        _text("VolumeAttributesClass", _field("spec.volumeAttributesClassName", _UNSET)),
        _text("Reason", "status.reason"),
        AGE,
        _wide("VolumeMode", _field("spec.volumeMode", _UNSET)),
    ),
    ("v1", "ResourceQuota"): (_text("Request", _quota(False)), _text("Limit", _quota(True)), AGE),
    ("v1", "ReplicationController"): (
        *_REPLICAS,
        *_pod_template_columns("spec.template", lambda obj: _labels(_at(obj, "spec.selector"))),
    ),
    ("apps/v1", "Deployment"): (
        _text("Ready", _ready("status.readyReplicas", "spec.replicas")),
        _text("Up-to-date", _field("status.updatedReplicas", 0)),
        _text("Available", _field("status.availableReplicas", 0)),
        AGE,
        *_pod_template_columns("spec.template", _selector("spec.selector")),
    ),
    ("apps/v1", "ReplicaSet"): (*_REPLICAS, *_pod_template_columns("spec.template", _selector("spec.selector"))),
    ("apps/v1", "StatefulSet"): (
        _text("Ready", _ready("status.readyReplicas", "spec.replicas")),
        AGE,
        *_pod_template_columns("spec.template", None),
    ),
    ("apps/v1", "DaemonSet"): (
        _count("Desired", "status.desiredNumberScheduled"),
        _count("Current", "status.currentNumberScheduled"),
        _count("Ready", "status.numberReady"),
        _count("Up-to-date", "status.updatedNumberScheduled"),
        _count("Available", "status.numberAvailable"),
        _text("Node Selector", lambda obj: _labels(_at(obj, "spec.template.spec.nodeSelector"))),
        AGE,
        *_pod_template_columns("spec.template", _selector("spec.selector")),
    ),
    ("apps/v1", "ControllerRevision"): (
        _text("Controller", _revision_owner),
        _text("Revision", _field("revision", 0)),
        AGE,
    ),
    ("batch/v1", "Job"): (
        _text("Status", _job_status),
        _text("Completions", _job_completions),
        _text("Duration", _job_duration),
        AGE,
        *_pod_template_columns("spec.template", _selector("spec.selector")),
    ),
    ("batch/v1", "CronJob"): (
        _text("Schedule", "spec.schedule"),
        _text("Timezone", _field("spec.timeZone", NONE)),
        _text("Suspend", lambda obj: _boolean(_at(obj, "spec.suspend"))),
        _count("Active", _size("status.active")),
        _text("Last Schedule", _last_schedule),
        AGE,
        *_pod_template_columns("spec.jobTemplate.spec.template", _selector("spec.jobTemplate.spec.selector")),
    ),
    ("coordination.k8s.io/v1", "Lease"): (_text("Holder", "spec.holderIdentity"), AGE),
    ("certificates.k8s.io/v1", "CertificateSigningRequest"): (
        AGE,
        _text("SignerName", "spec.signerName"),
        _text("Requestor", "spec.username"),
        _text("RequestedDuration", _requested_duration),
        _text("Condition", _request_condition),
    ),
    ("rbac.authorization.k8s.io/v1", "Role"): (CREATED_AT,),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): (CREATED_AT,),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): _BINDING,
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): _BINDING,
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): (CREATED_AT,),
    ("apiregistration.k8s.io/v1", "APIService"): (
        _text("Service", _api_service),
        _text("Available", _api_available),
        AGE,
    ),
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"): _WEBHOOKS,
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"): _WEBHOOKS,
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"): (
        _count("Validations", _size("spec.validations")),
        _text(
            "ParamKind",
            lambda obj: (
                f"{_at(obj, 'spec.paramKind.apiVersion')}/{_at(obj, 'spec.paramKind.kind')}"
                if _at(obj, "spec.paramKind")
                else _UNSET
            ),
        ),
        AGE,
    ),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"): (
        _text("PolicyName", "spec.policyName"),
        _text("ParamRef", lambda obj: _at(obj, "spec.paramRef.name") or _UNSET),
        AGE,
    ),
    ("storage.k8s.io/v1", "StorageClass"): (
        Column("Name", "string", _default_class_name, "name"),
        _text("Provisioner", "provisioner"),
        _text("ReclaimPolicy", _field("reclaimPolicy", "Delete")),
        _text("VolumeBindingMode", _field("volumeBindingMode", "Immediate")),
        _text("AllowVolumeExpansion", _field("allowVolumeExpansion", False)),
        AGE,
    ),
    ("storage.k8s.io/v1", "CSIDriver"): (
        _text("AttachRequired", _field("spec.attachRequired", True)),
        _text("PodInfoOnMount", _field("spec.podInfoOnMount", False)),
        _text("StorageCapacity", _field("spec.storageCapacity", False)),
        _text(
            "TokenRequests",
            lambda obj: _joined(str(one.get("audience", "")) for one in _at(obj, "spec.tokenRequests") or ()) or _UNSET,
        ),
        _text("RequiresRepublish", _field("spec.requiresRepublish", False)),
        _text("Modes", lambda obj: _joined(_at(obj, "spec.volumeLifecycleModes") or ()) or NONE),
        AGE,
    ),
    ("storage.k8s.io/v1", "CSINode"): (_count("Drivers", _size("spec.drivers")), AGE),
    ("storage.k8s.io/v1", "CSIStorageCapacity"): (
        _text("StorageClassName", "storageClassName"),
        _text("Capacity", _field("capacity", _UNSET)),
    ),
    ("storage.k8s.io/v1", "VolumeAttachment"): (
        _text("Attacher", "spec.attacher"),
        _text("PV", "spec.source.persistentVolumeName"),
        _text("Node", "spec.nodeName"),
        _text("Attached", _field("status.attached", False)),
        AGE,
    ),
    ("storage.k8s.io/v1", "VolumeAttributesClass"): (_text("DriverName", "driverName"), AGE),
    ("networking.k8s.io/v1", "Ingress"): (
        _text("Class", _field("spec.ingressClassName", NONE)),
        _text("Hosts", _ingress_hosts),
        _text("Address", _ingress_address),
        _text("Ports", lambda obj: "80, 443" if _at(obj, "spec.tls") else "80"),
        AGE,
    ),
    ("networking.k8s.io/v1", "IngressClass"): (
        _text("Controller", "spec.controller"),
        _text("Parameters", _ingress_parameters),
        AGE,
    ),
    ("networking.k8s.io/v1", "NetworkPolicy"): (_text("Pod-Selector", _selector("spec.podSelector")), AGE),
    ("discovery.k8s.io/v1", "EndpointSlice"): (
        _text("AddressType", "addressType"),
        _text("Ports", _slice_ports),
        _text("Endpoints", _slice_endpoints),
        AGE,
    ),
    ("policy/v1", "PodDisruptionBudget"): (
        _text("Min Available", _field("spec.minAvailable", "N/A")),
        _text("Max Unavailable", _field("spec.maxUnavailable", "N/A")),
        _count("Allowed Disruptions", "status.disruptionsAllowed"),
        AGE,
    ),
    ("scheduling.k8s.io/v1", "PriorityClass"): (
        _count("Value", "value"),
        Column("Global-Default", "boolean", _field("globalDefault", False)),
        AGE,
        _text("PreemptionPolicy", _field("preemptionPolicy", "PreemptLowerPriority")),
    ),
    ("node.k8s.io/v1", "RuntimeClass"): (_text("Handler", "handler"), AGE),
    ("autoscaling/v1", "HorizontalPodAutoscaler"): _scaler_columns(_targets_v1),
    ("autoscaling/v2", "HorizontalPodAutoscaler"): _scaler_columns(_targets_v2),
}


def _gvk(api_version: str, kind: str) -> GroupVersionKind:
    group, _, version = api_version.rpartition("/")
    return GroupVersionKind(group, version, kind)


def _described(column: Column) -> Column:
    return column if column.description else replace(column, description=DESCRIPTIONS[column.name])


#: The columns of each kind; the name comes first where they have none with the format ``name``.
COLUMNS: Final = {
    _gvk(api_version, kind): tuple(_described(column) for column in columns)
    for (api_version, kind), columns in _BY_KIND.items()
}

#: Kinds whose rows carry conditions.
ROW_CONDITIONS: Final = {GroupVersionKind("", "v1", "Pod"): pod_row_conditions}
