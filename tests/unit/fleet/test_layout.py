"""The state directory: formats old and new, ports, names, locks, what is missing or not allowed."""

import json
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from merope.fleet import layout as layout_module
from merope.fleet.layout import (
    FORMAT,
    Fleet,
    FleetError,
    Layout,
    check_platform,
    choose_port,
    default_home,
    is_free,
    names,
    ports_in_use,
    write_private,
)

NOBODY = 65534


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout("default", tmp_path / "home")
    made.prepare()
    return made


def test_a_fleet_is_read_as_it_was_written(layout: Layout) -> None:
    fleet = Fleet("default", 3, "default-abcde", {"hub": 20001}, {"cluster1": "xyz"})

    layout.save(fleet)

    assert layout.load() == fleet
    assert fleet.cluster_names == ["cluster1", "cluster2", "cluster3"]
    assert fleet.listeners == ["hub", "webhook", "cluster1", "cluster2", "cluster3"]


def test_a_newer_format_is_refused_and_left_alone(layout: Layout) -> None:
    layout.save(replace(Fleet(), format=FORMAT + 1))
    before = layout.fleet_file.read_bytes()

    with pytest.raises(FleetError, match=f"newer merope .format {FORMAT + 1}, this one knows {FORMAT}."):
        layout.load()

    assert layout.fleet_file.read_bytes() == before


def test_an_older_format_is_migrated_step_by_step(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    def rename(stated: dict[str, object]) -> None:
        steps.append("1 to 2")
        stated["clusters"] = stated.pop("size")

    layout.fleet_file.write_text(json.dumps({"format": 1, "name": "default", "size": 5}))
    monkeypatch.setattr(layout_module, "FORMAT", 3)
    monkeypatch.setattr(layout_module, "_MIGRATIONS", {1: rename, 2: lambda stated: steps.append("2 to 3")})

    fleet = layout.load()

    assert (fleet.clusters, fleet.format, steps) == (5, 3, ["1 to 2", "2 to 3"])


def test_there_is_a_migration_from_every_older_format() -> None:
    assert set(layout_module._MIGRATIONS) == set(range(1, FORMAT))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "1"}', '{"format": 0}', "\x00", '{"format": 1'])
def test_what_is_no_fleets_file_is_an_error_that_names_it(layout: Layout, content: str) -> None:
    layout.fleet_file.write_text(content)

    with pytest.raises(FleetError, match=r"fleet\.json"):
        layout.load()


def test_a_missing_fleet_says_how_to_start_one(layout: Layout) -> None:
    assert not layout.exists()
    with pytest.raises(FleetError, match=r"there is no fleet 'default'.*merope up"):
        layout.load()


@pytest.mark.parametrize("name", ["a", "fleet-2", "0", "x" * 32])
def test_names_of_fleets_are_short_labels(name: str) -> None:
    assert Layout(name).name == name


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a.b", "../x", "a/b", "x" * 33, "a\n"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(FleetError, match="no name for a fleet"):
        Layout(name)


def test_a_layout_is_found_again_from_its_directory(layout: Layout) -> None:
    again = Layout.at(layout.root)

    assert (again.name, again.home, again.root) == (layout.name, layout.home, layout.root)


def test_directories_and_files_are_the_owners_alone(layout: Layout) -> None:
    layout.save(Fleet())
    write_private(layout.agent("cluster1") / "bootstrap.kubeconfig", "secret")

    entries = [layout.home, *layout.home.rglob("*")]

    assert all(stat.S_IMODE(entry.stat().st_mode) == (0o700 if entry.is_dir() else 0o600) for entry in entries)


def test_a_failed_write_leaves_the_old_content_and_nothing_else(layout: Layout) -> None:
    path = layout.root / "file"
    write_private(path, "old")

    with pytest.raises(UnicodeEncodeError):
        write_private(path, "\ud800")

    assert path.read_text() == "old"
    assert [entry.name for entry in layout.root.iterdir() if entry.name.startswith(".")] == []


def test_a_home_that_cannot_be_made_is_an_error_that_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(FleetError, match="set MEROPE_HOME"):
        Layout("default", tmp_path / "file" / "home").prepare()


@pytest.fixture
def forbidden(tmp_path: Path) -> Iterator[Path]:
    """A home in a directory that this process may not look into; root becomes somebody else for as long."""
    shut = tmp_path / "shut"
    shut.mkdir(mode=0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield shut / "home"
    finally:
        os.seteuid(user)
        shut.chmod(0o700)


def test_a_home_of_somebody_else_is_an_error_that_names_it(forbidden: Path) -> None:
    layout = Layout("default", forbidden)

    for step in (layout.prepare, layout.exists, layout.load, lambda: layout.save(Fleet())):
        with pytest.raises(FleetError, match=rf"{forbidden}.*: Permission denied"):
            step()


def test_one_command_at_a_time_changes_a_fleet(layout: Layout) -> None:
    with layout.locked(), pytest.raises(FleetError, match="another merope up or merope down"), layout.locked():
        pass
    with layout.locked():
        pass


def test_purging_removes_everything_and_may_be_repeated(layout: Layout) -> None:
    layout.save(Fleet())

    layout.purge()
    layout.purge()

    assert not layout.root.exists()
    assert layout.home.exists()


def test_a_home_lists_its_fleets_and_their_ports(tmp_path: Path) -> None:
    for name, port in (("b", 20002), ("a", 20001)):
        each = Layout(name, tmp_path)
        each.prepare()
        each.save(Fleet(name, ports={"hub": port}))
    Layout("unfinished", tmp_path).prepare()
    broken = Layout("broken", tmp_path)
    broken.prepare()
    broken.fleet_file.write_text("{")

    assert names(tmp_path) == ["a", "b", "broken"]
    assert ports_in_use(tmp_path) == {20001, 20002}
    assert names(tmp_path / "nowhere") == []


def test_chosen_ports_are_free_and_nobody_elses() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", choose_port(())))
        listener.listen()
        occupied = listener.getsockname()[1]
        reserved = set(range(20_000, 29_999)) - {occupied}

        assert not is_free(occupied)
        assert choose_port(reserved) == 29_999

    assert is_free(occupied)


def test_where_no_port_is_left_that_is_said() -> None:
    with pytest.raises(FleetError, match="no free port"):
        choose_port(range(20_000, 30_000))


@pytest.mark.parametrize(
    ("value", "expected"),
    [("/var/fleets", Path("/var/fleets")), ("~/fleets", Path.home() / "fleets"), ("", Path.home() / ".merope")],
)
def test_the_home_is_what_the_environment_says(value: str, expected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEROPE_HOME", value)

    assert default_home() == expected


@pytest.mark.parametrize(
    ("system", "machine", "runs"),
    [
        ("linux", "x86_64", True),
        ("linux", "aarch64", True),
        ("darwin", "arm64", True),
        ("darwin", "x86_64", True),
        ("linux", "riscv64", False),
        ("win32", "AMD64", False),
        ("freebsd14", "amd64", False),
    ],
)
def test_fleets_run_on_linux_and_macos(system: str, machine: str, runs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)

    check: Callable[[], None] = check_platform
    if runs:
        check()
    else:
        with pytest.raises(FleetError, match=f"does not run on {system}/{machine}.*Linux.*macOS"):
            check()


def test_a_directory_that_is_no_fleets_is_not_removed(tmp_path: Path) -> None:
    layout = Layout("default", tmp_path)
    layout.prepare()
    mine = layout.root / "mine"
    mine.write_text("precious")

    with pytest.raises(FleetError, match=r"no fleet, but mine; nothing is removed"):
        layout.purge()

    assert mine.read_text() == "precious"


def test_what_an_interrupted_first_start_left_is_removed(tmp_path: Path) -> None:
    layout = Layout("default", tmp_path)
    layout.prepare()
    with layout.locked():
        pass

    layout.purge()

    assert not layout.root.exists()


def test_the_remedy_names_the_fleet(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match=r"merope up --name two$"):
        Layout("two", tmp_path).load()
