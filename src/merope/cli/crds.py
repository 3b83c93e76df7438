"""`merope crds`: the CustomResourceDefinitions of this project's APIs, as YAML."""

import yaml

from merope.api.crds import crds as definitions


class _Dumper(yaml.SafeDumper):
    """Writes out what occurs twice, instead of YAML's anchors, which people and some tools stumble over."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def crds(group: str | None = None) -> str:
    """The CRDs of one API group, or of all, as a YAML stream; raises KeyError for an unknown group."""
    return yaml.dump_all(
        definitions(None if group is None else [group]),
        Dumper=_Dumper,
        sort_keys=False,
        explicit_start=True,
        default_flow_style=False,
        allow_unicode=True,
        width=120,
    )
