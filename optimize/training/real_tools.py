"""The tools of a compound run, as the command line uses them."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from optimize.training.compound_run import Say, Tools

if TYPE_CHECKING:
    from torch import Tensor

    from model_zoo.spec import InputSpec
    from optimize.data.dataset import Dataset
    from optimize.data.read import Data
    from optimize.training.finished import EpochRow, Finished
    from optimize.training.network.network import Network
    from optimize.training.recipe import Recipe

_BATCH = 64


def real_tools(say: Say | None = None, *, shows_epochs: bool = False) -> Tools:
    """Training, reading and predicting for real.

    Args:
        say: gets a line for each member; stderr by default.
        shows_epochs: each training tells its own course on stderr, as a single one does.
    """
    from optimize.training.evaluate_network import predict_dataset

    return Tools(
        train=_watched_train if shows_epochs else _train,
        read=_read,
        predict=predict_dataset,
        inputs=inputs,
        open=open_network,
        say=say or _to_stderr,
    )


def inputs(dataset: "Dataset", spec: "InputSpec") -> "Iterator[Tensor]":
    """See ``Inputs``."""
    import numpy as np
    import torch

    from optimize.training.evaluate_network import EvaluationSet

    pictures = EvaluationSet(dataset, spec, torch.device("cpu"))
    try:
        for start in range(0, len(dataset), _BATCH):
            yield pictures.inputs(np.arange(start, min(start + _BATCH, len(dataset))))
    finally:
        pictures.close()


def open_network(folder: Path) -> "Network":
    """The float network of the bundle at ``folder``.

    Raises:
        CheckpointError: there is no one bundle, or it has no float weights.
    """
    from model_zoo.errors import ModelZooError
    from model_zoo.weights import restore
    from optimize.data.dataset import Task
    from optimize.errors import CheckpointError
    from optimize.training.bundle_at import bundle_at
    from optimize.training.network.network import Network

    bundle = bundle_at(folder)
    try:
        module = restore(bundle)
    except ModelZooError as error:
        raise CheckpointError(str(error)) from error
    if bundle.spec.architecture is None:  # ``restore`` has refused it
        raise CheckpointError(f"{folder}: its architecture is not known")
    task = Task("label", bundle.labels)
    return Network(module=module, spec=bundle.spec.input, architecture=bundle.spec.architecture, tasks=(task,))


def _train(
    recipe: "Recipe",
    folder: Path,
    *,
    data: "Data | None" = None,
    watch: "Callable[[EpochRow], None] | None" = None,
) -> "Finished":
    from optimize.training.trainer import train

    return train(recipe, folder, data=data, watch=watch)


def _watched_train(
    recipe: "Recipe",
    folder: Path,
    *,
    data: "Data | None" = None,
    watch: "Callable[[EpochRow], None] | None" = None,
) -> "Finished":
    from optimize.training.reporter import reporter_for
    from optimize.training.trainer import train

    return train(recipe, folder, data=data, watch=watch, reporter=reporter_for(sys.stderr))


def _read(recipe: "Recipe") -> "Data":
    from optimize.data.read import read_data

    return read_data(recipe.data, recipe.seed)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
