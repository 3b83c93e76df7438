"""Talking to any Kubernetes API: configuration, client, caches, queues and controllers.

The nouns are controller-runtime's. A ``ClientConfig`` says where a server is and who we are; a ``Client`` speaks to
it; an
``Informer`` follows a resource into a ``Cache``; a ``Controller`` turns changes into keys and reconciles them; a
``Manager`` runs all of these in order. Nothing here knows OCM, and nothing here knows whether the server is a real
Kubernetes or an embedded control plane.

Kinds
-----
Wherever a *kind* is wanted, give a struct class of ``merope.api`` (results are typed) or a ``ResourceRef`` (results are
dicts). ``CORE["Secret"]`` is the ResourceRef of a common built-in kind; ``client.mapper.ref("v1", "Secret")`` asks the
server's discovery, for arbitrary manifests::

    config = ClientConfig.load()                        # or .load(path, context), .in_cluster(),
    async with Client(config) as client:                # KubeConfig.parse(secret_bytes).client_config()
        cluster = await client.get(ManagedCluster, "cluster1")            # -> ManagedCluster
        secret = await client.get(CORE["Secret"], "pull", "default")      # -> dict
        ref = await client.mapper.ref(manifest["apiVersion"], manifest["kind"])   # raises NoMatch
        await client.apply(ref, manifest, field_manager="me", force=True)
        works = await client.list(ManifestWork, "cluster1", label_selector="app=web")
        await client.create(ManagedClusterSet(metadata=ObjectMeta(name="set1"), spec=...))
        await client.create(CORE["ConfigMap"], {"metadata": {"name": "c", "namespace": "n"}, "data": {}})
        await client.delete(ManifestWork, "w", "cluster1", uid=uid, missing_ok=True)    # True: gone

``client.fetch(...)`` is ``get`` that returns a ``Snapshot``. Errors: ``NotFound``, ``AlreadyExists``, ``Conflict``,
``Invalid``, ``Forbidden``, ``Unauthorized``, ... (all ``ApiError``); ``ConnectionFailed``, and ``CredentialRefused``
where
the server breaks off connections because of our certificate; ``ConfigError``. Root: ``KubeError``. Overload (429)
and lost connections have been retried when you see them.

Snapshots
---------
Caches hold ``Snapshot[T]``: one object at one version, read-only. ``s.value`` is the typed object (decoded on first
use; for dynamic kinds a shared dict), ``s.raw`` a *fresh* dict of the whole object, yours to change. Cheap, without
decoding:
``s.name .namespace .key .uid .resource_version .generation .labels .annotations .finalizers .owners .deleting``.

Controllers
-----------
::

    manager = Manager(client, health="0.0.0.0:8000")
    clusters = manager.informer(ManagedCluster)                       # same arguments: same informer, one watch
    works = manager.informer(
        ManifestWork, indexes={"set": lambda work: work.labels.get("set", "").split()}
    )
    recorder = manager.recorder("example.com/labeler")

    async def reconcile(key: ObjectKey) -> float | None:
        cluster = clusters.get(key.name)                              # from the cache: Snapshot[ManagedCluster] | None
        if cluster is None or cluster.deleting:
            return None
        count = len(works.list(namespace=key.name))                   # also works.by_index("set", "a")

        def label(raw: Manifest) -> None:
            raw["metadata"].setdefault("labels", {})["works"] = str(count)

        await write(client, ManagedCluster, cluster, label)           # no request where nothing changes
        recorder.normal(cluster, "Labelled", f"{count} works")
        return None                                                   # or seconds after which to look again

    controller = Controller("labeler", reconcile, workers=4)
    controller.watches(clusters)                                      # default key: the object's ObjectKey
    controller.watches(works, lambda work: [ObjectKey("", work.namespace)], when=generation_changed)
    manager.add(controller)
    await manager.run()                                               # until manager.stop()

A reconcile that raises is retried with growing delays; ``TerminalError`` is not. ``reconcile_batch(keys)`` is for
algorithms that gain from many keys. Keys may be anything hashable. ``controller.every(60, keys)`` is for prescribed
timers,
``controller.add(key)`` for anything else. Handlers (``informer.add_handler``) are synchronous: they enqueue, they
don't work.

``projection`` keeps something smaller than the object: ``manager.informer(ManifestWork, projection=summary)``, with
``def summary(work: Snapshot[ManifestWork]) -> Summary``, makes ``s.value`` a ``Summary`` and drops the rest (``s.raw``
raises ``LookupError``). It is part of the informer's identity, so give a named function.

Writes
------
Structs are for reading and for creating. To change an object, give ``write`` a function over its raw form, or
``write_typed`` one over the struct (``msgspec.structs.replace``); unknown fields survive either way. It must be
pure: after a
conflict it runs again on the live object. One ``StatusWriter(client, Kind)`` per kind and process merges what several
controllers want of one status. ``merope.kube.conditions`` sets conditions with metav1's semantics::

    status = StatusWriter(client, ManagedCluster)

    def joined(raw: Manifest) -> None:
        conditions = raw.setdefault("status", {}).setdefault("conditions", [])
        set_condition(conditions, "ManagedClusterJoined", "True", "ManagedClusterJoined", "joined")

    await status.write(cluster, joined)

What this process wrote is in its informers' caches when the write returns; the echo of the watch is dropped.

Connections
-----------
HTTP/1.1: a running watch holds a connection. ``Client(config, connections=3)``, as agents talk to their hub, keeps
one for
requests and gives the other two to watches; more informers than that take turns (five seconds each while others
wait, no event is lost). So an agent asks for narrow informers, and shares one client among all of its controllers.

Leader election: ``Manager(client, leader=LeaderElector(client, "lock", "namespace"))``; ``run`` raises
``LeadershipLost``.
Commands and tests wait with ``client.watch(...)``; ``HttpsTransport.upgrade`` opens WebSockets (exec, port-forward);
``InProcessTransport`` (``merope.kube.inprocess``) reaches a control plane of the same process.
"""

from merope.kube.cache import Cache, Change
from merope.kube.client import Client, Page, PatchType, Propagation
from merope.kube.conditions import (
    condition_status,
    find_condition,
    is_condition_false,
    is_condition_true,
    remove_condition,
    set_condition,
    timestamp,
)
from merope.kube.config import ClientConfig, KubeConfig
from merope.kube.controller import (
    BatchFailed,
    Controller,
    TerminalError,
    generation_changed,
    metadata_or_generation_changed,
    owner_keys,
)
from merope.kube.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    ConfigError,
    Conflict,
    ConnectionFailed,
    CredentialRefused,
    Expired,
    Forbidden,
    Gone,
    Invalid,
    KubeError,
    MethodNotSupported,
    NotFound,
    ServerTimeout,
    ServiceUnavailable,
    Timeout,
    TooManyRequests,
    Unauthorized,
)
from merope.kube.events import EventRecorder, reference
from merope.kube.finalizers import add_finalizer, remove_finalizer
from merope.kube.informer import Informer, make_informer
from merope.kube.leader import (
    OCM_LEADER_TIMES,
    LeaderElector,
    LeadershipLost,
    LeaderTimes,
    persistent_identity,
)
from merope.kube.manager import Manager
from merope.kube.metrics import Metrics
from merope.kube.queue import QueueClosed, WorkQueue
from merope.kube.resources import CORE, Kind, Manifest, NoMatch, ResourceRef, RESTMapper, ref_of
from merope.kube.snapshot import Metadata, ObjectKey, OwnerReference, Snapshot
from merope.kube.transport import HttpsTransport, Response, Transport
from merope.kube.watch import WatchEvent
from merope.kube.writer import StatusWriter, patch_of, write, write_typed

__all__ = [
    "CORE",
    "OCM_LEADER_TIMES",
    "AlreadyExists",
    "ApiError",
    "BadRequest",
    "BatchFailed",
    "Cache",
    "Change",
    "Client",
    "ClientConfig",
    "ConfigError",
    "Conflict",
    "ConnectionFailed",
    "Controller",
    "CredentialRefused",
    "EventRecorder",
    "Expired",
    "Forbidden",
    "Gone",
    "HttpsTransport",
    "Informer",
    "Invalid",
    "Kind",
    "KubeConfig",
    "KubeError",
    "LeaderElector",
    "LeaderTimes",
    "LeadershipLost",
    "Manager",
    "Manifest",
    "Metadata",
    "MethodNotSupported",
    "Metrics",
    "NoMatch",
    "NotFound",
    "ObjectKey",
    "OwnerReference",
    "Page",
    "PatchType",
    "Propagation",
    "QueueClosed",
    "RESTMapper",
    "ResourceRef",
    "Response",
    "ServerTimeout",
    "ServiceUnavailable",
    "Snapshot",
    "StatusWriter",
    "TerminalError",
    "Timeout",
    "TooManyRequests",
    "Transport",
    "Unauthorized",
    "WatchEvent",
    "WorkQueue",
    "add_finalizer",
    "condition_status",
    "find_condition",
    "generation_changed",
    "is_condition_false",
    "is_condition_true",
    "make_informer",
    "metadata_or_generation_changed",
    "owner_keys",
    "patch_of",
    "persistent_identity",
    "ref_of",
    "reference",
    "remove_condition",
    "remove_finalizer",
    "set_condition",
    "timestamp",
    "write",
    "write_typed",
]
