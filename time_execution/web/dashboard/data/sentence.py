"""What is wrong now, in words: pure, from facts to sentences."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from time_execution.web.dashboard.data import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from time_execution.web.dashboard.data.alerts import Firing
    from time_execution.web.dashboard.data.changes import Failing, Slower

Level = Literal["ok", "warn", "bad"]

# A lower share of failures is worth no word unless it has doubled, nor is a single one.
_LEAST_ERRORS = 3
_LEAST_PERCENT = 1.0
_DOUBLED = 2.0
_MANY_PERCENT = 10.0
_AS_BEFORE = 0.8
_QUIET = 300.0
_SEVERITY = {"bad": 0, "warn": 1, "ok": 2}
_IN_ONE = 2
_MULTIPLES = {2: "doubled", 3: "tripled"}
# Of clauses, those that begin with one of these words are written with a capital; others begin with a name or a number.
_OPENINGS = {"delivery", "nothing", "no", "the"}


class Part(NamedTuple):
    """One thing that is wrong, or worth knowing.

    Attributes:
        level: How bad it is.
        text: A clause, such as ``mail is unhealthy``.
    """

    level: Level
    text: str


@dataclass(frozen=True)
class Facts:
    """What a sentence is made of.

    Attributes:
        now: The present moment, in seconds since the epoch, as all moments are.
        last: When the last metric was stored; None when unknown.
        checks: Name -> status, of services.
        failing: Requests of the last ten minutes and before; None while that is not known.
        slower: What became slower, the worst first.
        firing: Thresholds that are exceeded.
        lost: Backend -> metrics lost in the last ten minutes.
        behind: Backends whose metrics wait, with how many there are, and for how many seconds the oldest has waited.
        lost_before: Metrics that were lost since the processes began.
        silent: For how many seconds no process has told of itself; None when one has, or none ever did.
        requests: Requests a second lately; None without any.
        p95: Of requests, in ms, lately; None without any.
    """

    now: float
    last: float | None = None
    checks: dict[str, str] = field(default_factory=dict)
    failing: Failing | None = None
    slower: Sequence[Slower] = ()
    firing: Sequence[Firing] = ()
    lost: dict[str, int] = field(default_factory=dict)
    behind: Sequence[tuple[str, int, float]] = ()
    lost_before: int = 0
    silent: float | None = None
    requests: float | None = None
    p95: float | None = None


def sentence(facts: Facts) -> dict[str, Any]:
    """Return ``level``, ``text``: the worst one or two things in one sentence, and ``more``: a sentence for each other.

    Example:
        >>> sentence(Facts(0.0, checks={"mail": "unhealthy", "redis": "healthy"}))["text"]
        '1 of 2 services is unhealthy: mail.'
    """
    parts = [part for made in (_silence, _services, _errors, _slower, _thresholds, _delivery) for part in made(facts)]
    parts.sort(key=lambda part: _SEVERITY[part.level])
    wrong = [part for part in parts if part.level != "ok"]
    if not wrong:
        return {"level": "ok", "text": _well(facts), "more": [_closed(part.text) for part in parts]}
    first, rest = wrong[:_IN_ONE], parts[_IN_ONE:] if len(wrong) >= _IN_ONE else parts[1:]
    return {
        "level": wrong[0].level,
        "text": _closed("; ".join(part.text for part in first)),
        "more": [_closed(part.text) for part in rest],
    }


def _closed(text: str) -> str:
    """Return a clause as a sentence; names that begin it keep their letters."""
    first = text[:1].upper() if text.split(" ", 1)[0] in _OPENINGS else text[:1]
    return f"{first}{text[1:]}."


def _silence(facts: Facts) -> list[Part]:
    if facts.silent is not None:
        return [Part("bad", f"no process has reported for {words.ago(facts.silent)}, so this shows how it was then")]
    if facts.last is not None and facts.now - facts.last > _QUIET:
        return [Part("warn", f"nothing has been stored for {words.ago(facts.now - facts.last)}")]
    return []


def _services(facts: Facts) -> list[Part]:
    parts: list[Part] = []
    levels: tuple[tuple[Level, str], ...] = (("bad", "unhealthy"), ("warn", "degraded"))
    for level, status in levels:
        names = sorted(name for name, found in facts.checks.items() if found == status)
        if names:
            total = words.count(len(facts.checks), "service")
            verb = "is" if len(names) == 1 else "are"
            parts.append(Part(level, f"{len(names)} of {total} {verb} {status}: {words.several(names)}"))
    return parts


def _errors(facts: Facts) -> list[Part]:
    found = facts.failing
    if found is None or found.errors < _LEAST_ERRORS or not found.calls:
        return []
    now = 100.0 * found.errors / found.calls
    before = 100.0 * found.errors_before / found.calls_before if found.calls_before else None
    if now < _LEAST_PERCENT or (now < _MANY_PERCENT and before is not None and now < _DOUBLED * before):
        return []
    level: Level = "bad" if now >= _MANY_PERCENT else "warn"
    text = f"{words.percent(now)} of requests failed in the last 10 minutes"
    if before is None:
        return [Part(level, text)]
    if before >= _AS_BEFORE * now:
        return [Part(level, f"{text}, as in the hours before")]
    return [Part(level, f"{text}, against {words.percent(before)} in the hours before")]


def _slower(facts: Facts) -> list[Part]:
    return [
        Part(
            "warn",
            f"p95 of {words.short(each.name)} {_times(each.p95 / each.before)} in the last 10 minutes, "
            f"from {words.duration(each.before)} to {words.duration(each.p95)}",
        )
        for each in facts.slower[:3]
    ] + _others(len(facts.slower) - 3)


def _others(number: int) -> list[Part]:
    what = words.count(number, "other function or route", "other functions and routes")
    return [Part("warn", f"{what} took at least twice as long, too")] if number > 0 else []


def _times(ratio: float) -> str:
    found = round(ratio)
    return _MULTIPLES.get(found) or f"grew {words.figures(found)}-fold"


def _thresholds(facts: Facts) -> list[Part]:
    parts: list[Part] = []
    for each in facts.firing:
        level: Level = "bad" if each.level == "critical" else "warn"
        told = each.message.removeprefix(f"{each.level}: ").rstrip(".")
        text = told or f"{each.metric} is beyond its threshold"
        parts.append(Part(level, f"the {each.level} threshold of {each.metric} is exceeded: {text}"))
    return parts


def _delivery(facts: Facts) -> list[Part]:
    parts: list[Part] = []
    for name, number in facts.lost.items():
        lost = words.count(number, "metric")
        parts.append(Part("warn", f"delivery to {name} lost {lost} in the last 10 minutes"))
    for name, number, age in facts.behind:
        waiting = words.count(number, "metric")
        parts.append(Part("warn", f"delivery to {name} is behind by {waiting}, the oldest {words.ago(age)} old"))
    if facts.lost_before and not facts.lost:
        earlier = words.count(facts.lost_before, "metric")
        parts.append(Part("ok", f"delivery has lost {earlier} since the processes began"))
    return parts


def _well(facts: Facts) -> str:
    """Return the sentence for when nothing is wrong."""
    parts = []
    healthy = sum(status == "healthy" for status in facts.checks.values())
    if healthy:
        whole = {1: "the only service is", 2: "both services are"}.get(healthy, f"all {healthy} services are")
        parts.append(f"{whole} healthy")
    if facts.requests is not None and facts.p95 is not None:
        rate, p95 = words.figures(facts.requests), words.duration(facts.p95)
        parts.append(f"in the last 10 minutes {rate} requests a second, p95 {p95}")
    return f"Nothing is wrong{': ' if parts else ''}{'; '.join(parts)}."
