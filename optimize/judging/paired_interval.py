"""How sure the difference of two shares is that were counted on the same pictures: Tango's score interval.

It holds every difference that the score test does not reject, with the split of the disagreements that is likeliest
under that difference. Where the two hardly disagree, what follows from the disagreements seen alone (their variance,
or a bootstrap of the pictures) is nearly nothing, and nothing at all where there are none: a hundred pictures on
which two models agree leave a difference of 3.7 points open, and this interval says so. At a difference of 0 its
test is McNemar's.

Source: Tango (1998), Statistics in Medicine 17, 891 to 908; recommended for few pairs as for many by Fagerland,
Lydersen and Laake (2014), Statistics in Medicine 33, 2850 to 2875.
"""

from math import sqrt

from optimize.judging.agreement import Z95

_HALVINGS = 60  # below the last digit of a float


def tango(only_this: int, only_other: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Tango's score interval of (only_this − only_other) / n, fractions in −1 to 1.

    Args:
        only_this, only_other: pictures of the n that one of the two alone gets right.
    Raises:
        ValueError: not 0 ≤ only_this + only_other ≤ n, or no picture.
    """
    if min(only_this, only_other) < 0 or only_this + only_other > n or n < 1:
        raise ValueError(f"{only_this} and {only_other} of {n} pictures are no disagreements")
    low, high = (_edge(only_this / n, only_other / n, n, z, end) for end in (-1.0, 1.0))
    return low, high


def _edge(this: float, other: float, n: int, z: float, outside: float) -> float:
    """Between the difference that was seen, which is always inside, and −1 or 1."""
    inside = this - other
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if abs(this - other - middle) < z * sqrt(_variance(this, other, middle) / n):
            inside = middle
        else:
            outside = middle
    return outside


def _variance(this: float, other: float, difference: float) -> float:
    """Of one picture's gain, −1, 0 or 1, with the likeliest shares that are ``difference`` apart."""
    b = (2 - this + other) * difference - this - other
    # The share of ``other``: 2 x² + b x − other · difference · (1 − difference) = 0, the larger root.
    share = (sqrt(max(0.0, b * b + 8 * other * difference * (1 - difference))) - b) / 4
    return max(0.0, 2 * share + difference * (1 - difference))
