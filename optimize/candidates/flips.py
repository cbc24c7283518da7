"""Pictures to which a candidate gives another answer than its parent, and which classes trade places."""

from collections import Counter
from dataclasses import dataclass

from optimize.data.dataset import Dataset
from optimize.errors import DataError
from optimize.judging.mistake_pictures import data_uri
from optimize.judging.predictions import Predictions

MOST = 24
PAIRS = 12


@dataclass(frozen=True, slots=True)
class Flip:
    """One picture: names of classes; ``picture`` is a data URI."""

    identifier: str
    label: str
    parent: str
    candidate: str
    picture: str


@dataclass(frozen=True, slots=True)
class Flips:
    """All that changed.

    Attributes:
        count: pictures with another answer; ``lost`` were right before, ``won`` are right now.
        pairs: (the parent's class, the candidate's, how often), the most frequent first.
        shown: some of them, those lost first.
    """

    count: int
    lost: int
    won: int
    pairs: tuple[tuple[str, str, int], ...]
    shown: tuple[Flip, ...]


def flips(candidate: Predictions, parent: Predictions, dataset: Dataset) -> Flips:
    """Compare answer by answer.

    Args:
        dataset: of which both answered the same pictures.
    """
    mine, theirs, labels = candidate.logits.argmax(1), parent.logits.argmax(1), candidate.labels
    changed = [place for place in range(len(labels)) if mine[place] != theirs[place]]
    lost = [place for place in changed if theirs[place] == labels[place]]
    won = [place for place in changed if mine[place] == labels[place]]
    names = candidate.classes
    pairs = Counter((names[theirs[place]], names[mine[place]]) for place in changed)
    index = {dataset.identifier(one): one for one in range(len(dataset))}
    shown = []
    for place in [*lost, *(place for place in changed if theirs[place] != labels[place])][:MOST]:
        name = candidate.identifiers[place]
        try:
            picture = data_uri(dataset.read(index[name]))
        except DataError:
            continue  # it was there when it was judged
        shown.append(Flip(name, names[labels[place]], names[theirs[place]], names[mine[place]], picture))
    return Flips(len(changed), len(lost), len(won), _frequent(pairs), tuple(shown))


def _frequent(pairs: "Counter[tuple[str, str]]") -> tuple[tuple[str, str, int], ...]:
    ordered = sorted(pairs.items(), key=lambda one: (-one[1], one[0]))
    return tuple((was, now, times) for (was, now), times in ordered[:PAIRS])
