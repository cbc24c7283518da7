"""What is said of a score below which an answer becomes "unknown": what is wanted of it, and what it does."""

from dataclasses import dataclass
from typing import Literal

from model_zoo.manifest import Abstain

Promise = Literal["max_error", "max_unknown"]
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a user asks for; ``limit`` is a fraction in (0, 1)."""

    promise: Promise
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Abstained:
    """What a threshold does on some pictures: ``answered`` of ``n``, and how many of these are wrong, with Wilson's.

    ``error`` and ``error_ci95`` are None where none is answered.
    """

    threshold: float
    n: int
    answered: float
    error: float | None
    error_ci95: tuple[float, float] | None

    @property
    def says(self) -> str:
        """One sentence for people, without its stop."""
        told = f"unknown below a score of {self.threshold:.4f}: {100 * self.answered:.1f} % of the pictures answered"
        if self.error is None or self.error_ci95 is None:
            return told
        low, high = self.error_ci95
        return f"{told}, of these {100 * self.error:.1f} % wrong (95 % interval {100 * low:.1f} to {100 * high:.1f})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Pictures whose best class scores below ``value`` are unknown; 0: none is.

    Attributes:
        n: pictures that it was chosen by.
        answered: share of them that is not unknown.
        error: share of the answered that is wrong; None without labels, or where none is answered.
    """

    value: float
    promise: Promise
    limit: float
    n: int
    answered: float
    error: float | None

    def in_manifest(self, dataset: str) -> Abstain:
        """As a bundle holds it; ``dataset`` names the pictures."""
        return Abstain(
            threshold=self.value,
            promise=self.promise,
            limit=self.limit,
            confidence=CONFIDENCE,
            dataset=dataset,
            n=self.n,
            answered=self.answered,
            error=self.error,
        )

    @property
    def says(self) -> str:
        """One sentence for people, without its stop."""
        wrong = "" if self.error is None else f", of these {100 * self.error:.1f} % wrong"
        counted = f"{100 * self.answered:.1f} % of {self.n:,} pictures are answered{wrong}"
        kept = "of the answers given are wrong" if self.promise == "max_error" else "of the pictures are unknown"
        return (
            f"unknown below a score of {self.value:.4f}: {counted}; on pictures like these at most "
            f"{100 * self.limit:g} % {kept}, with {100 * CONFIDENCE:.0f} % confidence"
        )
