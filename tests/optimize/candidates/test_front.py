"""What is worth having, and what is not."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from optimize.candidates.front import FASTER, SMALLER, front


@dataclass(frozen=True)
class One:
    right: float
    faster: float
    bytes: int = 100
    spread: float = 0.0


def test_a_slower_larger_less_accurate_one_is_not_worth_having() -> None:
    assert front([One(0.9, 1.0), One(0.8, 0.9, 120)]) == [0]


def test_a_faster_and_a_smaller_one_are() -> None:
    assert front([One(0.9, 1.0), One(0.8, 1.2), One(0.7, 1.0, 80)]) == [0, 1, 2]


def test_what_noise_can_explain_is_not_faster() -> None:
    assert front([One(0.9, 1.0, spread=0.2), One(0.8, 1.3, spread=0.1)]) == [0]
    assert front([One(0.9, 1.0, spread=0.1), One(0.8, 1.3, spread=0.2)]) == [0]
    assert front([One(0.9, 1.0, spread=0.1), One(0.8, 1.3, spread=0.1)]) == [0, 1]


def test_of_equally_accurate_ones_the_faster_stands() -> None:
    assert front([One(0.9, 1.0), One(0.9, 1.5)]) == [1]


def test_what_is_as_accurate_as_the_parent_and_brings_nothing_does_not_take_its_place() -> None:
    ones = [One(0.9, 1.0), One(0.9, 1.01), One(0.9, 1.0, 80)]
    assert front(ones) == [1, 2]
    assert front(ones, parent=0) == [2]
    assert front(ones[:2], parent=0) == [0]
    assert front([One(0.9, 1.0), One(0.9, 1.5)], parent=0) == [1]


FIGURES = st.builds(
    One,
    st.sampled_from([0.5, 0.6, 0.7, 0.8]),
    st.floats(0.5, 8),
    st.integers(1_000, 9_000),
    st.floats(0, 0.3),
)


@given(st.lists(FIGURES, min_size=1, max_size=12))
def test_each_that_stays_is_clearly_faster_or_smaller_than_every_more_accurate_one_that_stays(ones: list[One]) -> None:
    kept = [ones[place] for place in front(ones)]
    assert max(one.right for one in ones) == kept[0].right
    for rank, one in enumerate(kept):
        for better in kept[:rank]:
            assert better.right >= one.right
            is_faster = one.faster >= FASTER * better.faster
            assert is_faster or one.bytes <= SMALLER * better.bytes


@given(st.lists(FIGURES, min_size=1, max_size=12))
def test_each_that_goes_has_a_better_one_that_stays(ones: list[One]) -> None:
    places = front(ones)
    for place, one in enumerate(ones):
        if place not in places:
            assert any(
                ones[other].right >= one.right
                and ones[other].bytes * SMALLER < one.bytes
                and (ones[other].faster * FASTER > one.faster
                     or one.faster - ones[other].faster <= 2 * max(one.spread, ones[other].spread))
                for other in places
            )  # fmt: skip
