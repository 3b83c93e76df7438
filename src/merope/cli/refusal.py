"""What a command ends with where it does not do what it was asked to: one sentence for the person, exit status 1."""

from __future__ import annotations

from collections.abc import Sequence


class Refused(Exception):
    """The command cannot or will not do it; the text says why, and where possible what to do."""

    @classmethod
    def of(cls, problems: Sequence[str]) -> Refused:
        """One failure of several problems, as one line."""
        return cls(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")


def only_name(names: Sequence[str] | None, *, missing: str, several: str) -> str:
    """The one name among a command's arguments. Raises Refused with ``missing`` or ``several``."""
    given = [name for name in names or () if name]
    if not given:
        raise Refused(missing)
    if len(given) > 1:
        raise Refused(several)
    return given[0]


def chosen_clusters(cluster: str | None, clusters: Sequence[str] | None) -> list[str]:
    """The clusters that ``--cluster`` and ``--clusters`` name together, each once, in the order given.

    Lists are repeated or separated by commas. Raises Refused for an empty element.
    """
    found = [cluster] if cluster else []
    for value in clusters or ():
        for name in value.split(","):
            if not name.strip():
                raise Refused("--clusters cannot be set as an empty value")
            found.append(name.strip())
    return list(dict.fromkeys(found))


def needed_clusters(cluster: str | None, clusters: Sequence[str] | None) -> list[str]:
    """As ``chosen_clusters``, but at least one. Raises Refused."""
    found = chosen_clusters(cluster, clusters)
    if not found:
        raise Refused("either --cluster or --clusters needs to be set")
    return found


def listed(values: Sequence[str] | None) -> list[str]:
    """The elements of a list option that is repeated or separated by commas; empty ones are dropped."""
    return [part.strip() for value in values or () for part in value.split(",") if part.strip()]
