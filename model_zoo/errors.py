"""Everything that can be wrong with a picture, a bundle, a store or weights.

ModelZooError
├── PictureError
│   ├── UndecodableImageError    undecodable_image    not an image, or broken
│   ├── UnsupportedFormatError   unsupported_format   a real image format that is not enabled
│   └── ImageTooLargeError       image_too_large      more pixels or bytes than the limit
├── BundleError                  bad_bundle           a manifest, a hash, a path or a size that is wrong
├── UnknownModelError            unknown_model        no such name or version in the store
├── UnknownArchitectureError     unknown_architecture no such entry, or the library that has it is missing
├── WeightsError                 bad_weights          a checkpoint that does not fit, or may not be opened
└── ImportRefusedError           import_refused       a stranger's model that cannot become a bundle

``code`` is stable: programs may compare it. The message is for people.
"""

from typing import ClassVar


class ModelZooError(Exception):
    """Base of the tree."""

    code: ClassVar[str] = "model_zoo"


class PictureError(ModelZooError):
    """The bytes that should have been a picture are refused."""

    code: ClassVar[str] = "picture"


class UndecodableImageError(PictureError):
    """The bytes are not an image, or the image is broken."""

    code: ClassVar[str] = "undecodable_image"


class UnsupportedFormatError(PictureError):
    """The header names a real image format that is not enabled."""

    code: ClassVar[str] = "unsupported_format"


class ImageTooLargeError(PictureError):
    """More pixels or bytes than the limit; said before a pixel is allocated."""

    code: ClassVar[str] = "image_too_large"


class BundleError(ModelZooError):
    """A bundle on disk is incomplete, altered, hostile or not understood."""

    code: ClassVar[str] = "bad_bundle"


class UnknownModelError(ModelZooError):
    """The store has no such name, or no such version of it."""

    code: ClassVar[str] = "unknown_model"


class UnknownArchitectureError(ModelZooError):
    """No such architecture, or the library that provides it is not installed."""

    code: ClassVar[str] = "unknown_architecture"


class WeightsError(ModelZooError):
    """A checkpoint does not fit its architecture, or may not be opened safely."""

    code: ClassVar[str] = "bad_weights"


class ImportRefusedError(ModelZooError):
    """A stranger's model cannot become a bundle; the message says why."""

    code: ClassVar[str] = "import_refused"
