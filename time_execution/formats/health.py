"""A report of health as HTTP shows it: ``application/health+json``, Kubernetes' plain text, and the status code.

Pure: a report comes in, and what is to be sent goes out. A report is the dict that `HealthChecks.report` returns.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

HEALTHY, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"
MEDIA_TYPE = "application/health+json"
PLAIN_TEXT = "text/plain; charset=utf-8"

_OK = 200
_UNAVAILABLE = 503
_WORDS: Mapping[str, str] = {HEALTHY: "pass", DEGRADED: "warn", UNHEALTHY: "fail"}
# What the draft calls a component that keeps data; all else is a component.
_DATASTORES = frozenset({"database", "redis"})


class HealthAnswer(NamedTuple):
    """What to answer a request for the health.

    Attributes:
        status: 200, or 503 when something critical is unhealthy.
        headers: ``Content-Type``, ``Cache-Control`` and what else belongs to the body.
        body: The body.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def answer(
    report: Mapping[str, Any],
    endpoint: str = "readyz",
    *,
    accept: str = "",
    details: bool = False,
    verbose: bool = False,
    exclude: Collection[str] = (),
    about: Mapping[str, str] | None = None,
    max_age: int = 0,
) -> HealthAnswer:
    """Return what to answer a request for the health.

    Args:
        report: Left as it is.
        endpoint: The last part of the path, which the plain text names.
        accept: The header ``Accept`` of the request: ``application/health+json`` or ``application/json`` asks for the
            document, unless ``text/plain`` is wanted more; all else gets plain text.
        details: Whether the sender may see the checks. Without, neither names nor outputs are shown, whatever is asked.
        verbose: Whether plain text has a line for each check; needs `details`.
        exclude: Names of checks that do not count. A name that there is not changes nothing.
        about: What the document says of the service, with `details`: ``version``, ``releaseId``, ``serviceId``,
            ``description``.
        max_age: For how many seconds caches may keep the answer; 0 for not at all.
    """
    status = http_status(without(report, exclude))
    if wants_document(accept):
        kind, body = MEDIA_TYPE, json.dumps(document(without(report, exclude), details=details, about=about))
    else:
        kind, body = PLAIN_TEXT, plain_text(report, endpoint, details=details, verbose=verbose, exclude=exclude)
    caching = f"{'private, ' if details else ''}max-age={max_age}" if max_age > 0 else "no-store"
    # What is answered depends on these; a shared cache that keeps one answer must not hand it to all.
    headers = (("Content-Type", kind), ("Cache-Control", caching), ("Vary", "Accept, Authorization, Cookie"))
    return HealthAnswer(status, headers, body.encode())


def overall(checks: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the status of the whole.

    Unhealthy when a critical check is, degraded when any check is not healthy, healthy otherwise.

    Args:
        checks: Those of a report: name -> dict with ``status`` and ``critical``.

    Example:
        >>> overall({"db": {"status": "healthy", "critical": True}, "mail": {"status": "unhealthy", "critical": False}})
        'degraded'
    """
    worst = HEALTHY
    for check in checks.values():
        if check["status"] == UNHEALTHY and check["critical"]:
            return UNHEALTHY
        if check["status"] != HEALTHY:
            worst = DEGRADED
    return worst


def without(report: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return a report in which some checks do not count, and do not show. The checks themselves are not copied."""
    checks = {name: check for name, check in report["checks"].items() if name not in names}
    status = overall(checks) if len(checks) < len(report["checks"]) else report["status"]
    return {**report, "status": status, "checks": checks}


def http_status(report: Mapping[str, Any]) -> int:
    """Return 503 for a report that is unhealthy, and 200 for any other: degraded is still at work."""
    return _UNAVAILABLE if report["status"] == UNHEALTHY else _OK


def wants_document(accept: str) -> bool:
    """Say whether a header ``Accept`` asks for JSON rather than for plain text.

    Example:
        >>> wants_document("application/health+json"), wants_document("*/*"), wants_document("")
        (True, False, False)
    """
    wanted = {"json": 0.0, "text": 0.0}
    for choice in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in choice.split(";"))
        weight = _weight(parameters)
        if kind in {MEDIA_TYPE, "application/json"}:
            wanted["json"] = max(wanted["json"], weight)
        elif kind in {"text/plain", "text/*"}:
            wanted["text"] = max(wanted["text"], weight)
    return wanted["json"] > wanted["text"]


def document(
    report: Mapping[str, Any], *, details: bool = False, about: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a report as the draft ``draft-inadarei-api-health-check-06`` has it, to be written as JSON.

    Args:
        report: Left as it is.
        details: Whether it holds more than ``status``: ``output``, a sentence when not all is well, and ``checks``, a
            list of one object for each, under ``name:responseTime`` or, when the check observed something itself, under
            ``name``.
        about: Further members at its top, with `details`.
    """
    status = _WORDS[report["status"]]
    if not details:
        return {"status": status}
    found: dict[str, Any] = {"status": status, **(about or {})}
    bad = sorted(name for name, check in report["checks"].items() if check["status"] != HEALTHY)
    if bad:
        found["output"] = f"{len(bad)} of {len(report['checks'])} checks not healthy: {', '.join(bad)}"
    checks: dict[str, list[dict[str, Any]]] = {}
    for name, check in report["checks"].items():
        # A colon separates the component from what is measured, so there may be no other.
        component = name.replace(":", ".")
        key = component if "observed_value" in check else f"{component}:responseTime"
        checks.setdefault(key, []).append(_check_object(name, check))
    found["checks"] = checks
    return found


def plain_text(
    report: Mapping[str, Any],
    endpoint: str = "readyz",
    *,
    details: bool = False,
    verbose: bool = False,
    exclude: Collection[str] = (),
) -> str:
    """Return a report as Kubernetes' API server shows its own: ``ok``, or a line for each check and a last one.

    Args:
        report: Left as it is.
        endpoint: What the last line names.
        details: Whether checks may be named; without, there is one line, whatever is asked.
        verbose: Whether to name them though all is well.
        exclude: Names of checks that do not count; they are shown as excluded.
    """
    failed = http_status(without(report, exclude)) != _OK
    last = f"{endpoint} check {'failed' if failed else 'passed'}"
    if not details or not (verbose or failed):
        return last if failed else "ok"
    lines = [_line(name, check, is_excluded=name in exclude) for name, check in report["checks"].items()]
    unknown = ", ".join(f'"{_one_line(name)}"' for name in exclude if name not in report["checks"])
    if unknown:
        lines.append(f"warn: some health checks cannot be excluded: no matches for {unknown}")
    return "\n".join([*lines, last, ""])


def _check_object(name: str, check: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "componentId": name,
        "componentType": "datastore" if check["type"] in _DATASTORES else "component",
        "status": _WORDS[check["status"]],
    }
    own = "observed_value" in check
    value, unit = (check["observed_value"], check.get("observed_unit")) if own else (check["duration_ms"], "ms")
    if value is not None:
        found["observedValue"] = value
        if unit is not None:
            found["observedUnit"] = unit
    if check["time"] is not None:
        found["time"] = check["time"]
    if check["status"] != HEALTHY:  # the draft wants none where all is well
        found["output"] = check["output"]
    return found


def _line(name: str, check: Mapping[str, Any], *, is_excluded: bool) -> str:
    if is_excluded:
        return f"[+]{_one_line(name)} excluded: ok"
    output = _one_line(check["output"]) or "reason unknown"
    if check["status"] == HEALTHY:
        return f"[+]{_one_line(name)} ok"
    if check["status"] == UNHEALTHY and check["critical"]:
        return f"[-]{_one_line(name)} failed: {output}"
    return f"[+]{_one_line(name)} {check['status']}: {output}"


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _weight(parameters: list[str]) -> float:
    """Return the weight that a choice of ``Accept`` has; one that makes no sense counts as none."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0.0 <= weight <= 1.0 else 0.0
    return 1.0
