"""The features of every picture, computed once: then an epoch of the head costs a matrix product.

Right where the features are frozen and a picture always looks the same, that is, with
the plan ``head`` and no random augmentation.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from optimize.errors import DataError, RecipeError
from optimize.training.network.evaluation_mode import evaluation_mode
from optimize.training.network.feature_taps import HEAD_INPUT, FeatureTaps, pooled
from optimize.training.network.stages import stages
from optimize.training.tasks.soft_sharing import SoftSharing

# Largest difference between the head on cached features and the whole network, as a share of the largest logit.
AGREEMENT = 1e-3


class HeadOnFeatures(nn.Module):
    """The head as a network of its own; its parameters are the whole network's own, not copies."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        networks = module.networks if isinstance(module, SoftSharing) else (module,)
        self.heads = nn.ModuleList(nn.Sequential(*stages(network)[-1].modules.values()) for network in networks)

    def forward(self, features: Tensor) -> Tensor:
        """What enters the heads, (N, C, …), the trunks' side by side → logits (N, classes)."""
        parts = features.chunk(len(self.heads), 1)
        return torch.cat([pooled(head(part)) for head, part in zip(self.heads, parts, strict=True)], 1)


def cached_features(module: nn.Module, batches: Iterable[Tensor]) -> Tensor:
    """What enters the head for each picture, in order, in evaluation mode.

    Args:
        module: the whole network; it is as before afterwards.
        batches: normalised pictures (n, C, H, W), on the network's device.
    Returns:
        (N, C, …), on the network's device, without gradients; for ``HeadOnFeatures(module)``.
    Raises:
        DataError: there are no pictures.
        RecipeError: the network does more between its features and its logits than its head says.
    """
    rows: list[Tensor] = []
    with FeatureTaps(module, (HEAD_INPUT,)) as taps, evaluation_mode(module):
        for batch in batches:
            logits = module(batch)
            rows.append(taps.take()[HEAD_INPUT])
            if len(rows) == 1:
                _refuse_other_head(module, rows[0], logits)
    if not rows:
        raise DataError("there are no pictures to compute features of")
    return torch.cat(rows)


def _refuse_other_head(module: nn.Module, features: Tensor, logits: Tensor) -> None:
    again = HeadOnFeatures(module)(features)
    scale = float(logits.abs().max().clamp_min(1e-6))
    if again.shape != logits.shape or not float((again - logits).abs().max()) <= AGREEMENT * scale:
        raise RecipeError(
            f"the features of {type(module).__name__} can't be cached: its last module alone does not make its logits; "
            "set transfer.cached = false"
        )
