"""How several errors are put into one text: as Kubernetes' Go libraries do, so that messages come out the same."""

from __future__ import annotations

from collections.abc import Iterable


def aggregate(errors: Iterable[str]) -> str:
    """One error as it is; several in brackets, each once."""
    texts = list(dict.fromkeys(errors))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
