"""How long to wait before the next attempt."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses of ``first_s`` · 2ⁿ up to ``most_s``, of which a random half is left out.

    The random part keeps many clients of one server from coming back in the same moment.
    """

    first_s: float = 0.25
    most_s: float = 10.0
    random: Callable[[], float] = random.random

    def pause_s(self, attempt: int, retry_after_s: float | None = None) -> float:
        """The pause after attempt number ``attempt`` (from 0) failed; never shorter than the server asks for."""
        longest = min(self.most_s, self.first_s * 2.0 ** min(attempt, 60))
        return max(longest * (0.5 + self.random() / 2), retry_after_s or 0.0)
