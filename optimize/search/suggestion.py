"""Ask Optuna for the values of one trial."""

from typing import TYPE_CHECKING, cast

from optimize.search.options import Scalar, SearchOptions, Span, Value, stepped, steps_within
from optimize.search.stored_values import from_stored, to_stored

if TYPE_CHECKING:
    from optuna import Trial


def suggest(trial: "Trial", options: SearchOptions) -> dict[str, Value]:
    """The values that this trial tries, by path; those whose conditions do not hold are left out."""
    values: dict[str, Value] = {}
    left = dict(options.space)
    while left:
        ready = [path for path, span in left.items() if not any(other in left for other in span.when)]
        for path in ready:
            span = left.pop(path)
            if all(path_ in values and values[path_] == wanted for path_, wanted in span.when.items()):
                values[path] = _ask(trial, path, span)
    return values


def _ask(trial: "Trial", path: str, span: Span) -> Value:
    if span.choices is not None:
        chosen = trial.suggest_categorical(path, [to_stored(value) for value in span.choices])
        return from_stored(cast(Scalar, chosen))
    low, high = span.ends()
    if span.is_integer:
        step = int(span.step or 1)
        return trial.suggest_int(path, int(low), int(_last(low, high, step)), step=step, log=span.log)
    if span.step is None:
        return trial.suggest_float(path, low, high, log=span.log)
    drawn = trial.suggest_float(path, low, _last(low, high, span.step), step=span.step)
    return stepped(low, span.step, round((drawn - low) / span.step))


def _last(low: float, high: float, step: float) -> float:
    """The last value of a stepped range; ``high`` need not be one."""
    return stepped(low, step, steps_within(low, high, step))
