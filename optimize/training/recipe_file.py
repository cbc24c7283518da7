"""Recipe files: found by path or by the name of a shipped one, changed by ``--set``, written complete."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_zoo.manifest import NAME_PATTERN
from optimize.choice import nearest
from optimize.errors import RecipeError
from optimize.training.network.options import PRETRAINED_WEIGHTS

if TYPE_CHECKING:
    from optimize.training.compound_run import Said

SHIPPED = Path(__file__).parents[1] / "recipes"

Content = dict[str, Any]

# One key of a dotted path: in quotes, or up to the next dot.
_KEY = re.compile(r'"([^"]+)"|([^."]+)')
_PATH = re.compile(rf"(?:{_KEY.pattern})(?:\.(?:{_KEY.pattern}))*")
# NAME or NAME/VERSION of a store.
_REFERENCE = rf"{NAME_PATTERN}(/[1-9][0-9]*)?"
_SPACE = ["search", "space"]


def shipped_recipes(table: str = "train") -> tuple[str, ...]:
    """Names of the recipes that come with Quickeye and have this table: ``candidate`` have those that optimise."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.toml") if table in _read(path)))


def read_content(said: str, table: str = "train") -> Content:
    """The tables of a recipe, not validated yet.

    Args:
        said: a path, or a shipped recipe's name.
        table: that a shipped one has.
    Raises:
        RecipeError: neither, or not TOML.
    """
    path = Path(said)
    if path.suffix == ".toml" or path.is_file():
        return _read(path)
    if said not in shipped_recipes(table):
        hint = nearest(said, shipped_recipes(table))
        raise RecipeError(f"no recipe is named {said!r}{hint} (a file's name ends in .toml)")
    return _read(SHIPPED / f"{said}.toml")


def with_setting(content: Content, assignment: str) -> Content:
    """A copy with one field set.

    Args:
        assignment: ``optimiser.lr=0.01``; the value as TOML has it, or plain text. In a list of techniques the
            path names the entry by its place or its name: ``augment.0.degrees=10``, ``augment.rotate.degrees=10``.
            A key with dots wants quotes, but for the fields of a search: ``search.space.optimiser.lr=[0.01, 0.1]``.
    Raises:
        RecipeError: no ``=``, or a path that leads nowhere.
    """
    path, equals, text = assignment.partition("=")
    if not equals or not path.strip():
        raise RecipeError(f"--set {assignment}: write it as key=value, such as optimiser.lr=0.01")
    return with_value(content, path.strip(), _value(text.strip()))


def with_value(content: Content, path: str, value: object) -> Content:
    """As ``with_setting``, the value ready."""
    result = _placed(content, _keys(path), value, path)
    return result if isinstance(result, dict) else content


def to_toml(recipe: "Said") -> str:
    """The complete recipe as a TOML file."""
    import tomli_w

    return tomli_w.dumps(recipe.to_content())


# Fields that may hold a place on this machine.
_PLACES = {
    "data": ("train", "val", "test", "target"),
    "model": ("weights",),
    "teacher": ("source", "sources", "store", "labels"),
}


def without_paths(content: Mapping[str, Any]) -> Content:
    """A recipe's tables without where pictures, weights and teachers lie on this machine; names of a store's stay."""
    return {
        key: _without(value, _PLACES[key]) if key in _PLACES and isinstance(value, Mapping) else value
        for key, value in content.items()
    }


def _without(table: Mapping[str, Any], places: Sequence[str]) -> Content:
    return {key: value for key, value in table.items() if key not in places or _is_name(key, value)}


def _is_name(key: str, value: object) -> bool:
    """Whether it names published weights, or models of a store, and no file or folder."""
    if key == "weights":
        return value == PRETRAINED_WEIGHTS
    said = [value] if isinstance(value, str) else value
    if key not in ("source", "sources") or not isinstance(said, list | tuple):
        return False
    return all(re.fullmatch(_REFERENCE, str(one)) for one in said)


def _keys(path: str) -> list[str]:
    """The keys of a dotted path; every key of a search's space is a dotted path itself."""
    if not _PATH.fullmatch(path):
        raise RecipeError(f"--set {path}: write the field as keys with a dot between, such as optimiser.lr")
    keys = [quoted or plain for quoted, plain in _KEY.findall(path)]
    if keys[:2] == _SPACE and '"' not in path:
        return [*_SPACE, ".".join(keys[2:])] if keys[2:] else keys
    return keys


def _placed(holder: object, keys: Sequence[str], value: object, path: str) -> Content | list[object]:
    key, *rest = keys
    if isinstance(holder, list):
        place = _place(holder, key, path)
        return [_deeper(one, rest, value, path) if index == place else one for index, one in enumerate(holder)]
    if not isinstance(holder, dict):
        raise RecipeError(f"--set {path}: {key!r} leads into a value that has no keys")
    return {**holder, key: _deeper(holder.get(key, {}), rest, value, path)}


def _deeper(holder: object, rest: Sequence[str], value: object, path: str) -> object:
    if not rest:
        return value
    return _placed({"name": holder} if isinstance(holder, str) else holder, rest, value, path)


def _place(entries: list[Any], key: str, path: str) -> int:
    if key.isdigit() and int(key) < len(entries):
        return int(key)
    names = [one.get("name") if isinstance(one, dict) else one for one in entries]
    if names.count(key) == 1:
        return names.index(key)
    known = ", ".join(f"{index} ({name})" for index, name in enumerate(names)) or "none"
    raise RecipeError(f"--set {path}: there is no one entry {key!r}; there are: {known}")


def _value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _read(path: Path) -> Content:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path} can't be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path} is not TOML: {error}") from error
