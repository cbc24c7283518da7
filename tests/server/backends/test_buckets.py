"""Sizes: which one a batch goes into, and what is left when memory runs out."""

import pytest

from server.backends.batches import sizes_up_to
from server.backends.buckets import Buckets, in_parts


@pytest.mark.parametrize(
    ("largest", "sizes"),
    [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8]), (256, [1, 2, 4, 8, 16, 32, 64, 128, 256])],
)
def test_sizes_double_up_to_the_largest(largest: int, sizes: list[int]) -> None:
    assert sizes_up_to(largest) == sizes


def test_a_batch_goes_into_the_smallest_that_holds_it() -> None:
    buckets = Buckets([1, 2, 4, 6])
    assert [buckets.fit(images) for images in range(1, 7)] == [1, 2, 4, 4, 6, 6]


def test_sizes_are_given_up_from_above_and_the_last_is_kept() -> None:
    buckets = Buckets([1, 2, 4, 8])
    assert buckets.lower(4)
    assert buckets.largest == 2
    assert buckets.lower(2)
    assert not buckets.lower(1)
    assert buckets.sizes == (1,)
    assert buckets.largest == 1


def test_what_does_not_fit_together_goes_in_parts() -> None:
    starts: list[int] = []

    def part(start: int) -> tuple[list[int], str]:
        starts.append(start)
        return list(range(start, min(start + 3, 7))), "more"

    parts = in_parts(part, 7)
    assert [row for rows, _ in parts for row in rows] == list(range(7))
    assert starts == [0, 3, 6]
