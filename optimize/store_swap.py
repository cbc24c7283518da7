"""A run's store made anew: the new one takes the old one's place.

No folder can be renamed over another that holds something, so it takes two renames: the
old store steps aside as ``.NAME-before``, the new one takes the name. A process killed
between the two leaves no store, the old one aside and the new one where it was made; one
killed after them leaves the old one aside. The names are fixed, so nothing is left
for good: the next swap, that of the same command given again, clears what it finds.
"""

import contextlib
import shutil
from pathlib import Path

from optimize.errors import RunError
from optimize.training.durable import reason


def swap_store(new: Path, store: Path) -> None:
    """Put ``new`` in the place of ``store``; afterwards ``new`` is gone, and so is what was there before.

    Args:
        new: a whole store, on the disk of ``store``: best beside it, under a name that the next try clears.
        store: may be missing.
    Raises:
        RunError: there is no ``new``, or the disk refused; ``store`` is what it was before, as far as the disk lets it.
    """
    before = store.with_name(f".{store.name}-before")
    try:
        if _is_there(store):
            _remove(before)
            store.rename(before)
        try:
            new.rename(store)
        except OSError:
            if _is_there(before) and not _is_there(store):
                before.rename(store)
            raise
    except OSError as error:
        raise RunError(f"{store} can't be replaced by {new}: {reason(error)}") from error
    with contextlib.suppress(OSError):  # what was to be done is done; the next swap tries again
        _remove(before)


def _is_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _remove(path: Path) -> None:
    """A folder with all in it; of a link, the link alone."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
