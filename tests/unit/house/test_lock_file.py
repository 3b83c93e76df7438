"""The development lock file fits `pyproject.toml`, and can be used from any package index."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
LOCK = (ROOT / "requirements-dev.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REQUIREMENTS = [
    *PROJECT["project"]["dependencies"],
    *(r for group in PROJECT["dependency-groups"].values() for r in group),
]


def locked_versions() -> dict[str, list[str]]:
    versions: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", LOCK, re.MULTILINE):
        versions.setdefault(canonicalize_name(name), []).append(version)
    return versions


@pytest.mark.parametrize("requirement", [Requirement(text) for text in REQUIREMENTS], ids=str)
def test_each_requirement_is_locked_to_versions_that_it_allows(requirement: Requirement) -> None:
    versions = locked_versions().get(canonicalize_name(requirement.name), [])

    assert versions, "not locked: run make lock"
    assert all(requirement.specifier.contains(version) for version in versions)


def test_every_locked_version_has_hashes() -> None:
    assert len(re.findall(r"^\S+==[^\n]* \\\n    --hash=sha256:", LOCK, re.MULTILINE)) == len(
        re.findall(r"^\S+==", LOCK, re.MULTILINE)
    )


def test_the_lock_file_names_no_registry() -> None:
    assert "://" not in LOCK
    assert "--index-url" not in LOCK
    assert "--find-links" not in LOCK
