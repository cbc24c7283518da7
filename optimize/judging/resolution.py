"""What a number of pictures can tell apart: at the 5 % level, with 80 % power.

Two models on pictures of their own need far more pictures than two models on the same
ones: there, only the pictures that they disagree on count (Connor, 1987).

That formula is of many disagreements. Of few, McNemar's mid-p is below 5 % from five on, all one way (of four it is
1/16); where 6.72 are expected five come four times in five. So no n pictures show less than 6.72 / n, however
seldom the two disagree.
"""

from math import ceil, inf, sqrt

from optimize.judging.agreement import Z95

Z_POWER = 0.8416212335729143
FEWEST_FOR_EVIDENCE = 100
# Poisson's mean that is 5 or more with a probability of Z_POWER's 80 %.
FEWEST_EXPECTED = 6.720979


def resolvable_unpaired(share: float, n: int) -> float:
    """The smallest difference between two shares near ``share``, each of n other pictures, that would show."""
    # A share of 0 or 1 of few pictures does not mean that none could be otherwise: Agresti and Coull's two and two.
    middle = (share * n + 2) / (n + 4)
    return min(1.0, (Z95 + Z_POWER) * sqrt(2 * middle * (1 - middle) / n))


def resolvable_paired(disagreeing: float, n: int) -> float:
    """The smallest difference that would show between two models on the same n pictures; at most 1.

    Args:
        disagreeing: the share of pictures that one of the two gets right and the other wrong, as it was seen. A
            result above it says that so few disagreements, whichever way they fall, show nothing.
    """
    # n δ² = (z95 √d + z80 √(d − δ²))², solved for δ.
    a, b, d = Z95 * sqrt(disagreeing), Z_POWER, disagreeing
    # δ√n − a = b √(d − δ²)  →  (n + b²) δ² − 2 a √n δ + a² − b² d = 0; the larger root.
    root = sqrt(n)
    inside = max(0.0, a * a * n - (n + b * b) * (a * a - b * b * d))
    return min(1.0, max(FEWEST_EXPECTED / n, (a * root + sqrt(inside)) / (n + b * b)))


def pictures_to_settle(difference: float, disagreeing: float) -> int | None:
    """How many pictures, of the same kind, would show this difference; None where there is none."""
    if difference == 0 or disagreeing == 0:
        return None
    spread = max(0.0, disagreeing - difference * difference)
    needed = ((Z95 * sqrt(disagreeing) + Z_POWER * sqrt(spread)) / abs(difference)) ** 2
    return None if needed == inf else ceil(needed)
