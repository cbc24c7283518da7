"""Pictures of a search, as SVG: its course, which field matters, the front, each field by itself, all together."""

import io
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from optimize.report.plots import MUTED, ONE, STYLE, TEXT, in_page
from optimize.search.options import Value
from optimize.search.results import SearchResult, TrialResult

_MOST_FIELDS = 12


def svg(name: str, draw: Callable[[Figure], None], width: float = 7.0, height: float = 3.2) -> str:
    """One drawing in the colours of the page; the same numbers give the same text."""
    settings: Any = {**STYLE, "svg.hashsalt": name}
    with rc_context(settings):
        figure = Figure((width, height), layout="constrained")
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return in_page(file.getvalue(), name, "plot wide")


def is_large_good(result: SearchResult) -> bool:
    """Whether the first objective is made large."""
    return result.objectives[0] == "val_top1"


def complete(result: SearchResult) -> list[TrialResult]:
    """Trials that ran to their end."""
    return [one for one in result.trials if one.state == "complete"]


def history(result: SearchResult) -> str:
    """The first objective by trial, and the best so far."""
    done = complete(result)
    best = list(accumulate((one.values[0] for one in done), max if is_large_good(result) else min))
    pruned = [one for one in result.trials if one.state == "pruned" and one.values]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.scatter([one.number for one in pruned], [one.values[0] for one in pruned], s=14, marker="x", color=MUTED,
                     label="ended early")  # fmt: skip
        axes.scatter([one.number for one in done], [one.values[0] for one in done], s=18, color=ONE, label="to the end")
        axes.step([one.number for one in done], best, where="post", color=TEXT, linewidth=1.2, label="best so far")
        axes.set(xlabel="trial", ylabel=result.objectives[0])
        axes.legend(frameon=False)

    return svg("history", draw)


def curves(result: SearchResult) -> str:
    """The first objective by epoch, a line for each trial; the best one on top."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for one in result.trials:
            is_best = one.number == result.best
            axes.plot(list(one.epochs), list(one.epochs.values()), color=ONE if is_best else MUTED,
                      linewidth=2 if is_best else 0.9, zorder=3 if is_best else 2,
                      linestyle="--" if one.state == "pruned" else "-")  # fmt: skip
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel=result.objectives[0])

    return svg("curves", draw)


def importance(result: SearchResult) -> str:
    """Bars: what share of the first objective's variation each field has, by each method."""
    fields = sorted({path for shares in result.importances.values() for path in shares})
    rank = next(iter(result.importances.values()))
    fields.sort(key=lambda path: rank.get(path, 0.0))
    fields = fields[-_MOST_FIELDS:]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        places, thickness = np.arange(len(fields)), 0.8 / len(result.importances)
        for index, (name, shares) in enumerate(result.importances.items()):
            axes.barh(places - index * thickness, [shares.get(path, 0.0) for path in fields], thickness,
                      color=(ONE, MUTED)[index % 2], label=name.replace("_", "-"))  # fmt: skip
        axes.set_yticks(places - 0.4 + thickness / 2, fields)
        axes.set(xlabel="share of the variation")
        axes.legend(frameon=False)

    return svg("importance", draw, height=1.2 + 0.35 * len(fields))


def front(result: SearchResult) -> str:
    """The two objectives against each other; the front joined by a line."""
    done = complete(result)
    on_front = sorted((result.trial(number).values for number in result.front), key=lambda values: values[1])

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.scatter([one.values[1] for one in done], [one.values[0] for one in done], s=18, color=MUTED)
        axes.plot([cost for _, cost in on_front], [value for value, _ in on_front], "o-", color=ONE, markersize=5)
        for number in result.front:
            value, cost = result.trial(number).values
            axes.annotate(str(number), (cost, value), (4, 4), textcoords="offset points", fontsize=8)
        axes.set(xlabel=result.objectives[1], ylabel=result.objectives[0])

    return svg("front", draw)


def slices(result: SearchResult) -> str:
    """The first objective against each field by itself."""
    done, fields = complete(result), _fields(result)[:_MOST_FIELDS]
    rows = -(-len(fields) // 3)

    def draw(figure: Figure) -> None:
        for place, path in enumerate(fields):
            axes = figure.add_subplot(rows, min(3, len(fields)), place + 1)
            having = [one for one in done if path in one.parameters]
            _scale(axes, [one.parameters[path] for one in having])
            axes.scatter(*_points(axes, having, path), s=16, c=_ages(having), linewidths=0)
            axes.set_xlabel(path)
            axes.tick_params(axis="x", labelrotation=30)

    return svg("slices", draw, height=2.8 * rows)


def parallel(result: SearchResult) -> str:
    """Each complete trial a line through its values; the better, the darker."""
    done, fields = complete(result), _fields(result)[:_MOST_FIELDS]
    columns = [_positions([one.parameters.get(path) for one in done]) for path in fields]
    score = _unit(np.array([one.values[0] for one in done]) * (1 if is_large_good(result) else -1))
    heights = np.stack([*columns, score if is_large_good(result) else 1 - score], axis=1)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for index in np.argsort(score):
            axes.plot(heights[index], color=ONE, alpha=float(0.12 + 0.88 * score[index] ** 2), linewidth=1.3)
        axes.set_xticks(range(len(fields) + 1), [*fields, result.objectives[0]], rotation=20, ha="right")
        axes.set_yticks([])

    return svg("parallel", draw, width=max(7.0, 1.1 * len(fields)))


def _fields(result: SearchResult) -> list[str]:
    """Fields that were tried with more than one value, the most important first."""
    tried: dict[str, set[str]] = {}
    for one in complete(result):
        for path, value in one.parameters.items():
            tried.setdefault(path, set()).add(repr(value))
    ranks = next(iter(result.importances.values()), {})
    return sorted((path for path, values in tried.items() if len(values) > 1), key=lambda path: -ranks.get(path, 0.0))


def _is_number(value: Value | None) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scale(axes: Axes, values: Sequence[Value]) -> None:
    """A logarithmic axis for what spans a factor of 30 or more; ticks in plain figures."""
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    if len(numbers) == len(values) and min(numbers) > 0 and max(numbers) / min(numbers) >= 30:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())


def _points(axes: Axes, having: list[TrialResult], path: str) -> tuple[list[float], list[float]]:
    values = [one.parameters[path] for one in having]
    heights = [one.values[0] for one in having]
    if all(map(_is_number, values)):
        return [float(value) for value in values if isinstance(value, int | float)], heights
    names = sorted({_name(value) for value in values})
    axes.set_xticks(range(len(names)), names)
    return [float(names.index(_name(value))) for value in values], heights


def _positions(values: Sequence[Value | None]) -> NDArray[np.float64]:
    """Heights between 0 and 1; NaN where the field was not there."""
    if all(value is None or _is_number(value) for value in values):
        numbers = np.array([np.nan if value is None else value for value in values], np.float64)
        known = numbers[np.isfinite(numbers)]
        is_wide = known.min() > 0 and known.max() / known.min() >= 30
        return _unit(np.log(numbers) if is_wide else numbers)
    names = sorted({_name(value) for value in values if value is not None})
    return _unit(np.array([np.nan if value is None else names.index(_name(value)) for value in values], np.float64))


def _unit(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.nanmin(numbers), np.nanmax(numbers)
    return np.full_like(numbers, 0.5) if high == low else (numbers - low) / (high - low)


def _ages(having: list[TrialResult]) -> list[str]:
    """Early trials pale, the later half in colour."""
    middle = max((one.number for one in having), default=0) / 2
    return [MUTED if one.number < middle else ONE for one in having]


def _name(value: Value) -> str:
    if isinstance(value, dict):
        return str(value.get("name", value))
    return str(value)[:24]
