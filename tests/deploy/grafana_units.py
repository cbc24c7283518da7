"""Figures with units, about as Grafana writes them."""

import math
from collections.abc import Callable


def shown(value: float, unit: str, decimals: int | None = None) -> str:
    """A figure in one of the units that the dashboards use; three digits where nothing else is asked."""
    if math.isnan(value):
        return "–"
    return _UNITS[unit](value, decimals)


def _digits(value: float, decimals: int | None) -> str:
    if decimals is None:
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # no -0


def _seconds(value: float, decimals: int | None) -> str:
    for size, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if abs(value) >= size:
            return f"{_digits(value / size, decimals)} {name}"
    return "0 s"


def _scaled(end: str, step: float = 1000.0) -> Callable[[float, int | None], str]:
    def write(value: float, decimals: int | None) -> str:
        for power, prefix in ((3, "G"), (2, "M"), (1, "k")):
            if abs(value) >= step**power:
                return f"{_digits(value / step**power, decimals)} {prefix}{end}".rstrip()
        return f"{_digits(value, decimals)} {end}".rstrip()

    return write


_UNITS: dict[str, Callable[[float, int | None], str]] = {
    "s": _seconds,
    "short": _scaled(""),
    "reqps": _scaled("req/s"),
    "cps": _scaled("c/s"),
    "bytes": _scaled("B", 1024.0),
    "watt": _scaled("W"),
    "celsius": _scaled("°C"),
    "percentunit": lambda value, decimals: f"{_digits(value * 100, decimals)} %",
}
