"""Costs, budgets, estimates, and input that was written to hurt."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merope.lang.cel import (
    BOOL,
    CRD_LIMIT,
    DYN,
    INT,
    MAP,
    RULE_LIMIT,
    STRING,
    CelError,
    CompileError,
    CostExceeded,
    Environment,
    EvaluationError,
    Function,
    ResultTypeError,
    list_of,
    map_of,
)


def _scores(cluster: dict[str, Any], name: str) -> list[dict[str, Any]]:
    if name == "none":
        raise EvaluationError("not found")
    return [{"name": f"s{i}", "value": i} for i in range(3)]


def _json_cost(value: Any) -> int:
    if isinstance(value, dict):
        return 30 + sum(map(_json_cost, value.values()))
    return 10 + sum(map(_json_cost, value)) if isinstance(value, list) else 0


PLACEMENT = Environment(
    {"managedCluster": map_of(STRING, DYN)},
    functions=[
        Function("scores", [MAP, STRING], list_of(DYN), _scores, member=True, cost=lambda args: 10 + 31 * 3),
        Function(
            "parseJSON",
            [STRING],
            DYN,
            json.loads,
            member=True,
            cost=lambda args: (len(args[0]) + 9) // 10 + _json_cost(json.loads(args[0])),
        ),
    ],
    libraries=Environment.OCM,
)
CLUSTER = {"metadata": {"name": "cluster1", "labels": {"env": "dev", "v": "1.30.2"}}}


@pytest.mark.parametrize(
    ("expression", "value", "cost"),
    [
        ('managedCluster.metadata.name == "cluster1"', True, 4),
        ('managedCluster.metadata.labels["env"] == "prod"', False, 5),
        (r"""managedCluster.metadata.labels["v"].matches('^1\\.(30|31)')""", True, 7),
        ('semver(managedCluster.metadata.labels["v"]).isLessThan(semver("1.31.0"))', True, 7),
        ('managedCluster.scores("cap").size()', 3, 105),
        ("""'{"a":[1,2]}'.parseJSON()""", {"a": [1, 2]}, 42),
    ],
)
def test_placement_expressions_cost_what_the_reference_charges(expression: str, value: Any, cost: int) -> None:
    assert PLACEMENT.compile(expression).evaluate({"managedCluster": CLUSTER}) == (value, cost)


def test_ocm_environments_lack_what_kubernetes_added() -> None:
    for expression in ("1 < 1.5", "sets.contains([1], [1])", "[1].all(i, v, true)", "math.abs(1)", "[1].sort()"):
        with pytest.raises(CompileError):
            PLACEMENT.compile(expression)
    assert PLACEMENT.compile("[1, 'a'].size()").evaluate({})[0] == 2


def test_a_missing_variable_is_an_evaluation_error() -> None:
    with pytest.raises(EvaluationError, match="no such attribute"):
        PLACEMENT.compile("managedCluster.metadata").evaluate({})


@pytest.mark.parametrize(
    ("expression", "cost"),
    [
        ("true", 0),
        ("x", 1),
        ("x.a.b", 3),
        ("x['a']", 2),
        ("[1, 2]", 10),
        ("{'a': 1}", 30),
        ("1 + 2", 1),
        ("n > 5 && n > 2", 2),
        ("n > 0 || n > 2", 2),
        ("n > 5 || n > 2", 4),
        ("n > 0 ? n : n + n", 3),
        ("n in [1, 2, 3]", 14),
        ("'a' + 'b'", 1),
        ("[1, 2, 3].all(i, i > 0)", 10 + 1 + 3 * (3 + 2)),
        ("[1, 2, 3].exists(i, i > 2)", 10 + 1 + 3 * (4 + 2)),
        ("[1, 2, 3].exists_one(i, i > 2)", 10 + 2 + 3 * (1 + 2) + 1),
        ("[1, 2].map(i, i)", 10 + 11 + 2 * 13),
        ("[1, 2].filter(i, i > 1)", 10 + 11 + 2 * 3 + 12),
    ],
)
def test_operations_cost_what_the_reference_charges(expression: str, cost: int) -> None:
    environment = Environment({"x": DYN, "n": INT}, libraries=Environment.OCM)
    bindings = {"x": {"a": {"b": 1}}, "n": 2}

    assert environment.compile(expression).evaluate(bindings)[1] == cost


ENVIRONMENT = Environment({"l": list_of(STRING), "s": STRING, "n": list_of(INT)})
BINDINGS = {"l": ["x" * 100] * 1000, "s": "a" * 100_000, "n": list(range(1000))}


@pytest.mark.parametrize(
    "expression",
    [
        "n.all(a, n.all(b, n.all(c, n.all(d, a + b + c + d >= 0))))",
        "n.map(a, n.map(b, n.map(c, c))).size() > 0",
        "n.map(a, l).map(a, a.map(b, b + b + b + b)).size() > 0",
        "l.map(a, s + s).size() > 0",
        "n.map(a, s.replace('a', s)).size() > 0",
        "n.all(a, s.matches('(a?){1000}b') || true)",
        "n.all(a, s.contains(s))",
        "n.all(a, l.join(s).size() > 0)",
        "n.all(a, sets.contains(n, n))",
        "lists.range(1000000000).size() > 0",
        "n.all(a, n.isSorted())",
        "cel.bind(a, s + s, cel.bind(b, a + a, cel.bind(c, b + b, cel.bind(d, c + c, cel.bind(e, d + d, "
        "cel.bind(f, e + e, cel.bind(g, f + f, cel.bind(h, g + g, h + h)))))))).size() > 0",
        "cel.bind(a, n + n, " * 40 + "a" + ")" * 40 + ".size() > 0 && n.all(a, n.all(b, n.all(c, c >= 0)))",
        "s.replace('a', s).size() > 0",
        "n.all(a, '%s%s%s'.format([s, s, s]).size() > 0 && s.split('').size() > 0)",
    ],
)
def test_expensive_expressions_stop_soon(expression: str) -> None:
    program = ENVIRONMENT.compile(expression)
    started = time.monotonic()

    with pytest.raises(CostExceeded):
        program.evaluate(BINDINGS)

    assert time.monotonic() - started < 10


def test_cost_exceeded_is_not_absorbed_by_or() -> None:
    program = ENVIRONMENT.compile("n.all(a, n.all(b, b >= 0)) || true")

    with pytest.raises(CostExceeded):
        program.evaluate(BINDINGS, budget=1000)


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 1000 + "1" + ")" * 1000,
        "[" * 1000 + "]" * 1000,
        "{1:" * 500 + "1" + "}" * 500,
        "f(" * 500,
        "1" + " + 1" * 5000,
        "a" + ".b" * 5000,
        "a" + "[0]" * 5000,
        "-(" * 300 + "1" + ")" * 300,
        "true ? 1 : " * 5000 + "1",
        "x.all(y, " * 300 + "true" + ")" * 300,
        "1" * 100_001,
        "cel.bind(a, 1, " * 300 + "a" + ")" * 300,
        "'" + "\\" * 1001,
    ],
)
def test_hostile_sources_are_compile_errors(expression: str) -> None:
    with pytest.raises(CompileError):
        ENVIRONMENT.compile(expression)


def test_long_chains_that_need_no_depth_compile() -> None:
    assert ENVIRONMENT.compile(" || ".join(["false"] * 5000 + ["true"])).evaluate({})[0] is True
    assert ENVIRONMENT.compile("[" + ",".join(["1"] * 5000) + "].size()").evaluate({})[0] == 5000
    assert ENVIRONMENT.compile("1" + " + 1" * 200).evaluate({})[0] == 201
    assert ENVIRONMENT.compile("false ? 1 : " * 200 + "2").evaluate({})[0] == 2


def test_deeply_nested_data_is_an_evaluation_error() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    other: Any = []
    for _ in range(100_000):
        other = [other]
    program = Environment({"a": DYN, "b": DYN}).compile("a == b")

    with pytest.raises(EvaluationError):
        program.evaluate({"a": deep, "b": other})


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab1 .,?:[](){}<>=!&|+-*/%'\"\\\n_éx`", max_size=40))
def test_any_text_compiles_or_is_a_compile_error(source: str) -> None:
    try:
        program = ENVIRONMENT.compile(source)
    except CompileError:
        return
    try:
        program.evaluate(BINDINGS)
    except CelError:
        pass


# ---- estimates


def _estimate(schema: dict[str, Any], rule: str) -> int:
    return Environment.for_schema(schema, old_self=True).compile(rule).estimated_cost[1]


UNLIMITED = {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}


def test_nested_loops_over_unlimited_lists_are_beyond_every_limit() -> None:
    assert _estimate(UNLIMITED, "self.all(x, self.all(y, x.all(z, y.all(w, z == w))))") > 100 * CRD_LIMIT


def test_limits_in_the_schema_bring_the_estimate_down() -> None:
    limited = {
        "type": "array",
        "maxItems": 5,
        "items": {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 5}},
    }

    assert _estimate(limited, "self.all(x, self.all(y, x.all(z, y.all(w, z == w))))") < RULE_LIMIT


@pytest.mark.parametrize(
    ("schema", "rule"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}}}, "self == oldSelf"),
        ({"type": "string"}, "self == oldSelf"),
        ({"type": "string"}, r"self.matches('^([0-9]+(\\.[0-9]+)?(ms|s|m))+$')"),
        ({"type": "array", "items": {"type": "object", "properties": {"type": {"type": "string"}}}}, "self.size() > 0"),
        ({"type": "array", "maxItems": 64, "items": {"type": "string"}}, "self.all(x, self.exists_one(y, x == y))"),
        ({"x-kubernetes-int-or-string": True}, "type(self) == string || self > 0"),
    ],
)
def test_ordinary_rules_stay_within_the_limit(schema: dict[str, Any], rule: str) -> None:
    if "exists_one" in rule:
        schema = {**schema, "items": {"type": "string", "maxLength": 253}}

    assert _estimate(schema, rule) <= RULE_LIMIT


@pytest.mark.parametrize(
    "rule",
    [
        "self.all(x, x.size() > 1)",
        "self.map(x, x + 'a').size() > 2",
        "self.exists(x, x.contains('ab') || x.startsWith('b'))",
        "self.filter(x, x > 'a').size() + self.indexOf('b') >= 0",
        "self == oldSelf && self[0].replace('a', 'bb').split('b').size() > 0",
    ],
)
def test_an_evaluation_costs_no_more_than_estimated(rule: str) -> None:
    schema = {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 50}}
    program = Environment.for_schema(schema, old_self=True).compile(rule)
    value = ["ab" * 25] * 10

    _, cost = program.evaluate({"self": value, "oldSelf": list(value)})

    least, most = program.estimated_cost
    assert least <= cost <= most


# ---- results and imports


def test_the_result_type_is_checked_where_it_is_known() -> None:
    with pytest.raises(ResultTypeError, match="must evaluate to a bool"):
        ENVIRONMENT.compile("s", result=BOOL)
    with pytest.raises(ResultTypeError, match="must evaluate to a bool or string"):
        ENVIRONMENT.compile("n", result=(BOOL, STRING))
    assert ENVIRONMENT.compile("dyn(s)", result=BOOL).evaluate(BINDINGS)[0] == BINDINGS["s"]
    assert ENVIRONMENT.compile("n.map(x, [string(x)])").result_type == list_of(list_of(STRING))


def test_all_problems_of_an_expression_are_reported_with_their_places() -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile("s.size() > 'x' &&\n  unknown == 1")

    assert str(caught.value) == (
        "ERROR: <input>:1:10: found no matching overload for '_>_' applied to '(int, string)'\n"
        " | s.size() > 'x' &&\n"
        " | .........^\n"
        "ERROR: <input>:2:3: undeclared reference to 'unknown' (in container '')\n"
        " |   unknown == 1\n"
        " | ..^"
    )


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ("re2", "zoneinfo", "ipaddress", "urllib")
    code = f"import sys, merope.lang.cel; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
