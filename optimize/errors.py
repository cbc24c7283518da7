"""Everything that can go wrong while a model is made smaller.

OptimizeError
├── UnknownPassError       unknown_pass        no such entry in ``PASSES``
├── PassError              pass_failed         a graph that the pass does not understand
├── RecipeError            bad_recipe          a recipe that is not valid TOML, or asks for what can't be
└── MissingPhotosError     missing_photos      a package whose photos a recipe needs is not installed

``code`` is stable: programs may compare it. The message is for people.
"""

from typing import ClassVar


class OptimizeError(Exception):
    """Base of the tree."""

    code: ClassVar[str] = "optimize"


class UnknownPassError(OptimizeError):
    """No compression pass of that name."""

    code: ClassVar[str] = "unknown_pass"


class PassError(OptimizeError):
    """A graph that the pass does not understand; the message names the node."""

    code: ClassVar[str] = "pass_failed"


class RecipeError(OptimizeError):
    """A recipe that can't be read, or asks for what can't be."""

    code: ClassVar[str] = "bad_recipe"


class MissingPhotosError(OptimizeError):
    """A package whose photos a recipe needs is not installed."""

    code: ClassVar[str] = "missing_photos"
