"""kubectl prints on the embedded control plane what it prints on a real one.

By default the sessions are played with the newest kubectl that they were recorded with; ``--kubectl=all`` plays them
with each.
"""

import pytest

from e2e.sessions.commands import SESSIONS
from e2e.sessions.runner import RECORDED, play
from fixtures import kubectl
from fixtures.cluster import Cluster
from merope.api.crds import crds

MINORS = sorted((int(path.name.removeprefix("1.")) for path in RECORDED.iterdir()), reverse=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "minor" not in metafunc.fixturenames:
        return
    chosen = metafunc.config.getoption("--kubectl")
    if chosen == "default":
        minors = MINORS[:1]
    elif chosen == "all":
        minors = MINORS
    else:
        wanted = {int(version.removeprefix("1.")) for version in chosen.split(",")}
        minors = [minor for minor in MINORS if minor in wanted]
    metafunc.parametrize("minor", minors, ids=[f"1.{minor}" for minor in minors])


@pytest.fixture(scope="module")
def hub_with_types(cluster: Cluster) -> Cluster:
    """A cluster that has the definitions of the product's own kinds."""
    for definition in crds():
        cluster.ensure("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    return cluster


@pytest.mark.parametrize("session", SESSIONS)
def test_a_session_prints_what_it_prints_on_a_real_server(session: str, minor: int, hub_with_types: Cluster) -> None:
    try:
        tools = kubectl.packaged_tools(minor)
    except kubectl.ToolNotAvailableError as reason:
        pytest.skip(f"kubectl 1.{minor}: {reason}")

    printed = play(hub_with_types, tools, session)

    assert printed == (RECORDED / f"1.{minor}" / f"{session}.txt").read_text()


def test_each_session_is_recorded_and_each_record_is_of_a_session() -> None:
    for minor in MINORS:
        assert {path.stem for path in (RECORDED / f"1.{minor}").glob("*.txt")} == set(SESSIONS)
