"""/healthz, /livez, /readyz: one line a check for those who ask, ``ok`` for the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from merope.controlplane.http.message import HttpResponse, text_response

#: A check returns what is wrong, ``""`` where nothing is.
Check = Callable[[], str]


def respond(
    endpoint: str,
    checks: Mapping[str, Check],
    query: Mapping[str, str],
    excluded: list[str],
    problems: Sequence[str] = (),
) -> HttpResponse:
    """Answer for all checks of an endpoint but the excluded ones.

    ``problems`` are what else an operator should know of: shown where details are, without failing the endpoint.
    """
    lines: list[str] = []
    failed = False
    for name, check in checks.items():
        if name in excluded:
            lines.append(f"[+]{name} excluded: ok")
        elif check():
            failed = True
            lines.append(f"[-]{name} failed: reason withheld")
        else:
            lines.append(f"[+]{name} ok")
    unknown = [name for name in excluded if name not in checks]
    if unknown:
        quoted = ", ".join(f'"{name}"' for name in unknown)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}")
    lines += [f"warn: {problem}" for problem in problems]
    if failed:
        return text_response("\n".join(lines) + f"\n{endpoint} check failed\n", 500)
    if "verbose" in query:
        return text_response("\n".join(lines) + f"\n{endpoint} check passed\n")
    return text_response("ok")


def respond_one(name: str, checks: Mapping[str, Check]) -> HttpResponse:
    """Answer for a single check; 404 for one that does not exist."""
    check = checks.get(name)
    if check is None:
        return text_response("404 page not found\n", 404)
    problem = check()
    return text_response(f"internal server error: {problem}\n", 500) if problem else text_response("ok")
