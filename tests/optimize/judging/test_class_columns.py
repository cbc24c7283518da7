"""Labels of one model under the classes of another that has them in another order."""

from dataclasses import replace

import numpy as np
import pytest

from optimize.data.dataset import UNLABELLED, Task
from optimize.errors import DataError
from optimize.judging.class_columns import columns_of, under_labels
from tests.optimize.judging.sets import shades


def test_every_picture_keeps_the_name_of_its_class() -> None:
    names = ("a", "b", "c", "d")
    labels = np.array([0, 1, 2, 3, UNLABELLED, 2])[:, None]
    dataset = replace(shades(6), labels=labels, tasks=(Task("label", names),))
    other = under_labels(dataset, ("c", "d", "a", "b"))
    told = [other.classes[label] if label >= 0 else "" for label in other.first_labels]
    assert told == ["a", "b", "c", "d", "", "c"]
    assert under_labels(other, names).labels.tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("others", "reason"), [(("a", "c"), "other classes and can't be compared: b, c"), (("b", "a", "a"), "one name: a")]
)
def test_classes_that_can_t_be_matched_are_refused(others: tuple[str, ...], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        columns_of(("a", "b", "a") if len(others) == 3 else ("a", "b"), others)


def test_two_classes_of_one_name_are_told_by_their_place() -> None:
    assert columns_of(("crane", "a", "crane"), ("crane", "a", "crane")).tolist() == [0, 1, 2]
