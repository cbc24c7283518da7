"""What a GPU serves on a fresh install: the shipped models are 8-bit and for CPUs, so their float originals are made.

They come from the published weights that the extra ``gpu`` brings, once, into a store in the user's cache folder.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

from model_zoo.errors import ModelZooError
from model_zoo.store import Store, shipped_store
from server.backends.errors import BackendUnavailableError
from server.backends.torch import torch_sees_cuda
from server.backends.tuning import cache_folder
from server.config import Config

log = logging.getLogger("quickeye.float_models")

FOLDER = "float-models"
Build = Callable[[str, Store], object]


def with_float_models(
    config: Config, build: Build | None = None, sees_cuda: Callable[[], bool] = torch_sees_cuda
) -> Config:
    """The settings, with a store of float models in place of the shipped one where a GPU is to serve it.

    Nothing changes where a store, a version or another model is named, or an engine that runs on no GPU.

    Args:
        build: makes the float bundle of a name in a store; None: ``quickeye models build``.
        sees_cuda: whether there is a GPU, for device ``auto``.
    Raises:
        BackendUnavailableError: device ``cuda``, and the models cannot be made. With ``auto`` that is logged, and the
            CPU serves.
    """
    is_free = not config.store and config.backend in ("auto", "torch", "onnxruntime")
    shipped = set(shipped_store().names())
    wanted = config.models or tuple(sorted(shipped))
    if not is_free or not shipped.issuperset(wanted):  # with a version it is no name
        return config
    if config.device == "cpu" or (config.device == "auto" and not sees_cuda()):
        return config
    store = Store(cache_folder() / FOLDER)
    try:
        for name in wanted:
            if not store.versions(name):
                log.info("the shipped %s is for CPUs: making its float model for the GPU, in %s", name, store.root)
                (build or _build)(name, store)
    except (ModelZooError, ImportError, OSError) as error:
        if config.device == "auto":
            log.warning("the CPU serves, as the float model for the GPU could not be made: %s", error)
            return config
        raise BackendUnavailableError(f"the float model for the GPU could not be made: {error}") from error
    return replace(config, store=str(store.root))


def _build(name: str, store: Store) -> None:
    from model_zoo.export import build_bundle

    build_bundle(name, store)
