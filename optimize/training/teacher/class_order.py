"""Where the student's classes are among the teacher's: by their names, whatever order each has them in."""

from collections.abc import Sequence

from optimize.errors import DataError

SHOWN = 5


def class_order(own: Sequence[str], classes: Sequence[str], said: str) -> list[int]:
    """``own[order[k]] == classes[k]``.

    Args:
        own: the teacher's classes.
        classes: the student's.
        said: how messages call the teacher.
    Raises:
        DataError: a name that only one of them has, or that one has twice; the message names it.
    """
    places = {name: place for place, name in enumerate(own)}
    if len(places) != len(own) or len(set(classes)) != len(classes):
        raise DataError(f"the teacher {said}: a class name occurs twice, so that classes can't be told by their names")
    only_mine = [name for name in classes if name not in places]
    only_its = [name for name in own if name not in set(classes)]
    if only_mine or only_its:
        differences = [
            f"{who} {len(names)} that the other has not: {_some(names)}"
            for who, names in (("the data have", only_mine), ("the teacher has", only_its))
            if names
        ]
        raise DataError(
            f"the teacher {said} and the data must have the same classes; {'; '.join(differences)}. "
            "Rename the class folders, or take a teacher trained on these classes"
        )
    return [places[name] for name in classes]


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:SHOWN])) + (", …" if len(names) > SHOWN else "")
