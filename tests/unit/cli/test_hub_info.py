"""What ``get hub-info`` shows of a hub that an operator has installed."""

from typing import Any

from merope.cli.get_hub_info import HubInfo, lines


def deployment(image: str, available: int, desired: int) -> dict[str, Any]:
    containers = [{"image": "sidecar"}, {"image": image}]
    return {
        "spec": {"replicas": desired, "template": {"spec": {"containers": containers}}},
        "status": {"availableReplicas": available},
    }


def definition(plural: str, group: str, *versions: str, established: bool = True) -> dict[str, Any]:
    conditions = [{"type": "Established", "status": "True"}] if established else []
    return {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "versions": [{"name": each.strip("*"), "storage": each.startswith("*")} for each in versions],
        },
        "status": {"conditions": conditions},
    }


def test_a_whole_hub_is_shown_with_available_before_desired() -> None:
    info = HubInfo(
        deployment("operator:1", 2, 3),
        {"metadata": {"name": "cluster-manager"}},
        {
            "cluster-manager-registration-controller": deployment("registration:1", 1, 1),
            "cluster-manager-registration-webhook": deployment("registration:1", 0, 1),
            "cluster-manager-placement-controller": deployment("placement:1", 1, 1),
        },
        [
            definition("clustermanagers", "operator.open-cluster-management.io", "*v1"),
            definition("placements", "cluster.open-cluster-management.io", "v1alpha1", "*v1beta1"),
            definition("addons", "addon.open-cluster-management.io", "*v1", established=False),
            definition("others", "example.com", "*v1"),
        ],
    )

    assert list(lines(info)) == [
        "Registration Operator:",
        "  Controller:\t(2/3) operator:1",
        "  CustomResourceDefinition:",
        "    (installed) clustermanagers.operator.open-cluster-management.io [*v1]",
        "Components:",
        "  Registration:",
        "    Controller:\t(1/1) registration:1",
        "    Webhook:\t(0/1) registration:1",
        "  Placement:",
        "    Controller:\t(1/1) placement:1",
        "  CustomResourceDefinition:",
        "    (absent) addons.addon.open-cluster-management.io [*v1]",
        "    (installed) placements.cluster.open-cluster-management.io [v1alpha1|*v1beta1]",
    ]


def test_a_hub_without_operator_says_so() -> None:
    assert list(lines(HubInfo(None, None, {}, []))) == [
        "Registration Operator:\t<none>",
        "Components:\t<uninstalled>",
    ]
