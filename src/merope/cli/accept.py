"""``merope accept``: approve the first signing request of clusters, and let them in."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from merope.api.cluster.v1 import JOINED, ManagedCluster
from merope.cli.access import Access, tell_each
from merope.cli.refusal import Refused
from merope.kube import CORE, Client, Conflict, ConnectionFailed, Expired, Kind, KubeError, NotFound, is_condition_true
from merope.registration.acceptance import Review, approve, labelled_requests, let_in, review
from merope.registration.cluster_rbac import CLUSTER_NAME_LABEL

#: On clusters that register with an identity of AWS: they need no signing request.
_ARN_ANNOTATION: Final = "agent.open-cluster-management.io/managed-cluster-arn"
_REASON: Final = "merope Approve"
_MESSAGE: Final = "This CSR was approved by merope certificate approve."
#: Seconds until a watch that ended is begun again.
_WATCH_PAUSE: Final = 1.0


@dataclass(frozen=True)
class _Acceptance:
    """The accepting of one cluster, in as many attempts as it takes."""

    client: Client
    cluster: str
    dry_run: bool
    requesters: Sequence[str]
    any_identity: bool
    said: set[str] = field(default_factory=set)

    def say(self, text: str, *, notice: bool = False) -> None:
        """Print what has not been printed yet of this cluster: attempts are repeated."""
        if text not in self.said:
            self.said.add(text)
            print(text, file=sys.stderr if notice else sys.stdout, flush=True)

    async def attempt(self) -> str:
        """Do what can be done now; what is still missing, "" where all is done. Raises Refused and KubeError."""
        try:
            found = await self.client.fetch(ManagedCluster, self.cluster)
        except NotFound as error:
            return f"fail to get managedcluster {self.cluster}: {error} (its agent has not asked to join yet)"
        approved = _ARN_ANNOTATION in found.annotations or await self._approve()
        if await let_in(self.client, self.cluster, dry_run=self.dry_run):
            self.say(f"set hubAcceptsClient to true for managed cluster {self.cluster}")
        else:
            self.say(f"hubAcceptsClient already set for managed cluster {self.cluster}")
        # Requests are removed after a while: who has joined has had one approved.
        if approved or is_condition_true((found.raw.get("status") or {}).get("conditions"), JOINED):
            return ""
        return f"no csr is approved yet for cluster {self.cluster}"

    async def _approve(self) -> bool:
        """Approve what is to be approved; whether any request is approved now."""
        requests = await labelled_requests(self.client, self.cluster)
        found = review(requests, self.cluster, requesters=self.requesters, any_identity=self.any_identity)
        for text, notice in remarks(found, self.cluster):
            self.say(text, notice=notice)
        if not found.approve:
            return bool(found.approved)
        self.say(f"Starting approve csrs for the cluster {self.cluster}")
        approved = bool(found.approved)
        for csr in found.approve:
            try:
                await approve(self.client, csr, reason=_REASON, message=_MESSAGE, dry_run=self.dry_run)
            except (Conflict, NotFound):
                continue  # somebody else decided it or took it back just now: the next attempt sees what there is
            except KubeError as error:
                raise Refused(f"fail to approve the csr for cluster {self.cluster}: {error}") from None
            self.say(f"CSR {csr['metadata']['name']} approved")
            approved = True
        return approved


def remarks(found: Review, cluster: str) -> list[tuple[str, bool]]:
    """What is to be said of a cluster's requests, and whether it is a notice."""
    said = [
        (f"csr {name} is not valid: it does not ask for the certificate of cluster {cluster}", True)
        for name in found.invalid
    ]
    if found.ambiguous:
        text = (
            f"There are CSRs of different requesters: {','.join(found.ambiguous)}, approve is skipped please specify "
            "the certain requesters with --requesters or set --skip-approve-check if all CSRs need to be approved"
        )
        said.append((text, True))
    said += [(f"CSR {name} with requester {common} is not in the approve list", False) for name, common in found.others]
    said += [(f"CSR {name} already denied", False) for name in found.denied]
    said += [(f"CSR {name} already approved", False) for name in found.approved]
    return said


def accept(
    access: Access, clusters: Sequence[str], *, wait: bool, requesters: Sequence[str] = (), any_identity: bool = False
) -> None:
    """Accept each cluster; with ``wait`` also those that ask within the timeout. Raises Refused, KubeError."""

    async def run() -> None:
        async with access.hub() as client:

            async def one(cluster: str) -> str:
                acceptance = _Acceptance(client, cluster, access.dry_run, requesters, any_identity)
                if missing := await (_until_done(acceptance, access.timeout) if wait else acceptance.attempt()):
                    raise Refused(missing)
                return (
                    f"\n Your managed cluster {cluster} has joined the Hub successfully. Visit "
                    "https://open-cluster-management.io/scenarios or "
                    "https://github.com/open-cluster-management-io/OCM/tree/main/solutions for next steps."
                )

            await tell_each(clusters, one)

    asyncio.run(run())


async def _until_done(acceptance: _Acceptance, seconds: float) -> str:
    """Attempt it whenever the cluster or its requests have changed; what is still missing when the time is over."""
    client, cluster = acceptance.client, acceptance.cluster
    changed = asyncio.Event()
    missing = f"cluster {cluster} was not looked at"
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            selector = f"{CLUSTER_NAME_LABEL}={cluster}"
            watches = [
                group.create_task(_watch(client, changed, ManagedCluster, field_selector=f"metadata.name={cluster}")),
                group.create_task(_watch(client, changed, CORE["CertificateSigningRequest"], label_selector=selector)),
            ]
            while missing := await acceptance.attempt():
                acceptance.say(f"waiting: {missing}", notice=True)
                await changed.wait()
                changed.clear()
            for task in watches:
                task.cancel()
    except TimeoutError:
        return f"{missing} (context deadline exceeded after {seconds:g} s)"
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return missing


async def _watch(client: Client, changed: asyncio.Event, kind: Kind, **selector: Any) -> None:
    """Set ``changed`` with each event, for as long as this is not cancelled."""
    while True:
        try:
            # Without a version, a watch begins with what there is: nothing is missed between two.
            events: Any = client.watch(kind, **selector)
            async with aclosing(events):
                async for _ in events:
                    changed.set()
        except (ConnectionFailed, Expired):
            pass
        await asyncio.sleep(_WATCH_PAUSE)
