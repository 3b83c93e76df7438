"""Record the sessions: ``PYTHONPATH=tests python -m e2e.sessions [--kubectl 27,37] [SESSION...]``."""

import argparse
from pathlib import Path

from fixtures import kubectl
from fixtures.embedded import EmbeddedCluster
from fixtures.real import RealClusters
from merope.api.crds import crds

from .commands import SESSIONS
from .runner import RECORDED, play


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m e2e.sessions", description="Record what kubectl prints.")
    parser.add_argument("--control-plane", choices=("embedded", "real"), default="real")
    parser.add_argument("--kubectl", default=",".join(map(str, kubectl.RELEASES)), help="minor versions")
    parser.add_argument("--output", type=Path, default=RECORDED, help="directory to write to")
    parser.add_argument("session", nargs="*", help="only these")
    arguments = parser.parse_args()
    real = RealClusters() if arguments.control_plane == "real" else None
    cluster = real.get("cluster") if real else EmbeddedCluster("cluster")
    try:
        if real is None:
            cluster.start()
        for definition in crds():
            cluster.ensure("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        for minor in map(int, arguments.kubectl.split(",")):
            directory = arguments.output / f"1.{minor}"
            directory.mkdir(parents=True, exist_ok=True)
            for session in arguments.session or SESSIONS:
                printed = play(cluster, kubectl.packaged_tools(minor), session)
                (directory / f"{session}.txt").write_text(printed)
    finally:
        real.close() if real else cluster.discard()


if __name__ == "__main__":
    main()
