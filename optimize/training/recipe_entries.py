"""A technique inside a recipe: its name in a table, its settings beside the name, in some tables its weight.

``{name = "focal", gamma = 2.0, weight = 0.5}`` is looked up while the recipe is
validated, so that a misspelt name or setting is one fault among the others, and it
is written back with every default.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, PlainSerializer, PlainValidator
from pydantic_core import PydanticCustomError

from optimize.choice import Table
from optimize.errors import OptimizeError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """A technique as a recipe chose it.

    Attributes:
        choice: an instance of the table's class, settings filled in.
        weight: of a loss or a term in the sum; 1 elsewhere.
    """

    name: str
    choice: T
    weight: float = 1.0

    def to_content(self, *, weighted: bool) -> dict[str, Any]:
        """What the recipe would say, complete."""
        settings = self.choice.model_dump(mode="json") if isinstance(self.choice, BaseModel) else {}
        return {"name": self.name, **({"weight": self.weight} if weighted else {}), **settings}


def entry_of(table: str, *, weighted: bool = False) -> tuple[PlainValidator, PlainSerializer]:
    """Pydantic's two halves for a field of type ``Entry``.

    Args:
        table: ``module:NAME`` of the ``Table``; imported when a recipe names an entry.
        weighted: the entry has a weight beside its own settings.
    """

    def validate(value: object) -> Entry[Any]:
        return _entry(_table(table), value, weighted=weighted)

    def serialise(value: Entry[Any]) -> dict[str, Any]:
        return value.to_content(weighted=weighted)

    return PlainValidator(validate), PlainSerializer(serialise)


def _table(place: str) -> Table[Any]:
    module, _, name = place.partition(":")
    table: Table[Any] = getattr(import_module(module), name)
    return table


def _entry(table: Table[Any], value: object, *, weighted: bool) -> Entry[Any]:
    if isinstance(value, Entry):
        return value
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise _fault(f'{table.kind}: write it with its name: name = "…"')
    settings = {key: setting for key, setting in value.items() if key != "name"}
    weight = settings.pop("weight", 1.0) if weighted else 1.0
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise _fault(f"the weight of {table.kind} {value['name']!r} is not a number: {weight!r}")
    chosen = _guarded(lambda: table.choose(value["name"], settings))
    return Entry(value["name"], chosen, float(weight))


def _guarded(choose: Callable[[], T]) -> T:
    try:
        return choose()
    except OptimizeError as error:
        raise _fault(str(error)) from error


def _fault(message: str) -> PydanticCustomError:
    return PydanticCustomError("technique", "{message}", {"message": message})
