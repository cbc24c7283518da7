"""``[publish]`` of a recipe: under which name, with which card and which figures the best candidate goes out.

The rest of the front keeps the run's names. A candidate that the guard does not pass gets no published name.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from model_zoo.manifest import NAME_PATTERN
from optimize.choice import Choice
from optimize.data.manifest_file import SPLIT_NAMES, SUFFIXES
from optimize.data.options import LaxPath

Name = Annotated[str, Field(min_length=1, max_length=200)]


class LabelledSet(Choice):
    """``[[publish.figures]]``: pictures with labels that the published bundle and its parent are asked about.

    Attributes:
        dataset: what figures call it.
        data: as ``data.test``, of the parent's classes.
    """

    dataset: Name
    data: LaxPath


class Publishing(Choice):
    """``[publish]``.

    Attributes:
        name, version: of the bundle.
        card: the page that becomes its CARD.md, a file or ``package:path``; the run's own by default.
        check: photos of check.npz, four references as ``package_file`` takes; the parent's pictures by default.
        dataset: what figures call the pictures of ``data.train`` and ``data.val``; the run's name by default.
        test_dataset: likewise those of ``data.test``.
        figures: decide nothing.
    """

    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
    version: Annotated[int, Field(ge=1, lt=10**9)] = 1
    card: LaxPath | None = None
    check: Annotated[tuple[str, ...], Field(strict=False, min_length=4, max_length=4)] | None = None
    dataset: Name | None = None
    test_dataset: Name | None = None
    figures: Annotated[tuple[LabelledSet, ...], Field(strict=False, max_length=16)] = ()


def set_name(path: Path) -> str:
    """What figures call pictures at a path that a command line names: its last part that is no split's name."""
    parts = [part for part in path.absolute().parts if part.lower() not in SPLIT_NAMES]
    last = Path(parts[-1])
    return (last.stem if last.suffix.lower() in SUFFIXES else last.name) or "pictures"


# No figure of a candidate depends on these, so a run may go on with others.
FREE = ("publish", *(f"publish.{field}" for field in Publishing.model_fields))
