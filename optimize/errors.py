"""Everything that can go wrong while a model is trained or made smaller.

OptimizeError
├── UnknownPassError       unknown_pass        no such entry in ``PASSES``
├── PassError              pass_failed         a graph that the pass does not understand
├── RecipeError            bad_recipe          a recipe that is not valid TOML, or asks for what can't be
├── MissingPhotosError     missing_photos      a package whose photos a recipe needs is not installed
├── MissingLibraryError    missing_library     a library that what was asked for needs is not installed
├── DataError              bad_data            pictures or labels that can't be trained on or judged by
├── CheckpointError        bad_checkpoint      a checkpoint that is broken, of another network or another run
├── TrainingError          training_failed     the loss is no longer a number, or nothing can be learnt
└── RunError               bad_run             a run folder that holds something else, or a disk that is full

``code`` is stable: programs may compare it. The message is for people.
"""

from collections.abc import Iterator
from contextlib import contextmanager
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


class MissingLibraryError(OptimizeError):
    """A library that what was asked for needs is not installed; the message says which extra has it."""

    code: ClassVar[str] = "missing_library"


@contextmanager
def libraries_for(work: str) -> Iterator[None]:
    """Around work that imports what the extra ``optimize`` installs.

    Raises:
        MissingLibraryError: one of the libraries is not there.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in ("", "model_zoo", "server", "optimize"):
            raise
        raise MissingLibraryError(f"{work} needs {library}: pip install 'quickeye[optimize]'") from error


class DataError(OptimizeError):
    """Pictures or labels that can't be trained on or judged by."""

    code: ClassVar[str] = "bad_data"


class CheckpointError(OptimizeError):
    """A checkpoint that is broken, of another network, or of another run."""

    code: ClassVar[str] = "bad_checkpoint"


class TrainingError(OptimizeError):
    """The loss is no longer a number, or nothing can be learnt."""

    code: ClassVar[str] = "training_failed"


class RunError(OptimizeError):
    """A run folder that holds something else, or can't be written."""

    code: ClassVar[str] = "bad_run"
