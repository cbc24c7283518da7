"""From a search's values to a chain of steps, and back for those chains that lie in the space."""

from collections.abc import Sequence
from typing import Any

from optimize.candidates.steps import OWN, STEPS, Content
from optimize.errors import RecipeError
from optimize.search.options import Span, Value
from optimize.training.recipe_entries import Entry

# What only mends: without a step before it there is nothing to mend.
_MENDS = ("finetune",)


def steps_of(values: dict[str, Value]) -> list[Content]:
    """Tables of ``steps``: those of ``OWN`` in their order there, then passes in the order of the values.

    Args:
        values: by "STEP.setting", and by "STEP" whether it is taken; a step of which only settings are said is.
    """
    found: dict[str, Content] = {}
    for path, value in values.items():
        step, _, setting = path.partition(".")
        found.setdefault(step, {"name": step})
        if setting:
            found[step][setting] = value
    taken = [step for step in found if values.get(step, True)]
    own = [step for step in OWN if step in taken]
    chain = [*own, *(step for step in taken if step not in OWN)]
    return [found[step] for place, step in enumerate(chain) if place or step not in _MENDS]


def values_of(steps: Sequence[Entry[Any]], space: dict[str, Span]) -> dict[str, Value] | None:
    """The values that give these steps; None where the space has none."""
    by_name = {step["name"]: step for step in contents(steps)}
    if len(by_name) < len(steps):
        return None
    values: dict[str, Value] = {}
    for path, span in space.items():
        step, _, setting = path.partition(".")
        said = by_name.get(step)
        if not setting:
            found: list[Value] = [value for value in span.choices or () if value is (said is not None)]
        else:
            found = [value for value in _possible(span, said, setting) if _is_meant(value, said, setting)]
        if not found:
            return None
        values[path] = found[0]
    while odd := [path for path in values if not _is_asked(space[path], values)]:
        values = {path: value for path, value in values.items() if path not in odd}
    return values if _complete(steps_of(values)) == list(by_name.values()) else None


def contents(steps: Sequence[Entry[Any]]) -> list[Content]:
    """What the recipe would say of them, complete."""
    return [step.to_content(weighted=False) for step in steps]


def _complete(steps: list[Content]) -> list[Content] | None:
    """With every default; None where a step does not take its settings."""
    said = ((step["name"], {key: value for key, value in step.items() if key != "name"}) for step in steps)
    try:
        return contents([Entry(name, STEPS.choose(name, settings)) for name, settings in said])
    except RecipeError:
        return None


def _possible(span: Span, step: Content | None, setting: str) -> list[Value]:
    """Values of the span that may be the step's; of a range, the step's own."""
    if span.choices is not None:
        return list(span.choices)
    value = span.ends()[0] if step is None else step[setting]
    return [value] if type(value) in (int, float) and span.has(value) else []


def _is_meant(value: Value, step: Content | None, setting: str) -> bool:
    """Whether it says what the step says, which is complete."""
    return step is None or _complete([{**step, setting: value}]) == [step]


def _is_asked(span: Span, values: dict[str, Value]) -> bool:
    return all(path in values and values[path] == wanted for path, wanted in span.when.items())
