"""What ``merope hub run`` says when it cannot run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from merope import hub
from merope.cli.hub import main
from merope.kube import NotFound, Unauthorized


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "hub.kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "the-secret-token"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unauthorized({"code": 401, "message": "Unauthorized"}), "hub.kubeconfig: it is expired"),
        (NotFound({"code": 404, "message": 'namespaces "x" not found'}), "Is a hub installed there?"),
    ],
)
def test_an_error_names_its_remedy_and_no_secret(
    kubeconfig: Path, error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refused(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(hub, "run", refused)

    assert main(["--kubeconfig", str(kubeconfig)]) == 1
    text = capsys.readouterr().err
    assert said in text
    assert "the-secret-token" not in text


def test_a_kubeconfig_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--kubeconfig", str(tmp_path / "none")]) == 1
    assert f"{tmp_path}/none" in capsys.readouterr().err
