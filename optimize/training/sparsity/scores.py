"""Which of a layer's weights matter: the higher, the more.

``magnitude``: those that are large (Zhu and Gupta, 2017).

``movement``: those that training moves away from 0: −Σ g·w over the steps so far, g being the gradient
(Sanh et al., "Movement Pruning", 2020, arXiv:2005.07683). For networks that learn a task new to them; where they
only recover, weights hardly move.

``snip``: those whose loss would change most, to first order, if they went: |g·w| (Lee et al., "SNIP", 2019,
arXiv:1810.02340), of all pictures since the zeros were chosen last, as of one large batch.

The gradient is that of the network as it is, zeros included, so a weight that is 0 is scored by what it was
before, and may come back.
"""

from optimize.passes.sparsify import Weights
from optimize.training.sparsity.options import ScoreName


def reads_gradients(score: ScoreName) -> bool:
    """Whether products of gradients and weights are to be summed."""
    return score != "magnitude"


def forgets(score: ScoreName) -> bool:
    """Whether the sums begin anew when zeros were chosen."""
    return score == "snip"


def scored(score: ScoreName, magnitudes: Weights, products: Weights) -> Weights:
    """Scores of one layer.

    Args:
        magnitudes: of its weights.
        products: sums of g·w, of the same shape; not looked at for ``magnitude``.
    """
    if score == "magnitude":
        return magnitudes
    return -products if score == "movement" else abs(products)
