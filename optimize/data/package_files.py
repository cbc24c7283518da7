"""``package:path inside it``: a file or folder of an installed package, the same for everyone who installs it.

The package is found and never imported.
"""

import re
from importlib.util import find_spec
from pathlib import Path

from optimize.errors import MissingPhotosError, RecipeError

_REFERENCE = re.compile(r"[A-Za-z_]\w*:[^/\\:][^\\:]*")
_DISTRIBUTIONS = {"skimage": "scikit-image", "sklearn": "scikit-learn"}


def package_file(reference: str) -> Path:
    """Where it is.

    Args:
        reference: ``package:path``, such as ``skimage:data/coffee.png``.
    Raises:
        RecipeError: not of that form.
        MissingPhotosError: the package is not installed, or lacks it.
    """
    package, _, inside = reference.partition(":")
    if not _is_reference(reference):
        raise RecipeError(f"{reference!r} is nothing in a package; write package:path, such as skimage:data/coffee.png")
    for folder in _folders(package):
        if (path := Path(folder, inside)).exists():
            return path
    if _folders(package):
        raise MissingPhotosError(f"{reference}: the package {package} is here, and has no such file")
    name = _DISTRIBUTIONS.get(package, package)
    raise MissingPhotosError(f"{reference}: not here; pip install {name} (or 'quickeye[dev]')")


def _is_reference(said: str) -> bool:
    return bool(_REFERENCE.fullmatch(said)) and ".." not in said.partition(":")[2].split("/")


def _folders(package: str) -> list[str]:
    try:
        found = find_spec(package)
    except ValueError:  # a module that says nothing of where it comes from
        return []
    return list(found.submodule_search_locations or ()) if found else []


def found_file(path: Path, said: str = "") -> Path:
    """``path`` itself; where there is no such path and ``said`` refers to a package's file, that.

    Args:
        said: as a person wrote it; the path itself by default.
    Raises:
        MissingPhotosError: the package is not installed, or lacks it.
    """
    reference = said or str(path)
    if not _is_reference(reference) or path.exists():
        return path
    return package_file(reference)
