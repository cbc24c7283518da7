"""How far the covariance of a layer's inputs is to be trusted.

Rounding makes up for one weight's error by the others, as far as inputs go together (``weight_rounding``). But sixty
pictures are sixty rows for the thousand inputs of a classifier: most of what goes together in them is chance, and a
rounding that relies on it errs more on other pictures than one to nearest does. Damping adds a share of the mean
variance to every input's own. How much is settled for each layer: weights are rounded by the first two thirds of the
pictures, and the share is taken whose outputs err least on the last third. Early layers, which see thousands of
places, take the least.
"""

import torch
from torch import Tensor

from optimize.passes.weight_rounding import Pairs, output_error, round_to_base

SHARES = (0.01, 0.1, 1.0)
OF_FEW_PICTURES = 0.1


def damped(covariance: Tensor, share: float) -> Tensor:
    """(G, K, K), with a share of the mean variance, and a trace for silent inputs, on the diagonal."""
    diagonal = covariance.diagonal(dim1=1, dim2=2)
    return covariance + torch.diag_embed((share * diagonal.mean(1, keepdim=True) + 1e-12).expand_as(diagonal))


def choose_share(weights: Tensor, known: Tensor, held: Tensor, floors: Tensor, pairs: Pairs) -> float:
    """The one of ``SHARES`` that is best for pictures which the rounding has not seen.

    Args:
        weights: as for ``round_weights``; so are ``floors`` and ``pairs``.
        known: float64 (G, K, K), covariance of the inputs on some pictures.
        held: the same on others.
    """
    errors = {}
    for share in SHARES:
        codes, scales = round_to_base(weights, damped(known, share), floors, pairs)
        errors[share] = float(output_error(weights - codes * scales[..., None], held).sum())
    return min(SHARES, key=errors.__getitem__)
