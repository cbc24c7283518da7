"""A library that is missing is named with the extra that has it; a fault of ours stays a fault."""

import pytest

from optimize.errors import MissingLibraryError, libraries_for


def test_a_missing_library_is_named_with_its_extra() -> None:
    said = r"training needs no_such: pip install 'quickeye\[optimize\]'"
    with pytest.raises(MissingLibraryError, match=said), libraries_for("training"):
        __import__("no_such.part")


def test_a_missing_part_of_quickeye_is_no_missing_library() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"optimize\.no_such"), libraries_for("training"):
        __import__("optimize.no_such")
