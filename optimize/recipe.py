"""A recipe: which model, which photos, which passes; a TOML file, validated as a stranger's."""

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from optimize.errors import RecipeError
from optimize.passes import load_pass

RECIPES = Path(__file__).parent / "recipes"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Calibration(_Part):
    """See ``calibration_pictures``."""

    photos: Annotated[list[str], Field(min_length=1, max_length=1000)]
    shares: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1, max_length=16)]


class PassEntry(_Part):
    """One line of the work: an entry of ``PASSES`` and its config."""

    name: str
    parameters: dict[str, str | bool | int | float | list[str]] = {}


class Check(_Part):
    """The four photos of ``check.npz``; they are shipped, so their licence must allow it."""

    photos: Annotated[list[str], Field(min_length=4, max_length=4)]


class Recipe(_Part):
    """A bundle's making, but for its card."""

    name: str
    version: Annotated[int, Field(ge=1)]
    architecture: str
    parent: str
    seed: int
    calibration: Calibration
    passes: Annotated[list[PassEntry], Field(min_length=1)]
    check: Check


def read_recipe(path: Path) -> Recipe:
    """Read and validate; the passes' parameters too.

    Raises:
        RecipeError: unreadable, not TOML, or a field that is not understood.
        UnknownPassError: a pass that is not in ``PASSES``.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        recipe = Recipe.model_validate(content)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path}: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise RecipeError(f"{path}: {faults}") from error
    for entry in recipe.passes:
        load_pass(entry.name).configure(entry.parameters)
    return recipe
