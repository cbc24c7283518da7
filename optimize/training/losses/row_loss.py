"""What all losses on targets share: 32 bits at least, and nothing for a picture without a label."""

from torch import Tensor

from optimize.choice import Choice


class RowLoss(Choice):
    """Base of the entries of ``LOSSES``; a subclass writes ``rows``."""

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Picture by picture.

        Args:
            logits: (N, classes), of any float type; half precision is widened first.
            targets: (N, classes), rows of probabilities; zeros where unlabelled.
        Returns:
            (N,), float32 (float64 for float64 logits); 0 where unlabelled.
        """
        wide = widened(logits)
        rows = targets.to(wide.dtype)
        return self.rows(wide, rows).masked_fill(~is_labelled(rows), 0.0)

    def rows(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(N, classes) and (N, classes), float32 or float64 → (N,); finite for a row of zeros."""
        raise NotImplementedError


def widened(values: Tensor) -> Tensor:
    """Half precision → float32: in bfloat16 a sum of a thousand exponentials is off by per cents."""
    return values.float() if values.element_size() < 4 else values


def is_labelled(targets: Tensor) -> Tensor:
    """(N, classes) rows → (N,) bool."""
    return (targets != 0).any(dim=1)


def smoothed(targets: Tensor, smoothing: float) -> Tensor:
    """Mix each row with the uniform one (Szegedy et al., 2016); a row of zeros stays one."""
    if smoothing == 0:
        return targets
    return (1 - smoothing) * targets + smoothing * targets.sum(dim=1, keepdim=True) / targets.shape[1]
