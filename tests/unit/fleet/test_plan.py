"""What a fleet consists of, and with which command lines its processes run."""

from pathlib import Path

import pytest

from merope.cli import hub as hub_command
from merope.controlplane.process import ServerSpec
from merope.fleet.layout import Fleet, FleetError, Layout
from merope.fleet.plan import agent_process, control_planes, plan, processes


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout("default", tmp_path)
    made.prepare()
    return made


def test_a_new_fleet_has_two_clusters_with_ports_and_ids_of_their_own(layout: Layout) -> None:
    fleet = plan(layout, None)

    assert fleet.cluster_names == ["cluster1", "cluster2"]
    assert set(fleet.ports) == {"hub", "webhook", "cluster1", "cluster2"}
    assert len(set(fleet.ports.values())) == 4
    assert len({fleet.identity, *fleet.agents.values()}) == 3


def test_planned_again_everything_stays(layout: Layout) -> None:
    before = plan(layout, 2)

    assert plan(layout, None) == plan(layout, 2) == before == layout.load()


def test_more_clusters_leave_what_is_there(layout: Layout) -> None:
    before = plan(layout, 1)

    after = plan(layout, 3)

    assert after.cluster_names == ["cluster1", "cluster2", "cluster3"]
    assert after.ports.items() > before.ports.items()
    assert after.agents.items() > before.agents.items()
    assert after.identity == before.identity


def test_fewer_clusters_are_refused_and_nothing_changes(layout: Layout) -> None:
    before = plan(layout, 2)

    with pytest.raises(FleetError, match=r"has 2 clusters and does not shrink.*--purge.*--name"):
        plan(layout, 1)

    assert layout.load() == before


def test_fleets_of_one_home_never_share_a_port(tmp_path: Path) -> None:
    fleets: list[Fleet] = []
    for name in ("a", "b", "c"):
        each = Layout(name, tmp_path)
        each.prepare()
        fleets.append(plan(each, 5))

    ports = [port for fleet in fleets for port in fleet.ports.values()]

    assert len(set(ports)) == len(ports) == 21


def test_each_process_is_an_ordinary_command_and_waits_for_what_it_needs(layout: Layout) -> None:
    fleet = plan(layout, 2)

    specs = {spec.name: spec for spec in processes(layout, fleet)}

    assert list(specs) == ["controlplane", "hub", agent_process("cluster1"), agent_process("cluster2"), "tokens"]
    assert {name: spec.after for name, spec in specs.items() if not spec.after} == {"controlplane": ()}
    assert specs["controlplane"] == control_planes(layout, fleet)
    assert specs["tokens"].every == 24 * 3600
    for name in ("controlplane", "hub", "agent-cluster1"):
        assert specs[name].arguments[1:3] == ("-m", "merope")


def test_the_control_planes_get_the_fleets_ports(layout: Layout) -> None:
    fleet = plan(layout, 1)

    arguments = control_planes(layout, fleet).arguments
    servers = [ServerSpec.parse(arguments[index + 1]) for index, each in enumerate(arguments) if each == "--server"]

    assert {server.name: server.port for server in servers} == {
        "hub": fleet.ports["hub"],
        "cluster1": fleet.ports["cluster1"],
    }


def test_the_command_lines_are_understood(layout: Layout) -> None:
    from merope.cli import agent as agent_command

    fleet = plan(layout, 1)
    specs = {spec.name: spec for spec in processes(layout, fleet)}

    hub = hub_command.parser().parse_args(specs["hub"].arguments[5:])
    agent = agent_command.parser().parse_args(specs["agent-cluster1"].arguments[5:])

    assert hub.identity == fleet.identity
    assert hub.webhook_bind == f"127.0.0.1:{fleet.ports['webhook']}"
    assert agent.cluster_name == "cluster1"
    assert agent.agent_id == fleet.agents["cluster1"]
    assert agent.hub_kubeconfig_dir == layout.agent("cluster1") / "hub-kubeconfig"
