"""Labels as names and as numbers."""

import numpy as np
import pytest

from optimize.data.array_pictures import ArrayPictures
from optimize.data.dataset import UNLABELLED, Task
from optimize.data.listing import Listing, Value, found_tasks, settle
from optimize.errors import DataError


def listing(*columns: tuple[Value, ...], names: tuple[str, ...] = ("label",), empty: tuple[str, ...] = ()) -> Listing:
    source = ArrayPictures(np.zeros((len(columns[0]), 2, 2, 1), np.uint8), "some")
    return Listing("some", source, names, columns, empty)


def labels(values: tuple[Value, ...], *classes: str) -> list[int]:
    return settle(listing(values), (Task("label", classes),)).first_labels.tolist()


def test_names_are_sorted() -> None:
    assert found_tasks([listing(("hat", "dress", "hat"))]) == (Task("label", ("dress", "hat")),)


def test_text_that_is_numbers_is_sorted_as_numbers() -> None:
    assert found_tasks([listing(("10", "9", "2"))])[0].classes == ("2", "9", "10")


def test_numbers_count_classes_from_zero() -> None:
    assert found_tasks([listing((2, 0))])[0].classes == ("0", "1", "2")


def test_the_classes_of_several_listings_are_united() -> None:
    assert found_tasks([listing(("hat",)), listing(("cap",))])[0].classes == ("cap", "hat")


def test_several_tasks_have_classes_of_their_own() -> None:
    found = found_tasks([listing(("hat", "cap"), ("red", None), names=("kind", "shade"))])
    assert found == (Task("kind", ("cap", "hat")), Task("shade", ("red",)))


def test_settled_labels_are_places_in_the_classes() -> None:
    dataset = settle(
        listing(("hat", "cap"), ("red", None), names=("kind", "shade")),
        (Task("kind", ("hat", "cap")), Task("shade", ("red",))),
    )
    np.testing.assert_array_equal(dataset.labels, [[0, 0], [1, UNLABELLED]])
    np.testing.assert_array_equal(dataset.positions, [0, 1])


def test_text_that_is_a_number_counts_named_classes() -> None:
    assert labels(("2", "0"), "cap", "dress", "hat") == [2, 0]


def test_text_that_names_a_class_is_never_a_number() -> None:
    assert labels(("2", "1"), "1", "2", "3") == [1, 0]
    with pytest.raises(DataError, match="not among the 3 known ones: '0'"):
        labels(("0", "1"), "1", "2", "3")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 12), r"some\[1\]: label 12 is outside the range: there are 3 classes, 0 to 2"),
        (("0", "3"), r"some\[1\]: label 3 is outside the range"),
        (("hta", "cap"), r"not among the 3 known ones: 'hta'.*did you mean 'hat'"),
        (("cap", "shoe", "boot"), r"known ones: 'boot', 'shoe'; known, and absent here: 'dress', 'hat'"),
    ],
)
def test_labels_outside_the_classes_are_refused(values: tuple[Value, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        labels(values, "cap", "dress", "hat")


def test_an_ambiguous_name_is_refused_and_a_number_will_do() -> None:
    with pytest.raises(DataError, match="several classes are called 'crane'; give their numbers"):
        labels(("crane",), "crane", "heron", "crane")
    assert labels(("2",), "crane", "heron", "crane") == [2]


@pytest.mark.parametrize("values", [(0, -1), ("0", "-1")])
def test_negative_numbers_are_refused(values: tuple[Value, ...]) -> None:
    with pytest.raises(DataError, match="label -1 is outside the range: labels count from 0"):
        found_tasks([listing(values)])


def test_an_empty_class_is_refused() -> None:
    with pytest.raises(DataError, match="no pictures in 'cap'; put some there, or remove the empty class folder"):
        found_tasks([listing(("hat",), empty=("cap",))])


def test_listings_of_different_tasks_do_not_go_together() -> None:
    with pytest.raises(DataError, match="the same label columns"):
        found_tasks([listing(("a",)), listing(("a",), names=("kind",))])
    with pytest.raises(DataError, match="what is asked for is label, shade"):
        settle(listing(("a",)), (Task("label", ("a",)), Task("shade", ("b",))))
