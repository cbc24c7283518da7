"""A recipe names a technique and gives its settings; a table says which class that is.

``{name = "focal", gamma = 2.0}`` in a recipe becomes an instance of the class that
the table lists under ``focal``: a ``Choice``, whose fields are the settings and
whose method does the work. Adding a technique is one file with such a class and
one line in its table; nothing is imported until it is chosen. A name or a setting
that is not there is refused with the nearest one that is.
"""

import difflib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from optimize.errors import RecipeError


class Choice(BaseModel):
    """Base of every technique: frozen, and strict about what a recipe says."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class WholeRecipe(Choice):
    """Base of what a whole TOML file says."""

    @classmethod
    def parse(cls, content: Mapping[str, Any], origin: str) -> Self:
        """Validate a recipe's tables.

        Args:
            content: as ``tomllib`` reads them; changed in nothing.
            origin: what an error calls it, such as the file's name.
        Raises:
            RecipeError: every fault in one line, each with its place and, where a name is unknown, the nearest.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise RecipeError(f"{origin}: {faults(error, cls)}") from error

    def to_content(self) -> dict[str, Any]:
        """What the complete TOML file says; ``parse`` of it gives an equal recipe."""
        return {key: _without_none(one) for key, one in self.model_dump(mode="json").items() if one is not None}


T = TypeVar("T")


class Table(Generic[T]):
    """The techniques of one kind: name → ``"module:Class"``, the class a ``Choice`` that also is a ``T``."""

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self.entries = dict(entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def find(self, name: str) -> type[T]:
        """The class called ``name``.

        Raises:
            RecipeError: no such entry; the message names the nearest.
        """
        if name not in self.entries:
            raise RecipeError(f"no {self.kind} is named {name!r}{nearest(name, self.entries)}")
        module, _, attribute = self.entries[name].partition(":")
        found: type[T] = getattr(importlib.import_module(module), attribute)
        return found

    def choose(self, name: str, settings: Mapping[str, object] | None = None) -> T:
        """An instance with the recipe's settings; what is absent takes its default.

        Raises:
            RecipeError: no such entry, a setting it does not have, or a value that does not fit.
        """
        chosen = self.find(name)
        if not issubclass(chosen, BaseModel):
            raise TypeError(f"{self.kind} {name!r}: {chosen.__name__} is no Choice")
        try:
            return chosen.model_validate(dict(settings or {}))
        except ValidationError as error:
            raise RecipeError(f"{self.kind} {name!r}: {faults(error, chosen)}") from error


def _without_none(value: object) -> object:  # TOML has no null: what is None is left out
    if isinstance(value, dict):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    return [_without_none(one) for one in value] if isinstance(value, list) else value


def nearest(name: str, known: Iterable[str]) -> str:
    """What follows "there is no NAME": the nearest known name, or all of them."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(names)}"


def faults(error: ValidationError, model: type[BaseModel]) -> str:
    """Pydantic's faults in one line, each with its place; an unknown key names the nearest field of ``model``.

    What is wrong only because something in it is wrong is not told.
    """
    found = error.errors()
    inside = {one["loc"][:depth] for one in found for depth in range(1, len(one["loc"]))}
    return "; ".join(_fault(one["type"], one["loc"], one["msg"], model) for one in found if one["loc"] not in inside)


def _fault(kind: str, place: tuple[int | str, ...], message: str, model: type[BaseModel]) -> str:
    where = ".".join(map(str, place))
    if kind != "extra_forbidden":
        return f"{where}: {message}" if where else message
    owner = _owner(model, place[:-1])
    hint = nearest(str(place[-1]), owner.model_fields) if owner and owner.model_fields else ""
    return f"{where}: there is no such key{hint}"


def _owner(model: type[BaseModel], place: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model that the key at ``place`` belongs to, as far as plain fields lead there."""
    for key in place:
        if isinstance(key, int):
            continue
        field = model.model_fields.get(key)
        inner = next(iter(_models(field.annotation)), None) if field else None
        if inner is None:
            return None
        model = inner
    return model


def _models(annotation: object) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models(part)
