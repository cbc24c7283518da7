"""Ways to change pictures at random while a network trains, by the names that a recipe uses.

``AUGMENTATIONS`` change pictures, ``MIXES`` change pictures and targets together;
``pipeline.Pipeline`` runs what a recipe chose. All of them work on whole batches of
float pictures in 0 to 1, draw for each picture by itself, and draw from the CPU
generator of ``Draw`` alone: a batch is the same on every device.
"""

from typing import TYPE_CHECKING, Protocol

from optimize.choice import Table

if TYPE_CHECKING:
    from torch import Tensor

    from optimize.training.step import Draw


class Augmentation(Protocol):
    """Changes pictures."""

    def __call__(self, pictures: "Tensor", draw: "Draw") -> "Tensor":
        """(N, C, H, W) float32 in 0 to 1, C 1 or 3 → the same; ``pictures`` itself is left as it is.

        Geometric ones give pictures of the drawn size, the others of the size that they were given.
        """
        ...


class Mix(Protocol):
    """Mixes each picture and its target with another of the batch."""

    def __call__(self, pictures: "Tensor", targets: "Tensor", draw: "Draw") -> "tuple[Tensor, Tensor]":
        """Pictures as in ``Augmentation``, targets (N, classes) rows of probabilities → both, mixed."""
        ...


_HERE = "optimize.training.augmentations"

AUGMENTATIONS: Table[Augmentation] = Table(
    "augmentation",
    {
        "flip": f"{_HERE}.flip:Flip",
        "rotate": f"{_HERE}.rotate:Rotate",
        "scale": f"{_HERE}.scale:Scale",
        "translate": f"{_HERE}.translate:Translate",
        "shear": f"{_HERE}.shear:Shear",
        "random_resized_crop": f"{_HERE}.random_resized_crop:RandomResizedCrop",
        "crop": f"{_HERE}.crop:Crop",
        "colour_jitter": f"{_HERE}.colour_jitter:ColourJitter",
        "grey": f"{_HERE}.grey:Grey",
        "blur": f"{_HERE}.blur:Blur",
        "noise": f"{_HERE}.noise:Noise",
        "erasing": f"{_HERE}.erasing:Erasing",
        "trivial_augment": f"{_HERE}.trivial_augment:TrivialAugment",
        "rand_augment": f"{_HERE}.rand_augment:RandAugment",
    },
)

MIXES: Table[Mix] = Table("mix", {"mixup": f"{_HERE}.mixup:Mixup", "cutmix": f"{_HERE}.cutmix:CutMix"})


def name_of(choice: object) -> str:
    """What a recipe calls this augmentation or mix; of one that no table has, its class's name."""
    place = f"{type(choice).__module__}:{type(choice).__name__}"
    entries = {**AUGMENTATIONS.entries, **MIXES.entries}
    return next((name for name, entry in entries.items() if entry == place), type(choice).__name__)
