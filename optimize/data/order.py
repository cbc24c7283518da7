"""In which order an epoch goes through the pictures: by seed and epoch alone, whatever the number of workers.

``shuffle`` takes every picture once. ``balanced`` draws every class equally often:
rare pictures come again and again, of frequent ones each epoch takes others; those
that the first task has no label for come as often as they are.
``repeats`` puts each drawn picture into a batch several times, to be augmented
anew each time, and draws so many fewer: an epoch keeps its length, and as many
epochs as there are repeats see every picture (Hoffer et al., "Augment your batch",
2020; Berman et al., "MultiGrain", 2019).
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from optimize.data.dataset import UNLABELLED
from optimize.seeding import numpy_generator

Indices = NDArray[np.int64]
Sample = Literal["shuffle", "balanced"]


def epoch_order(labels: Indices, seed: int, epoch: int, *, sample: Sample = "shuffle", repeats: int = 1) -> Indices:
    """Places of the pictures of one epoch, in order.

    Args:
        labels: (N,), of the first task.
        epoch: from 0.
    Returns:
        (N,) int64; N of them whatever the sampling.
    """
    drawn = -(-len(labels) // repeats)
    if sample == "balanced":
        chosen = _balanced(labels, drawn, seed, epoch)
    else:
        cycle, part = divmod(epoch, repeats)
        chosen = np.roll(numpy_generator(seed, "order", cycle).permutation(len(labels)), -part * drawn)[:drawn]
    return np.repeat(chosen, repeats)[: len(labels)].astype(np.int64)


def _balanced(labels: Indices, drawn: int, seed: int, epoch: int) -> Indices:
    parts = []
    for label, quota in _quotas(labels, drawn, epoch):
        members = np.flatnonzero(labels == label)
        draw = numpy_generator(seed, "balanced", epoch, label)
        rounds = [draw.permutation(members) for _ in range(-(-quota // len(members)))]
        parts += [np.concatenate(rounds)[:quota]] if rounds else []
    return numpy_generator(seed, "order", epoch).permutation(np.concatenate(parts))


def _quotas(labels: Indices, drawn: int, epoch: int) -> list[tuple[int, int]]:
    """Labels that are there, and how many pictures are drawn of each."""
    unlabelled = int((labels < 0).sum())
    classes = np.unique(labels[labels >= 0])
    if not len(classes):
        return [(UNLABELLED, drawn)]
    theirs = round(drawn * unlabelled / len(labels))
    quotas = np.full(len(classes), (drawn - theirs) // len(classes))
    quotas[(epoch + np.arange((drawn - theirs) % len(classes))) % len(classes)] += 1
    return [*([(UNLABELLED, theirs)] if unlabelled else []), *zip(classes.tolist(), quotas.tolist(), strict=True)]


def class_weights(labels: Indices, n_classes: int) -> NDArray[np.float64]:
    """Weights of classes by how rare they are, with mean 1 over the labelled pictures.

    Args:
        labels: (N,); negative where unlabelled.
    Returns:
        (n_classes,): pictures / (classes present × pictures of the class); 0 for a class without any.
    """
    counts = np.bincount(labels[labels >= 0], minlength=n_classes)
    present = counts > 0
    weights = np.zeros(n_classes)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights
