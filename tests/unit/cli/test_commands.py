"""The command line: what is printed where, exit statuses, errors that a person can mend in one line."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from merope.cli import up as up_command
from merope.cli.main import main
from merope.fleet.bringup import Outcome
from merope.fleet.layout import FORMAT, Fleet, Layout

VERBS = ("up", "down", "status", "kubeconfig", "logs", "crds", "accept", "controlplane", "hub", "agent")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEROPE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def layout(home: Path) -> Layout:
    """A fleet that is down."""
    made = Layout("default", home)
    made.prepare()
    made.save(Fleet(clusters=1))
    return made


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0

    shown = capsys.readouterr().out
    assert all(verb in shown for verb in VERBS)


@pytest.mark.parametrize("verb", [*((verb,) for verb in VERBS[:7]), ("hub", "run"), ("agent", "run")])
def test_every_verb_explains_itself_with_an_example(verb: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        assert main([*verb, "--help"]) == 0

    assert f"merope {' '.join(verb)}" in capsys.readouterr().out.partition("xample")[2]


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    from merope import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"merope {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["frobnicate"], ["up", "--clusters", "many"], ["up", "--clusters", "-1"], ["status", "-o", "xml"]]
)
def test_what_cannot_be_understood_is_an_error_of_use(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Error" in captured.err


@pytest.mark.parametrize("verb", [["status"], ["kubeconfig"], ["logs"], ["down"]])
def test_without_a_fleet_each_verb_says_so_in_one_line(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(verb) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: there is no fleet 'default' in ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("verb", [["up"], ["status"], ["kubeconfig"], ["logs"]])
def test_a_newer_state_directory_is_refused_by_each_verb(
    verb: list[str], layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    layout.fleet_file.write_text(json.dumps({"format": FORMAT + 1}))
    before = sorted(layout.root.rglob("*"))

    assert main(verb) == 1

    assert "newer merope" in capsys.readouterr().err
    assert {path for path in layout.root.rglob("*") if path.name != "lock"} == set(before)


def test_a_fleet_that_is_down_says_how_to_start_it(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 0
    assert "merope up" in capsys.readouterr().out

    assert main(["status", "--output", "json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert (seen["running"], seen["processes"], seen["clusters"]) == (False, [], [])

    assert main(["status", "-o", "yaml"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == seen


def test_the_kubeconfig_of_a_fleet_or_of_one_cluster(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kubeconfig"]) == 1
    assert "not there yet" in capsys.readouterr().err

    layout.kubeconfig.touch()
    layout.admin_kubeconfig("cluster1").parent.mkdir(parents=True)
    layout.admin_kubeconfig("cluster1").touch()

    assert main(["kubeconfig"]) == 0
    assert main(["kubeconfig", "cluster1"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(layout.kubeconfig), str(layout.admin_kubeconfig("cluster1"))]

    assert main(["kubeconfig", "cluster2"]) == 1
    assert "has no cluster 'cluster2'; it has hub, cluster1" in capsys.readouterr().err


def test_logs_of_one_process_or_of_all(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    layout.log("hub").write_text("".join(f"line {number}\n" for number in range(5)))
    layout.log("controlplane").write_text("ready\n")

    assert main(["logs", "hub", "--tail", "2"]) == 0
    assert capsys.readouterr().out == "line 3\nline 4\n"

    assert main(["logs", "--tail", "1"]) == 0
    assert capsys.readouterr().out == "controlplane | ready\nhub | line 4\n"

    assert main(["logs", "nothing"]) == 1
    assert "has no process 'nothing'; it has controlplane, hub" in capsys.readouterr().err


def test_taking_down_what_does_not_run_is_no_failure(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down"]) == 0
    assert "was not running" in capsys.readouterr().out
    assert layout.exists()

    assert main(["down", "--purge"]) == 0
    assert not layout.root.exists()


def test_definitions_of_one_group_or_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crds", "--group", "work.open-cluster-management.io"]) == 0
    kinds = {each["spec"]["names"]["kind"] for each in yaml.safe_load_all(capsys.readouterr().out)}
    assert {"ManifestWork", "AppliedManifestWork"} <= kinds

    assert main(["crds", "--group", "nothing.example.com"]) == 1
    assert capsys.readouterr().err == "error: no such API group: nothing.example.com\n"


def test_accepting_without_a_hub_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["accept", "cluster1", "--kubeconfig", str(tmp_path / "none")]) == 1

    assert capsys.readouterr().err.startswith("error: ")


def test_a_reader_that_has_enough_ends_the_output_quietly() -> None:
    writer = subprocess.Popen(
        [sys.executable, "-m", "merope", "crds"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stderr is not None
    writer.stdout.readline()
    writer.stdout.close()

    assert (writer.wait(30), writer.stderr.read()) == (0, "")
    writer.stderr.close()


@pytest.mark.parametrize("kubectl", [True, False])
def test_up_ends_with_what_to_try_and_where_to_get_kubectl(
    kubectl: bool,
    layout: Layout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(up_command, "bring_up", lambda *_: Outcome(Fleet(clusters=5), 3.21))
    monkeypatch.setenv("PATH", str(tmp_path))
    if kubectl:
        (tmp_path / "kubectl").touch(mode=0o755)
    monkeypatch.chdir(Path(__file__).parents[3])

    assert main(["up"]) == 0

    shown = capsys.readouterr().out
    assert "5 managed clusters (cluster1, cluster2, cluster3, ...) are ready after 3.2 s." in shown
    assert "kubectl --context hub apply -f examples/hello-work.yaml" in shown
    assert ("https://kubernetes.io/docs/tasks/tools" in shown) is not kubectl
    assert os.path.exists("examples/hello-work.yaml")


@pytest.mark.parametrize(
    ("started", "on_path", "typed"),
    [
        ("/somewhere/.venv/bin/merope", False, "/somewhere/.venv/bin/merope"),
        (".venv/bin/merope", False, ".venv/bin/merope"),
        (".venv/bin/merope", True, "merope"),
        ("/somewhere/merope/__main__.py", False, f"{sys.executable} -m merope"),
    ],
)
def test_up_names_the_command_as_it_is_typed_here(
    started: str,
    on_path: bool,
    typed: str,
    layout: Layout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(up_command, "bring_up", lambda *_: Outcome(Fleet(clusters=0), 1.0))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [started, "up"])
    if on_path:
        (tmp_path / "merope").touch(mode=0o755)

    assert main(["up"]) == 0

    assert f"\n  {typed} down\n" in capsys.readouterr().out
