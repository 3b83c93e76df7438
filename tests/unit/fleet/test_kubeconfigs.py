"""Kubeconfigs of administrators and components."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from merope.fleet import kubeconfigs


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    made: dict[str, Path] = {}
    for number, name in enumerate(("hub", "cluster1")):
        made[name] = tmp_path / f"{name}.kubeconfig"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "other", "cluster": {"server": "https://wrong"}},
                {"name": "c", "cluster": {"server": f"https://127.0.0.1:{number}", "certificate-authority-data": name}},
            ],
            "users": [{"name": "u", "user": {"client-certificate-data": f"{name} certificate"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        made[name].write_text(yaml.safe_dump(content))
    return made


def context(text: str, name: str | None = None) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Context, cluster and user as kubectl finds them."""
    config = yaml.safe_load(text)
    (chosen,) = (each["context"] for each in config["contexts"] if each["name"] == (name or config["current-context"]))
    (cluster,) = (each["cluster"] for each in config["clusters"] if each["name"] == chosen["cluster"])
    (user,) = (each["user"] for each in config["users"] if each["name"] == chosen["user"])
    return chosen, cluster, user


def test_the_merged_one_has_a_context_for_each_cluster(sources: dict[str, Path]) -> None:
    text = kubeconfigs.merged(sources, "hub")

    assert yaml.safe_load(text)["current-context"] == "hub"
    for name, server in (("hub", "https://127.0.0.1:0"), ("cluster1", "https://127.0.0.1:1")):
        _, cluster, user = context(text, name)
        assert cluster == {"server": server, "certificate-authority-data": name}
        assert user == {"client-certificate-data": f"{name} certificate"}


def test_components_get_a_token_file_and_nothing_of_the_administrators(sources: dict[str, Path]) -> None:
    text = kubeconfigs.with_token_file(sources["hub"], "work-controller-sa", Path("/x/token"), "somewhere")

    chosen, cluster, user = context(text)
    assert user == {"tokenFile": "/x/token"}
    assert chosen["namespace"] == "somewhere"
    assert cluster["server"] == "https://127.0.0.1:0"
    assert "certificate\n" not in text
