"""PyTorch, where it is installed: the door to ``torch_engine/``, which imports it."""

from pathlib import Path

from model_zoo.bundle import Bundle
from server.backends import Backend, BackendOptions
from server.backends.errors import BackendUnavailableError

DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"))  # Linux, and Windows' own Linux


def load(bundle: Bundle, options: BackendOptions) -> Backend:
    """Open one instance; see ``torch_engine/backend.py``.

    Raises:
        BackendUnavailableError: torch is not installed, or has no CUDA device that was asked for.
        BackendLoadError: the bundle has no float network that torch can run, or a setting is wrong.
    """
    try:
        from server.backends.torch_engine.backend import load as opened
    except ImportError as error:
        raise BackendUnavailableError(f"torch is not installed ({error}): pip install 'quickeye[gpu]'") from error
    return opened(bundle, options)


def torch_sees_cuda() -> bool:
    """Whether torch is installed and finds a GPU; it is imported, which takes seconds, only where a driver is."""
    if not any(path.exists() for path in DRIVERS):
        return False
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()
