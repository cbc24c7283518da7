"""What the bundles of a run are called: as the recipe for the first task, with the task's name behind it for others."""

import re
from collections import Counter
from collections.abc import Sequence

from model_zoo.manifest import NAME_PATTERN
from optimize.data.dataset import Task
from optimize.errors import RecipeError


def bundle_names(name: str, tasks: Sequence[Task]) -> tuple[str, ...]:
    """A model name for each task.

    Args:
        name: the recipe's.
    Raises:
        RecipeError: two would be the same, or one is none that a store takes.
    """
    names = (name, *(f"{name}-{slug(task.name)}" for task in tasks[1:]))
    for each, task in zip(names, tasks, strict=True):
        if not re.fullmatch(NAME_PATTERN, each):
            raise RecipeError(
                f"the bundle of {task.name!r} would be called {each!r}, and a bundle's name has at most 64 letters, "
                "digits, dots, underscores and hyphens: choose a shorter name for the recipe (--name) or the column"
            )
        if Counter(names)[each] > 1:
            raise RecipeError(
                f"the bundles of two label columns would both be called {each!r}: rename {task.name!r}, or leave it "
                "out of data.label_columns"
            )
    return names


def slug(name: str) -> str:
    """A task's name as a part of a model's."""
    return re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-.") or "task"
