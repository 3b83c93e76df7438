"""What CEL costs: compiling and evaluating rules like those of the product's CRDs and placements.

    python bench/cel.py [--json]

prints microseconds for each expression: compiling it, and evaluating it on an object with a list of 200 items. With
`--json` it prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import timeit
from typing import Any

from merope.lang.cel import Environment

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "min": {"type": "integer"},
        "max": {"type": "integer"},
        "name": {"type": "string", "maxLength": 63},
        "items": {
            "type": "array",
            "items": {"type": "object", "properties": {"key": {"type": "string"}, "value": {"type": "integer"}}},
        },
    },
}
RULES = {
    "compare two fields": "self.min <= self.max",
    "immutable string": "self.name == oldSelf.name",
    "immutable object": "self == oldSelf",
    "has": "!has(self.name) || self.name.size() < 10",
    "matches": "self.name.matches('^[a-z]+$')",
    "all over 200": "self.items.all(x, x.value >= 0)",
    "exists over 200": "self.items.exists(x, x.key == 'none')",
    "map and sum over 200": "self.items.map(x, x.value).sum() > 1",
}


def _microseconds(run: Any) -> float:
    timer = timeit.Timer(run)
    count, _ = timer.autorange()
    return min(timer.repeat(3, count)) / count * 1e6


def main() -> None:
    """Run all rules and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    environment = Environment.for_schema(SCHEMA, old_self=True)
    value = {"min": 1, "max": 3, "name": "abc", "items": [{"key": f"k{i}", "value": i} for i in range(200)]}
    bindings = {"self": value, "oldSelf": json.loads(json.dumps(value))}
    figures: dict[str, dict[str, float]] = {}
    for name, rule in RULES.items():
        program = environment.compile(rule)
        figures[name] = {
            "compile_us": round(_microseconds(lambda rule=rule: environment.compile(rule)), 2),
            "evaluate_us": round(_microseconds(lambda program=program: program.evaluate(bindings)), 2),
        }
    if arguments.json:
        print(json.dumps({"cel": figures}))
        return
    for name, figure in figures.items():
        print(f"{name:24} compile {figure['compile_us']:8.1f} us   evaluate {figure['evaluate_us']:8.2f} us")


if __name__ == "__main__":
    main()
