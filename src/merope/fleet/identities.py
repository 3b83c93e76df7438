"""Identities of a fleet's components: tokens of their ServiceAccounts, in files that they read again by themselves.

``python -m merope.fleet.identities DIRECTORY`` replaces all tokens of a fleet. The supervisor runs it each day, so that
tokens that live for a week never end while their fleet runs.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from merope.fleet import kubeconfigs
from merope.fleet.layout import FleetError, Layout, write_private
from merope.kube import CORE, Client, ClientConfig, KubeError
from merope.operator import AGENT_NAMESPACE, HUB_NAMESPACE, OPERATOR_NAMESPACE
from merope.operator.hub import BOOTSTRAP_ACCOUNT
from merope.operator.klusterlet import REGISTRATION_ACCOUNT, WORK_ACCOUNT

#: Seconds that a token lives; it is replaced at each start and each day.
TOKEN_SECONDS: Final = 7 * 24 * 3600
#: ServiceAccounts by the name of their kubeconfig.
HUB_ACCOUNTS: Final[Mapping[str, str]] = {
    "registration-controller": "registration-controller-sa",
    "registration-webhook": "registration-webhook-sa",
    "placement-controller": "placement-controller-sa",
    "work-controller": "work-controller-sa",
}
AGENT_ACCOUNTS: Final[Mapping[str, str]] = {"registration": REGISTRATION_ACCOUNT, "work": WORK_ACCOUNT}


def administrator(layout: Layout, cluster: str) -> Client:
    """A client with the administrator's identity, to be entered. Raises ``kube.ConfigError``."""
    return Client(
        ClientConfig.load(layout.admin_kubeconfig(cluster)), user_agent="merope-up", field_manager="merope-up"
    )


async def write_hub_identities(client: Client, layout: Layout) -> None:
    """Fresh identities of the hub's components. Raises ``kube.KubeError``."""
    await _write(client, layout.admin_kubeconfig("hub"), layout.hub, HUB_NAMESPACE, HUB_ACCOUNTS)


async def write_agent_identities(client: Client, layout: Layout, cluster: str) -> None:
    """Fresh identities of an agent on its own cluster. Raises ``kube.KubeError``."""
    await _write(client, layout.admin_kubeconfig(cluster), layout.agent(cluster), AGENT_NAMESPACE, AGENT_ACCOUNTS)


async def write_bootstrap_identities(client: Client, layout: Layout, clusters: list[str]) -> None:
    """A fresh identity with which agents ask the hub to join, for each of ``clusters``. Raises ``kube.KubeError``."""
    for cluster in clusters:
        # A file for the token, so that the kubeconfig stays what it is: agents take another one for another hub.
        await _write(
            client,
            layout.admin_kubeconfig("hub"),
            layout.agent(cluster),
            OPERATOR_NAMESPACE,
            {"bootstrap": BOOTSTRAP_ACCOUNT},
        )


async def refresh(layout: Layout) -> None:
    """Replace all identities of a fleet. Raises ``kube.KubeError`` and FleetError."""
    fleet = layout.load()
    async with administrator(layout, "hub") as client:
        await write_hub_identities(client, layout)
        await write_bootstrap_identities(client, layout, fleet.cluster_names)
    for name in fleet.cluster_names:
        async with administrator(layout, name) as client:
            await write_agent_identities(client, layout, name)


async def _write(client: Client, source: Path, directory: Path, namespace: str, accounts: Mapping[str, str]) -> None:
    for name, account in accounts.items():
        token_file = directory / f"{name}.token"
        write_private(token_file, await _request_token(client, account, namespace))
        text = kubeconfigs.with_token_file(source, account, token_file, namespace)
        write_private(directory / f"{name}.kubeconfig", text)


async def _request_token(client: Client, account: str, namespace: str) -> str:
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": TOKEN_SECONDS},
    }
    answer = await client.create_subresource(CORE["ServiceAccount"], account, "token", body, namespace)
    return str(answer["status"]["token"])


def main() -> int:
    """Replace the tokens of the fleet in the directory that the command line names."""
    try:
        asyncio.run(refresh(Layout.at(Path(sys.argv[1]))))
    except (KubeError, FleetError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
