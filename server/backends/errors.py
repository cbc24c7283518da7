"""What can go wrong between a bundle and an engine.

BackendError                     backend_failed       the engine failed while running
├── BackendUnavailableError      backend_unavailable  the engine or its device is not on this machine
├── BackendLoadError             backend_load_failed  the engine does not take this bundle
└── CheckFailedError             check_failed         outputs differ from the bundle's ``check.npz``
"""

from typing import ClassVar


class BackendError(Exception):
    """Base of the tree; as itself: the engine failed while running a batch."""

    code: ClassVar[str] = "backend_failed"


class BackendUnavailableError(BackendError):
    """The engine, or the device asked for, is not on this machine."""

    code: ClassVar[str] = "backend_unavailable"


class BackendLoadError(BackendError):
    """The engine does not take this bundle."""

    code: ClassVar[str] = "backend_load_failed"


class CheckFailedError(BackendError):
    """The engine's outputs are not those that the bundle was made with."""

    code: ClassVar[str] = "check_failed"
