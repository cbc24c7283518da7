"""Which store a command reads: ``--store``, else ``QUICKEYE_STORE``, else the shipped bundles."""

import os
from pathlib import Path

from model_zoo.errors import UnknownModelError
from model_zoo.store import Store, shipped_store


def store_to_read(folder: Path | None) -> Store:
    """The store to look into.

    Raises:
        UnknownModelError: the folder that was named does not exist.
    """
    named = folder or os.environ.get("QUICKEYE_STORE")
    if not named:
        return shipped_store()
    if not Path(named).is_dir():
        raise UnknownModelError(f"there is no folder {named}")
    return Store(Path(named))
