"""The documents for users name only verbs, options, files and make targets that there are."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from merope.cli.commands import app

ROOT = Path(__file__).parents[3]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"(?:^\$ |`|\$\()merope ([a-z]+)([^`\n)]*)", re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_verb_and_option_that_is_shown_exists(document: Path) -> None:
    verbs = get_command(app).commands  # type: ignore[attr-defined]

    for verb, rest in COMMAND.findall(document.read_text()):
        assert verb in verbs, verb
        commands = [verbs[verb]]
        below = getattr(verbs[verb], "commands", None)
        if below and (named := rest.split()[:1]):
            names = named[0].split("\\|")  # as in a table
            assert set(names) <= below.keys(), (verb, names)
            commands = [below[name] for name in names]
        known = {option for command in commands for each in command.params for option in each.opts} | {"--help"}
        shown = set(re.findall(r"--[a-z-]+", rest))
        assert shown <= known or verb in ("hub", "agent", "controlplane"), (verb, shown - known)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_file_and_target_that_is_shown_exists(document: Path) -> None:
    text = document.read_text()

    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / link).exists(), link
    for file in re.findall(r"\b(?:examples|bench|docs|tests)/[\w./-]*\w", text):
        assert (ROOT / file).exists(), file
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"(?:^ {4}|`|&& )make ([a-z-]+)", text, re.MULTILINE):
        assert target in targets, target
