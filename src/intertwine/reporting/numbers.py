"""Numbers as people read them: the same digits in tables, figures and cards."""

import math

__all__ = ["NOTHING", "format_duration", "format_number"]

NOTHING = "\N{EN DASH}"
"""What stands where there is no number."""


def format_number(value: float | None, digits: int = 3, spread: float | None = None) -> str:
    """Return a number with ``digits`` significant digits, and its spread to the same decimal place.

    Whole digits are never dropped, very small and very large numbers are written with an exponent, and a
    value that does not exist is an en dash.

    Example:
        >>> format_number(22.2345), format_number(17660.4), format_number(22.2345, spread=0.18)
        ('22.2', '17660', '22.2 ± 0.2')
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    if value == 0 and not spread:
        return "0"
    size = max(abs(value), spread or 0.0)
    if not 1e-4 <= size < 1e7:
        text = f"{value:.{digits - 1}e}"
        return text if spread is None else f"{text} ± {spread:.0e}"
    # Rounding first, because 9.996 with three digits is 10.0 and has one place fewer than 9.99.
    places = max(0, digits - 1 - math.floor(math.log10(float(f"{size:.{digits - 1}e}"))))
    return f"{value:.{places}f}" + ("" if spread is None else f" ± {spread:.{places}f}")


def format_duration(seconds: float) -> str:
    """Return a time in its two largest units.

    Example:
        >>> format_duration(42), format_duration(150), format_duration(7260)
        ('42 s', '2 min 30 s', '2 h 1 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
