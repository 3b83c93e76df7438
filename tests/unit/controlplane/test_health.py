"""/healthz, /livez and /readyz: what is told to whom."""

from __future__ import annotations

from typing import Any

import pytest

from merope.controlplane.persistence import Quarantined

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAMAGED = Quarantined("/secrets/kube-system/ours", "the checksum does not match the content")


@pytest.fixture
def damaged(api: Any) -> Any:
    api.server.store.quarantined.append(DAMAGED)
    yield
    api.server.store.quarantined.remove(DAMAGED)


@pytest.mark.usefixtures("damaged")
async def test_problems_of_the_store_are_told_in_full_to_administrators(api: Any) -> None:
    answer = await api.call("GET", "/readyz?verbose")

    assert answer.code == 200
    assert f"warn: {DAMAGED.key} is quarantined: {DAMAGED.reason}\n" in answer.text
    assert answer.text.endswith("readyz check passed\n")


@pytest.mark.usefixtures("damaged")
@pytest.mark.parametrize("token", ["nobody", ""])
async def test_others_hear_only_that_there_are_problems(api: Any, token: str) -> None:
    answer = await api.call("GET", "/readyz?verbose", token=token)

    assert answer.code == 200
    assert DAMAGED.key not in answer.text
    assert "warn: the store has problems (1), see the log\n" in answer.text


@pytest.mark.usefixtures("damaged")
@pytest.mark.parametrize("path", ["/readyz", "/livez?verbose"])
async def test_probes_are_not_bothered(api: Any, path: str) -> None:
    answer = await api.call("GET", path)

    assert answer.code == 200
    assert "warn" not in answer.text
