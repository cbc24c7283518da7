"""Triton decides at its import whether it interprets, and other packages import it: so the tests do it first."""

import os
from importlib import import_module
from importlib.util import find_spec

from server.backends.torch import DRIVERS

HAS_TRITON = find_spec("triton") is not None
ON_GPU = any(path.exists() for path in DRIVERS)
NEEDED = ("triton", "triton.language", "triton.experimental.gluon")  # a first launch imports the last


def import_interpreted(*modules: str) -> None:
    """Import them for the interpreter, or for the GPU where there is one; nothing without Triton.

    The variable that tells Triton is taken back: other processes that tests start are to be as users have them.
    """
    if not HAS_TRITON:
        return
    before = os.environ.get("TRITON_INTERPRET")
    if not ON_GPU:
        os.environ["TRITON_INTERPRET"] = "1"
    try:
        for module in modules:
            import_module(module)
    finally:
        os.environ.pop("TRITON_INTERPRET", None)
        if before is not None:
            os.environ["TRITON_INTERPRET"] = before
