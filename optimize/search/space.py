"""A recipe with some of its fields set by dotted path."""

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optimize.choice import nearest
from optimize.errors import RecipeError
from optimize.search.options import SearchOptions, Value

if TYPE_CHECKING:
    from optimize.training.recipe import Recipe

# Tables that say what to make of a recipe; a single training has none of them.
COMPOUND = ("search", "ensemble", "cross_validation")


def single(recipe: "Recipe") -> dict[str, Any]:
    """The content of the recipe for one training: all but ``COMPOUND``."""
    return {key: value for key, value in recipe.to_content().items() if key not in COMPOUND}


def with_values(content: Mapping[str, Any], values: Mapping[str, Value]) -> dict[str, Any]:
    """A copy of ``content`` with the fields at these paths set; short paths first, so that a whole table may be
    chosen and a field within it too. Another ``name`` of a technique drops the settings of the one before.

    Args:
        content: a recipe's tables, as ``Recipe.to_content`` gives them.
        values: by dotted path; a step into a list is an index or the ``name`` of one of its entries.
    Raises:
        RecipeError: a step leads nowhere; the message names the nearest that does.
    """
    changed = copy.deepcopy(dict(content))
    for path in sorted(values, key=lambda one: (one.count("."), not one.endswith(".name"))):
        _set(changed, path, values[path])
    return changed


def configured(content: Mapping[str, Any], values: Mapping[str, Value]) -> "Recipe":
    """The recipe that ``with_values`` gives.

    Raises:
        RecipeError: a path leads nowhere, or a value does not fit its field.
    """
    from optimize.training.recipe import parse_recipe

    return parse_recipe(with_values(content, values))


def refuse_odd_space(content: Mapping[str, Any], options: SearchOptions) -> None:
    """Try every field of the space at its ends, or at each of its choices, before anything is trained.

    Raises:
        RecipeError: a field that is not there, or a value that it can't take; the message names the path.
    """
    for path, span in options.space.items():
        ends: list[Value] = [one for one in (span.low, span.high) if one is not None]
        for value in span.choices if span.choices is not None else ends:
            try:
                configured(content, {**_conditions(options, path), path: value})
            except RecipeError as error:
                raise RecipeError(f"search.space: {path} = {value!r}: {error}") from error


def _conditions(options: SearchOptions, path: str) -> dict[str, Value]:
    """Values under which ``path`` is in the recipe at all, and those under which these are."""
    found: dict[str, Value] = {}
    left = [path]
    while left:
        for other, value in options.space[left.pop()].when.items():
            if other not in found:
                found[other] = value
                left.append(other)
    return found


def _set(content: dict[str, Any], path: str, value: Value) -> None:
    *way, last = path.split(".")
    place: object = content
    for depth, step in enumerate(way):
        place = _into(place, step, ".".join(way[: depth + 1]))
    if isinstance(place, list):
        place[_index(place, last, path)] = copy.deepcopy(value)
    elif not isinstance(place, dict):
        raise RecipeError(f"{path}: {'.'.join(way)} is a value, it has no fields")
    elif last == "name" and "name" in place and way:
        if place["name"] != value:
            place.clear()
        place["name"] = value
    else:
        place[last] = copy.deepcopy(value)


def _into(place: object, step: str, path: str) -> object:
    if isinstance(place, list):
        return place[_index(place, step, path)]
    if not isinstance(place, dict):
        raise RecipeError(f"{path}: there is no such field")
    if path == step and step not in place:  # a table of the recipe that it does not mention
        return place.setdefault(_known_table(step), {})
    return place.setdefault(step, {})


def _known_table(step: str) -> str:
    from optimize.training.recipe import Recipe

    known = [name for name in Recipe.model_fields if name not in COMPOUND]
    if step not in known:
        raise RecipeError(f"a recipe has no field {step!r}{nearest(step, known)}")
    return step


def _index(entries: list[Any], step: str, path: str) -> int:
    names = [str(one.get("name")) for one in entries if isinstance(one, dict)]
    if step in names:
        if names.count(step) > 1:
            raise RecipeError(f"{path}: {names.count(step)} entries are named {step!r}; name it by number, from 0")
        return names.index(step)
    if step.isdecimal() and int(step) < len(entries):
        return int(step)
    if not entries:
        raise RecipeError(f"{path}: the recipe has no such entry")
    raise RecipeError(f"{path}: the recipe has no entry {step!r} there{nearest(step, names)}")
