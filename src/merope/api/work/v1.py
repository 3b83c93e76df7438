"""work.open-cluster-management.io/v1: ManifestWork on the hub, AppliedManifestWork on the managed cluster."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET

from merope.api.meta.v1 import Conditions, Object
from merope.api.schema import (
    Field,
    Int32,
    Int64,
    Manifest,
    Maybe,
    Rule,
    Struct,
    Time,
    map_of,
    resource,
)

GROUP = "work.open-cluster-management.io"

# Types of conditions on a ManifestWork and on its manifests.
APPLIED = "Applied"
AVAILABLE = "Available"
COMPLETE = "Complete"
PROGRESSING = "Progressing"
DEGRADED = "Degraded"
DELETING = "Deleting"
STATUS_FEEDBACK_SYNCED = "StatusFeedbackSynced"

_DNS_SUBDOMAIN = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$"


class ResourceIdentifier(Struct):
    """Names one resource of a work."""

    group: Maybe[Annotated[str, Field("The API group; empty for the core group.")]] = UNSET
    resource: Annotated[str, Field("The plural resource name, such as `deployments`.")]
    name: Annotated[str, Field("The object's name; `*` stands for any letters where the field allows it.")]
    namespace: Maybe[Annotated[str, Field("The object's namespace; empty for a cluster-scoped one.")]] = UNSET


class OrphaningRule(Struct):
    """Names one resource that stays behind."""

    group: Maybe[Annotated[str, Field("The API group; empty for the core group.")]] = UNSET
    resource: Annotated[str, Field("The plural resource name, such as `deployments`.")]
    name: Annotated[str, Field("The object's name.")]
    namespace: Maybe[Annotated[str, Field("The object's namespace; empty for a cluster-scoped one.")]] = UNSET


class SelectivelyOrphan(Struct):
    """Which resources stay behind when a work is deleted."""

    orphaning_rules: Maybe[
        Annotated[list[OrphaningRule], Field("The resources that stay; all others are deleted with the work.")]
    ] = UNSET


class DeleteOption(Struct):
    """What is deleted, and when."""

    propagation_policy: Maybe[
        Annotated[
            str,
            Field(
                "What becomes of the applied resources when the work is deleted, or no longer names them. Foreground: "
                "they are deleted, and the work is gone once they are. Orphan: they stay. SelectivelyOrphan: those "
                "that `selectivelyOrphans` names stay.",
                enum=("Foreground", "Orphan", "SelectivelyOrphan"),
                default="Foreground",
            ),
        ]
    ] = UNSET
    selectively_orphan: Maybe[
        Annotated[SelectivelyOrphan, Field("With the policy SelectivelyOrphan: which resources stay.")]
    ] = msgspec.field(default=UNSET, name="selectivelyOrphans")
    ttl_seconds_after_finished: Maybe[
        Annotated[
            Int64,
            Field(
                "How many seconds after its completion (condition Complete) the work is deleted; 0 or less: at once. "
                "Absent: never."
            ),
        ]
    ] = UNSET


class JsonPath(Struct):
    """One value to be read from a resource."""

    name: Annotated[str, Field("The name under which the value is reported.")]
    version: Maybe[
        Annotated[str, Field("The API version that the path is meant for; another one is an error. Absent: any.")]
    ] = UNSET
    path: Annotated[str, Field("The Kubernetes JSONPath of the value, without braces, such as `.status.replicas`.")]


class FeedbackRule(Struct):
    """Which values of a resource are reported back."""

    type: Annotated[
        str,
        Field(
            "WellKnownStatus: what is usual for the kind (workloads and a few more). JSONPaths: what `jsonPaths` name.",
            enum=("WellKnownStatus", "JSONPaths"),
        ),
    ]
    json_paths: Maybe[Annotated[list[JsonPath], map_of("name"), Field("With the type JSONPaths: the values.")]] = UNSET


class IgnoreField(Struct):
    """Fields that the work leaves to others."""

    condition: Annotated[
        str,
        Field(
            "OnSpokePresent: they are left alone as soon as the resource exists. OnSpokeChange: they are left alone "
            "unless the work itself changes.",
            enum=("OnSpokePresent", "OnSpokeChange"),
            default="OnSpokePresent",
        ),
    ]
    json_paths: Maybe[Annotated[list[str], Field("The fields as JSONPaths, such as `.spec.replicas`.")]] = UNSET
    json_pointers: Maybe[
        Annotated[list[str], Field("The fields as JSON pointers (RFC 6901), such as `/spec/replicas`.")]
    ] = UNSET
    jq_path_expressions: Maybe[
        Annotated[list[str], Field("The fields as jq paths, such as `.spec.template.spec.containers[].image`.")]
    ] = UNSET


class ServerSideApplyConfig(Struct):
    """How server-side apply is done."""

    force: Maybe[
        Annotated[bool, Field("Take fields over that another manager owns, instead of reporting a conflict.")]
    ] = UNSET
    field_manager: Maybe[
        Annotated[
            str,
            Field(
                "The field manager's name; it starts with `work-agent`.", pattern="^work-agent", default="work-agent"
            ),
        ]
    ] = UNSET
    ignore_fields: Maybe[
        Annotated[list[IgnoreField], map_of("condition"), Field("Fields of the resource that are left to others.")]
    ] = UNSET


class UpdateStrategy(Struct):
    """How a resource is kept as its manifest says."""

    type: Annotated[
        str,
        Field(
            "Update: created, and updated where it differs. CreateOnly: created, then left alone. ServerSideApply: "
            "applied with field management. ReadOnly: never written, only reported on.",
            enum=("Update", "CreateOnly", "ServerSideApply", "ReadOnly"),
            default="Update",
        ),
    ]
    server_side_apply: Maybe[
        Annotated[ServerSideApplyConfig, Field("With the type ServerSideApply: how it is done.")]
    ] = UNSET


class ConditionRule(Struct):
    """How a condition is concluded from a resource."""

    schema: ClassVar[Field] = Field(
        rules=(Rule("self.type != 'CEL' || self.condition != \"\"", "Condition is required for CEL rules"),)
    )

    condition: Annotated[str, Field("The type of the condition, on the manifest and over all of them on the work.")]
    type: Annotated[
        str,
        Field(
            "WellKnownConditions: what is usual for the kind (Complete of Jobs and Pods). CEL: `celExpressions`.",
            enum=("WellKnownConditions", "CEL"),
        ),
    ]
    cel_expressions: Maybe[
        Annotated[
            list[str],
            Field("With the type CEL: expressions over `object` that give a bool; the condition is True if all do."),
        ]
    ] = UNSET
    message: Maybe[Annotated[str, Field("The condition's message.")]] = UNSET
    message_expression: Maybe[
        Annotated[
            str, Field("A CEL expression over `object` and `result` that gives the message; wins over `message`.")
        ]
    ] = UNSET


class ManifestConfigOption(Struct):
    """Settings for some manifests of the work."""

    resource_identifier: Annotated[
        ResourceIdentifier, Field("The manifests that are meant; name and namespace may hold `*`.")
    ]
    feedback_rules: Maybe[Annotated[list[FeedbackRule], Field("Which values of the resource are reported back.")]] = (
        UNSET
    )
    feedback_scrape_type: Maybe[
        Annotated[
            str,
            Field(
                "Poll: the resource is read at intervals. Watch: it is watched, up to the agent's limit of watches.",
                enum=("Poll", "Watch"),
                default="Poll",
            ),
        ]
    ] = UNSET
    update_strategy: Maybe[Annotated[UpdateStrategy, Field("How the resource is kept as the manifest says.")]] = UNSET
    condition_rules: Maybe[
        Annotated[list[ConditionRule], map_of("condition"), Field("Conditions concluded from the resource.")]
    ] = UNSET


class ServiceAccountSubject(Struct):
    """A service account of the managed cluster."""

    namespace: Annotated[
        str, Field("The service account's namespace.", min_length=1, max_length=253, pattern=_DNS_SUBDOMAIN)
    ]
    name: Annotated[str, Field("The service account's name.", min_length=1, max_length=253, pattern=_DNS_SUBDOMAIN)]


class ExecutorSubject(Struct):
    """Whose rights count."""

    type: Annotated[str, Field("The kind of subject.", enum=("ServiceAccount",))]
    service_account: Maybe[Annotated[ServiceAccountSubject, Field("The service account.")]] = UNSET


class Executor(Struct):
    """On whose behalf manifests are applied."""

    subject: Maybe[Annotated[ExecutorSubject, Field("Whose rights on the managed cluster count.")]] = UNSET


class ManifestsTemplate(Struct):
    """The manifests."""

    manifests: Maybe[
        Annotated[
            list[Annotated[Manifest, Field("An object of any kind.", embedded=True, preserve_unknown=True)]],
            Field("The objects to be applied, in this order."),
        ]
    ] = UNSET


class ManifestWorkSpec(Struct):
    """What is to be on the cluster."""

    workload: Maybe[Annotated[ManifestsTemplate, Field("The manifests.")]] = UNSET
    delete_option: Maybe[
        Annotated[DeleteOption, Field("What is deleted with the work. Absent: everything that it applied.")]
    ] = UNSET
    manifest_configs: Maybe[Annotated[list[ManifestConfigOption], Field("Settings for some of the manifests.")]] = UNSET
    executor: Maybe[
        Annotated[
            Executor,
            Field(
                "On whose behalf the manifests are applied: what that subject may not do on the managed cluster, the "
                "work may not either. Absent: the agent's own rights count."
            ),
        ]
    ] = UNSET


class ManifestResourceMeta(Struct):
    """Which object a manifest stands for."""

    ordinal: Annotated[Int32, Field("The manifest's place in the work, from 0.")]
    group: Maybe[Annotated[str, Field("The API group.")]] = UNSET
    version: Maybe[Annotated[str, Field("The API version.")]] = UNSET
    kind: Maybe[Annotated[str, Field("The kind.")]] = UNSET
    resource: Maybe[
        Annotated[str, Field("The plural resource name; empty while the cluster doesn't know the kind.")]
    ] = UNSET
    name: Maybe[Annotated[str, Field("The object's name.")]] = UNSET
    namespace: Maybe[Annotated[str, Field("The object's namespace.")]] = UNSET


class FieldValue(Struct):
    """A value, in the member that its type names."""

    type: Annotated[str, Field("What the value is.", enum=("Integer", "String", "Boolean", "JsonRaw"))]
    integer: Maybe[Annotated[Int64, Field("The value of type Integer.")]] = UNSET
    string: Maybe[Annotated[str, Field("The value of type String.")]] = UNSET
    boolean: Maybe[Annotated[bool, Field("The value of type Boolean.")]] = UNSET
    json_raw: Maybe[Annotated[str, Field("The value of type JsonRaw, as JSON.", max_length=1024)]] = UNSET


class FeedbackValue(Struct):
    """One value that was read from a resource."""

    name: Annotated[str, Field("The name that the feedback rule gives it.")]
    value: Annotated[FieldValue, Field("The value.")] = msgspec.field(name="fieldValue")


class StatusFeedbackResult(Struct):
    """What was read from a resource."""

    values: Maybe[Annotated[list[FeedbackValue], map_of("name"), Field("The values.")]] = UNSET


class ManifestCondition(Struct):
    """What became of one manifest."""

    resource_meta: Annotated[ManifestResourceMeta, Field("Which manifest and object.")]
    conditions: Annotated[Conditions, Field("Whether it was applied and is available, and what the rules conclude.")]
    status_feedback: Maybe[Annotated[StatusFeedbackResult, Field("The values that were asked for.")]] = UNSET


class ManifestResourceStatus(Struct):
    """What became of the manifests."""

    manifests: Maybe[
        Annotated[list[ManifestCondition], Field("One entry a manifest, in the order of the manifests.")]
    ] = UNSET


class ManifestWorkStatus(Struct):
    """What is on the cluster."""

    conditions: Maybe[Annotated[Conditions, Field("Whether all manifests were applied and are available.")]] = UNSET
    resource_status: Maybe[Annotated[ManifestResourceStatus, Field("What became of each manifest.")]] = UNSET


@resource(GROUP, "v1", "manifestworks", namespaced=True, status=True)
class ManifestWork(Object):
    """Objects to be applied on one managed cluster: the one that the work's namespace on the hub is named after.

    The cluster's agent applies them, keeps them as they are written here, reports how they do, and deletes them when
    the work is deleted.
    """

    spec: Maybe[Annotated[ManifestWorkSpec, Field("What is to be on the cluster.")]] = UNSET
    status: Maybe[Annotated[ManifestWorkStatus, Field("What is on the cluster.")]] = UNSET


class AppliedManifestWorkSpec(Struct):
    """Which work of which hub."""

    hub_hash: Annotated[str, Field("The SHA-256 of the hub's address, in hexadecimal: tells hubs apart.")]
    agent_id: Maybe[
        Annotated[str, Field("The agent that applied the work: tells several agents of one cluster apart.")]
    ] = msgspec.field(default=UNSET, name="agentID")
    manifest_work_name: Annotated[str, Field("The work's name on the hub.")]


class AppliedManifestResourceMeta(Struct):
    """One applied object."""

    group: Maybe[Annotated[str, Field("The API group.")]] = UNSET
    resource: Annotated[str, Field("The plural resource name.")]
    name: Annotated[str, Field("The object's name.")]
    namespace: Maybe[Annotated[str, Field("The object's namespace.")]] = UNSET
    version: Annotated[str, Field("The API version.")]
    uid: Maybe[Annotated[str, Field("The object's identity: one of the same name made later is another.")]] = UNSET


class AppliedManifestWorkStatus(Struct):
    """What was applied."""

    applied_resources: Maybe[
        Annotated[
            list[AppliedManifestResourceMeta],
            Field("The objects that the work applied: what it no longer names is deleted by this list."),
        ]
    ] = UNSET
    eviction_start_time: Maybe[
        Annotated[Time, Field("Since when the work has been missing on the hub; it is evicted after a while.")]
    ] = UNSET


@resource(GROUP, "v1", "appliedmanifestworks", namespaced=False, status=True)
class AppliedManifestWork(Object):
    """The anchor of a work on the managed cluster: it owns every object that the work applied."""

    spec: Maybe[Annotated[AppliedManifestWorkSpec, Field("Which work of which hub.")]] = UNSET
    status: Maybe[Annotated[AppliedManifestWorkStatus, Field("What was applied.")]] = UNSET
