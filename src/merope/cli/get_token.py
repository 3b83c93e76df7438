"""``merope get token``."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import Any, Final

from merope.cli.access import Access
from merope.cli.output import Format
from merope.cli.refusal import Refused
from merope.kube import CORE, Client, KubeError
from merope.operator import OPERATOR_NAMESPACE
from merope.operator.hub import BOOTSTRAP_ACCOUNT

_SECONDS: Final = 3600
_PREFIX: Final = "bootstrap-token-"


def get_token(access: Access, *, bootstrap_token: bool, output_format: Format | None) -> None:
    """Print a token with which a cluster may ask to join, and the command that uses it."""
    token, server = asyncio.run(_find(access, bootstrap_token))
    if output_format is Format.JSON:
        print(json.dumps({"hub-token": token, "hub-apiserver": server}, indent=2))
    elif output_format is Format.YAML:
        print(f"hub-token: {token}\nhub-apiserver: {server}")
    else:
        print(text(token, server), end="")


def text(token: str, server: str) -> str:
    """What is shown to a person. Scripts take the last line by its words: token is the fourth, address the sixth."""
    return (
        f"token={token}\n"
        "please log on spoke and run:\n"
        f"clusteradm join --hub-token {token} --hub-apiserver {server} --cluster-name <cluster_name>\n"
    )


async def _find(access: Access, bootstrap_token: bool) -> tuple[str, str]:
    async with access.hub() as client:
        token = await (_stored(client) if bootstrap_token else _issued(client))
        return token, client.config.server


async def _issued(client: Client) -> str:
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": _SECONDS},
    }
    try:
        answer = await client.create_subresource(
            CORE["ServiceAccount"], BOOTSTRAP_ACCOUNT, "token", request, OPERATOR_NAMESPACE
        )
    except KubeError as error:
        raise Refused(f"failed to get token from sa {OPERATOR_NAMESPACE}/{BOOTSTRAP_ACCOUNT}: {error}") from None
    return str(answer["status"]["token"])


async def _stored(client: Client) -> str:
    found = newest_token(await client.list(CORE["Secret"], "kube-system", label_selector="app=cluster-manager"))
    if not found:
        raise Refused("token doesn't exist: kube-system has no bootstrap token that is labelled app=cluster-manager")
    return found


def newest_token(secrets: Sequence[dict[str, Any]]) -> str:
    """The bootstrap token in the newest of the Secrets that hold one; "" where none does."""
    holding = [secret for secret in secrets if secret["metadata"]["name"].startswith(_PREFIX)]
    if not holding:
        return ""
    newest = max(holding, key=lambda secret: str(secret["metadata"].get("creationTimestamp", "")))
    data = newest.get("data") or {}
    return ".".join(base64.b64decode(data.get(key, "")).decode() for key in ("token-id", "token-secret"))
