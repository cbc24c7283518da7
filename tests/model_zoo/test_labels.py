"""The shipped names, at indices that the literature quotes."""

import pytest

from model_zoo.labels import imagenet_labels


def test_a_thousand_different_names() -> None:
    labels = imagenet_labels()
    assert len(labels) == 1000
    assert len(set(labels)) == 1000
    assert all(label and label == label.strip() for label in labels)


@pytest.mark.parametrize(
    ("index", "label"),
    [
        (0, "tench"),
        (1, "goldfish"),
        (134, "crane bird"),
        (207, "golden retriever"),
        (281, "tabby"),
        (285, "Egyptian cat"),
        (340, "zebra"),
        (388, "giant panda"),
        (463, "bucket"),
        (517, "crane"),
        (638, "maillot"),
        (639, "tank suit"),
        (817, "sports car"),
        (954, "banana"),
        (963, "pizza"),
        (999, "toilet tissue"),
    ],
)
def test_known_indices(index: int, label: str) -> None:
    assert imagenet_labels()[index] == label
