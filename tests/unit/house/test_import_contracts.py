"""The contracts themselves are checked by `make check`; here: that no room is forgotten in them."""

import configparser
import pkgutil
from pathlib import Path

import pytest

import merope

ROOT = Path(__file__).resolve().parents[3]
FLOOR_OF_CAPABILITIES = "registration"


@pytest.fixture(scope="module")
def contracts() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    return parser


def names(text: str) -> set[str]:
    return {word.strip("()") for word in text.replace("|", " ").replace(":", " ").split()}


def capabilities(contracts: configparser.ConfigParser) -> set[str]:
    floors = contracts["importlinter:contract:floors"]["layers"].splitlines()
    (floor,) = (line for line in floors if FLOOR_OF_CAPABILITIES in line)
    existing = {module.name for module in pkgutil.iter_modules(merope.__path__)}
    return names(floor) & existing


def test_every_capability_is_independent_of_the_others(contracts: configparser.ConfigParser) -> None:
    listed = names(contracts["importlinter:contract:capabilities"]["modules"])

    assert listed == {f"merope.{room}" for room in capabilities(contracts)}


def test_no_capability_knows_the_embedded_control_plane(contracts: configparser.ConfigParser) -> None:
    listed = names(contracts["importlinter:contract:controlplane-importers"]["source_modules"])

    assert listed >= {f"merope.{room}" for room in capabilities(contracts)}


def test_the_embedded_control_plane_knows_no_capability(contracts: configparser.ConfigParser) -> None:
    listed = names(contracts["importlinter:contract:controlplane-imports"]["forbidden_modules"])

    assert listed >= {f"merope.{room}" for room in capabilities(contracts)}
