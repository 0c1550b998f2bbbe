"""How numbers are written where a manager reads them."""

import math
from collections.abc import Sequence
from datetime import date
from typing import Any

ABSENT = "–"
_MINUS = "\N{MINUS SIGN}"
_NARROW = "\N{NO-BREAK SPACE}"
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def absent(value: Any) -> bool:
    """Whether a number is missing."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def number(value: Any, unit: str = "") -> str:
    """An amount to about four digits, such as "12,430 EUR", "86.4" or "0.312"."""
    if absent(value):
        return ABSENT
    value = _rounded(value, 4)
    size = abs(value)
    digits = 0 if size >= 999.5 or not value else 1 if size >= 9.995 else 2 if size >= 0.9995 else 3
    return _sign(f"{value:,.{digits}f}") + (f"{_NARROW}{unit}" if unit else "")


def whole(value: Any, unit: str = "") -> str:
    """A quantity as it is, with all its digits."""
    return (
        ABSENT
        if absent(value)
        else _sign(f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}")
        + (f"{_NARROW}{unit}" if unit else "")
    )


def rough(value: Any, unit: str = "") -> str:
    """An amount to three digits, for the ends of intervals."""
    return ABSENT if absent(value) else number(_rounded(value, 3), unit)


def signed(value: Any, unit: str = "", digits: int = 4) -> str:
    """An amount with its sign."""
    return (
        ABSENT
        if absent(value)
        else ("+" if value > 0 else "") + number(_rounded(value, digits), unit)
    )


def percent(share: Any, digits: int = 1) -> str:
    """A share, in per cent."""
    return ABSENT if absent(share) else f"{_sign(f'{100 * share:.{digits}f}')}%"


def signed_percent(share: Any, digits: int = 1) -> str:
    """A difference as a share, in per cent with its sign."""
    return (
        ABSENT
        if absent(share)
        else ("+" if round(100 * share, digits) > 0 else "") + percent(share, digits)
    )


def between(interval: Sequence[float] | None, write=rough) -> str:
    """An interval, such as "1,200 to 1,450"."""
    if not interval or any(absent(end) for end in interval):
        return ABSENT
    return f"{write(interval[0])} to {write(interval[1])}"


def less_or_more(share: float, digits: int = 1) -> str:
    """A difference of costs in words: "4.5% less"."""
    return f"{percent(abs(share), digits)} {'less' if share < 0 else 'more'}"


def written_day(text: Any) -> str:
    """A day, such as "3 Mar 2025", from "2025-03-03"; another text is kept."""
    try:
        found = date.fromisoformat(str(text)[:10])
    except ValueError:
        return str(text)
    return f"{found.day}{_NARROW}{_MONTHS[found.month - 1]}{_NARROW}{found.year}"


def counted(count: int, one: str, many: str = "") -> str:
    """A count with its noun: "1 SKU", "12 SKUs"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _rounded(value: float, digits: int) -> float:
    """A number above a thousand to so many digits, a smaller one as it is."""
    return (
        float(f"{value:.{digits}g}") if abs(value) >= 10**digits and math.isfinite(value) else value
    )


def _sign(text: str) -> str:
    if not text.startswith("-"):
        return text
    return text[1:] if set(text) <= set("-0.,") else _MINUS + text[1:]
