"""YAML answers. Making YAML takes a hundred times as long as making JSON, so it is done piece by piece.

The emitter does not let other threads run while it writes a document; between two small documents they do.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

_DumperBase: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
#: Longer than any line: texts are not folded.
_WIDTH: Final = 1 << 30
#: Keys up to this length are surely written as ``key:``.
_SIMPLE_KEY: Final = 20


class _Dumper(_DumperBase):  # type: ignore[misc]
    """A dumper that writes out what occurs twice, as JSON does."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dump(value: Any) -> bytes:
    """``value`` as a document with sorted keys."""
    if not isinstance(value, dict) or not value:
        return _whole(value)
    pieces: list[bytes] = []
    for key in sorted(value):
        inner = value[key]
        if isinstance(inner, list) and inner and len(key) <= _SIMPLE_KEY:
            # Items stand as far to the left as their key.
            pieces.append(_whole({key: None}).removesuffix(b" null\n") + b"\n")
            pieces += [_whole([item]) for item in inner]
        else:
            pieces.append(_whole({key: inner}))
    return b"".join(pieces)


def _whole(value: Any) -> bytes:
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=_WIDTH)
    return text.encode()
