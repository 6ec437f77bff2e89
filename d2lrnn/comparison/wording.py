"""Words and numbers as the report writes them."""

from __future__ import annotations

import math
from collections.abc import Iterable

NONE = "–"  # noqa: RUF001  (a dash, as tables have it)


def listed(words: Iterable[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def number(value: float | None, form: str) -> str:
    """A number in the format `form`; a dash for None."""
    return NONE if value is None else format(value, form)


def perplexity(value: float | None) -> str:
    """A perplexity with four decimals, unless it is as large as those of trainings that diverge."""
    return number(value, ".4f" if value is None or value < 1e6 else ".2e")


def percent(ratio: float) -> str:
    """A ratio with two digits, or one where it is tiny: '0 %', '0.00002 %', '1.7 %'."""
    if not math.isfinite(ratio):
        return "infinitely far"
    value = 100 * ratio
    digits = 2 if value >= 0.01 else 1
    places = max(digits - 1 - math.floor(math.log10(value)), 0) if value > 0 else 0
    return f"{value:.{places}f} %"
