"""Several teachers as one: the mean of their probabilities, which is what an ensemble answers."""

import hashlib
import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from optimize.training.teacher.teacher import Teacher


class EnsembleTeacher(Teacher):
    """Logits are the logarithm of the weighted mean of the members' probabilities.

    Source: Hinton, Vinyals and Dean, 2015, section 3.
    """

    members: nn.ModuleList

    def __init__(self, members: Sequence[Teacher], weights: Sequence[float] | None = None) -> None:
        """
        Args:
            members: with the same classes, in the student's order.
            weights: above 0, one each; brought to a sum of 1.
        """
        weights = weights or [1.0] * len(members)
        shares = [weight / sum(weights) for weight in weights]
        parts = "\n".join(f"{m.fingerprint} {share!r}" for m, share in zip(members, shares, strict=True))
        classes = members[0].classes
        super().__init__(
            said=f"ensemble of {', '.join(member.said for member in members)}",
            fingerprint=hashlib.sha256(parts.encode()).hexdigest(),
            own=classes,
            classes=classes,
        )
        self.members = nn.ModuleList(members)
        self._log_shares = [math.log(share) for share in shares]
        self.eval()

    def look(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """See ``Teacher.look``."""
        rows = [
            member(pictures).logits.log_softmax(dim=1) + log_share
            for member, log_share in zip(self.members, self._log_shares, strict=True)
        ]
        return torch.stack(rows).logsumexp(dim=0), {}

    def close(self) -> None:
        """See ``Teacher.close``."""
        for member in self.members:
            member.close()  # type: ignore[operator]

    def tap(self, names: Iterable[str]) -> None:
        """Raises: RecipeError: there is no telling whose layers are meant."""
        if list(names):
            _ = self.network
