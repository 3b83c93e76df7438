"""What a shell is told while a person types."""

import os
import subprocess
import sys

import pytest

from merope.cli.completion import extended
from merope.cli.main import main


def complete(*words: str) -> list[str]:
    asked = {"_MEROPE_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", "from merope.cli.main import main; raise SystemExit(main())"],
        env=os.environ | {"KUBECONFIG": "/nonexistent"} | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_the_last_element_of_a_list_is_completed_with_what_it_does_not_have() -> None:
    assert extended(["cluster2", "cluster1", "other"], "cl") == ["cluster1", "cluster2"]
    assert extended(["cluster2", "cluster1"], "cluster1,") == ["cluster1,cluster2"]
    assert extended(["a"], "x") == []


def test_commands_are_completed_and_without_a_hub_no_names() -> None:
    assert complete("merope", "get", "cl") == ["clusters", "clustersets"]
    assert complete("merope", "get", "works", "--cluster", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_MEROPE_COMPLETE" in capsys.readouterr().out
