"""Where the zeros are, for a share of the weights and their scores.

How many weights each layer gives is settled by LAMP, of the magnitudes, whatever the score is: as by the
pass ``sparsify``. A layer of few weights, such as the first, thereby keeps more of them, and none is emptied,
which one ranking by gradients over all layers does (Tanaka et al., 2020, arXiv:2006.05467). Which of a layer's
weights go is settled by the score.

Of 2:4, every layer ends with half. On the way there, the lowest go of those that are to go in the end.
"""

from typing import Literal

import numpy as np

from optimize.passes.sparsify import Kept, Weights, kept_by_lamp, two_of_four
from optimize.training.sparsity.options import HALF

# Along which a layer's inputs lie in torch.
_INPUTS = 1


def chosen_zeros(
    magnitudes: dict[str, Weights], scores: dict[str, Weights], share: float, pattern: Literal["unstructured", "2:4"]
) -> dict[str, Kept]:
    """True where a weight is 0.

    Args:
        magnitudes: of each layer's weights, (outputs, inputs, …).
        scores: of the same shapes; the higher, the more they matter.
        share: of all weights; of 2:4, a half is all of the pattern.
    """
    if pattern == "2:4":
        going = {name: ~two_of_four(each, _INPUTS) for name, each in scores.items()}
        counts = {name: round(share / HALF * int(each.sum())) for name, each in going.items()}
        ranked = {name: np.where(going[name], each, np.inf) for name, each in scores.items()}
    else:
        kept = kept_by_lamp(magnitudes, share)
        counts = {name: each.size - int(each.sum()) for name, each in kept.items()}
        ranked = scores
    return {name: _lowest(each, counts[name]) for name, each in ranked.items()}


def _lowest(scores: Weights, count: int) -> Kept:
    found = np.zeros(scores.size, bool)
    found[np.argsort(scores, axis=None, kind="stable")[:count]] = True
    return found.reshape(scores.shape)
