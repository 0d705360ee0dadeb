"""What came of one run of a check: what it returned or raised, in words that may be shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from time_execution.formats.health import DEGRADED, HEALTHY
from time_execution.formats.redaction import REDACTOR

Status: TypeAlias = Literal["healthy", "degraded", "failed"]
FAILED: Status = "failed"

_MAX_OUTPUT = 500
_MAX_UNIT = 50
# What people, the draft and its aliases call the three.
_STATUSES: Mapping[Any, Status] = {
    **dict.fromkeys((None, True, HEALTHY, "pass", "ok", "up"), "healthy"),
    **dict.fromkeys((DEGRADED, "warn"), "degraded"),
    **dict.fromkeys((False, "unhealthy", "fail", "error", "down"), "failed"),
}
_ADVICE = "a check returns None, True, False, 'healthy', 'degraded', 'unhealthy', or a dict with 'status'"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one run of a check. Immutable; holds no secret.

    Attributes:
        status: ``healthy``, ``degraded``, or ``failed``.
        output: What there is to say, in one line; empty when there is nothing.
        error_type: For one that failed, the class of what it raised, or ``CheckFailed``.
        observed_value: A number, a text, or a boolean that the check observed; None for none.
        observed_unit: The unit of a number that it observed.
    """

    status: Status
    output: str = ""
    error_type: str | None = None
    observed_value: float | str | bool | None = None
    observed_unit: str | None = None


def failure(output: str, error_type: str = "CheckFailed") -> Outcome:
    """Return the outcome of a check that failed; the text is made fit to be shown."""
    return Outcome(FAILED, shown_text(output), error_type)


def outcome_of(returned: Any) -> Outcome:
    """Return what a check means by what it returned; what nobody understands is a failure that says so.

    Example:
        >>> outcome_of(None).status, outcome_of("degraded").status, outcome_of(17).output[:18]
        ('healthy', 'degraded', 'it returned an int')
    """
    if isinstance(returned, Outcome):
        return returned
    if isinstance(returned, dict):
        return _outcome_of_dict(returned)
    status = _status_of(returned)
    if status is None:
        return failure(f"it returned {_what(returned)}: {_ADVICE}")
    return failure("it said that it failed") if status == FAILED else Outcome(status)


def outcome_of_exception(exc: BaseException) -> Outcome:
    """Return the outcome of a check that raised something; its text is asked for on this thread."""
    kind = type(exc).__name__
    try:
        text = str(exc)
    except Exception:  # noqa: BLE001 - a text that cannot be made is none
        text = ""
    return failure(f"{kind}: {text}" if text else kind, kind)


def shown_text(text: str) -> str:
    r"""Return a text in one line, cut to 500 characters, with the secrets in it masked.

    Example:
        >>> shown_text("cannot open\n  redis://:secret@cache:6379")
        'cannot open redis://:***@cache:6379'
    """
    masked = REDACTOR.redact_text(str.__str__(text), max_text=_MAX_OUTPUT)
    # Whoever reads a line of a log or of plain text must not be told of a second one, nor a terminal to do something.
    return "".join(character if character.isprintable() else "�" for character in " ".join(masked.split()))


def _outcome_of_dict(returned: dict[Any, Any]) -> Outcome:
    if "status" not in returned:
        return failure(f"it returned a dict without 'status': {_ADVICE}")
    status = _status_of(returned["status"])
    if status is None:
        return failure(f"it returned a dict whose status is {_what(returned['status'])}: {_ADVICE}")
    output = returned.get("output")
    text = shown_text(output) if isinstance(output, str) else ""
    return Outcome(
        status,
        text or ("it said that it failed" if status == FAILED else ""),
        "CheckFailed" if status == FAILED else None,
        _observed(_either(returned, "observed_value", "observedValue")),
        _unit(_either(returned, "observed_unit", "observedUnit")),
    )


def _status_of(returned: Any) -> Status | None:
    """Return the status that a value stands for; None when it stands for none. Runs no code of the value."""
    if returned is None or type(returned) is bool:
        return _STATUSES[returned]
    return _STATUSES.get(str.__str__(returned).strip().lower()) if isinstance(returned, str) else None


def _either(returned: dict[Any, Any], name: str, other: str) -> Any:
    return returned[name] if name in returned else returned.get(other)


def _observed(value: Any) -> float | str | bool | None:
    if isinstance(value, str):
        return shown_text(value)
    if type(value) in {int, float, bool}:
        # JSON has no other numbers, and readers none of more digits.
        return value if abs(value) < 1e300 and math.isfinite(value) else None  # noqa: PLR2004
    return None


def _unit(unit: Any) -> str | None:
    return shown_text(unit)[:_MAX_UNIT] if isinstance(unit, str) else None


def _what(value: Any) -> str:
    """Return the kind of a value, which may hold anything; of a text its beginning, masked."""
    if isinstance(value, str):
        return f"the text {shown_text(str.__str__(value)[:100])!r}"
    name = type(value).__name__
    return f"{'an' if name.startswith(tuple('aeiouAEIOU')) else 'a'} {name}"
